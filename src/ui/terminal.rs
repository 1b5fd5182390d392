//! The lines for a terminal that do what a page does: by curl, and by `wsexec` where it can.

use super::filters::show;
use crate::domain::shell_word;
use crate::service::Actor;
use serde::Serialize;
use std::fmt::Write as _;

/// The longest line that is offered, in bytes.
const LONGEST: usize = 8_000;

/// What can be pasted into a POSIX shell, for each thing that a page does.
pub struct Terminal {
    base: String,
    user: String,
    /// In the order in which they are shown.
    pub lines: Vec<Line>,
    /// Whether one is for `wsexec run`, which needs a login.
    pub runs: bool,
    /// Whether one is for the machine of the server.
    pub on_server: bool,
}

/// Ways to do one thing.
pub struct Line {
    /// What it does.
    pub does: &'static str,
    /// The commands, each of which does it.
    pub ways: Vec<String>,
}

impl Terminal {
    /// None yet, for somebody who asks a service at this address.
    pub fn of(base: &str, actor: &Actor) -> Self {
        Self {
            base: base.to_owned(),
            user: actor.name().to_owned(),
            lines: Vec::new(),
            runs: false,
            on_server: false,
        }
    }

    /// A GET of `path` (from `/`); curl asks for the password.
    pub fn get(self, does: &'static str, path: impl AsRef<str>) -> Self {
        let line = self.curl(None, None, path.as_ref());
        self.with(does, Some(line))
    }

    /// A request with this method and body.
    pub fn send(
        self,
        does: &'static str,
        (method, path): (&'static str, impl AsRef<str>),
        body: &impl Serialize,
    ) -> Self {
        // curl makes it a POST by itself.
        let method = Some(method).filter(|it| *it != "POST");
        let line = self.curl(method, Some(&shell_word(&ascii_json(body))), path.as_ref());
        self.with(does, Some(line))
    }

    /// A POST of a file, where the body has a secret that no argument list may show.
    pub fn send_file(self, does: &'static str, path: &str, file: &str) -> Self {
        let line = self.curl(None, Some(&format!("@{file}")), path);
        self.with(does, Some(line))
    }

    /// A DELETE.
    pub fn delete(self, does: &'static str, path: impl AsRef<str>) -> Self {
        let line = self.curl(Some("DELETE"), None, path.as_ref());
        self.with(does, Some(line))
    }

    /// What curl does not do, or a browser alone.
    pub fn command(self, does: &'static str) -> Self {
        self.with(does, None)
    }

    /// `wsexec` with these words, for what the last line does, on the machine of the server.
    pub fn or_there(mut self, words: impl IntoIterator<Item: AsRef<str>>) -> Self {
        self.on_server = true;
        self.or("wsexec", words)
    }

    /// `wsexec run` with these words, for what the last line does.
    pub fn or_run(mut self, words: impl IntoIterator<Item: AsRef<str>>) -> Self {
        self.runs = true;
        let server = shell_word(self.base.trim_start_matches("https://"));
        let run = format!("wsexec run -t {server} --cacert wsexec.crt");
        self.or(&run, words)
    }

    fn or(mut self, begin: &str, words: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let words = words.into_iter().map(|it| shell_word(it.as_ref()));
        let line = words.fold(begin.to_owned(), |line, word| line + " " + &word);
        if is_plain(&line)
            && let Some(last) = self.lines.last_mut()
        {
            last.ways.push(line);
        }
        self
    }

    fn with(mut self, does: &'static str, line: Option<String>) -> Self {
        let ways = line.into_iter().filter(|it| is_plain(it)).collect();
        self.lines.push(Line { does, ways });
        self
    }

    fn curl(&self, method: Option<&'static str>, body: Option<&str>, path: &str) -> String {
        let mut line = format!("curl --cacert wsexec.crt -u {}", shell_word(&self.user));
        if let Some(method) = method {
            line += " -X ";
            line += method;
        }
        if let Some(body) = body {
            line += " \\\n  -H 'Content-Type: application/json' \\\n  -d ";
            line += body;
        }
        line + " \\\n  " + &shell_word(&format!("{}{path}", self.base))
    }
}

/// Whether a line can be shown whole, with nothing in it that hides.
fn is_plain(line: &str) -> bool {
    line.len() <= LONGEST && show(line) == line
}

/// JSON in which everything past printable ASCII is escaped: nothing in it can hide or turn the
/// line that is to be pasted.
fn ascii_json(body: &impl Serialize) -> String {
    let json = serde_json::to_string(body).unwrap_or_default();
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\x7f' {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_every_word_as_it_was() {
        let nasty = "it's $(id) `id` \\ \"x\" \n é\u{202e}";
        let terminal = Terminal {
            base: "https://h:1".to_owned(),
            user: "a'; id".to_owned(),
            lines: Vec::new(),
            runs: false,
            on_server: false,
        };
        let terminal = terminal
            .send("It", ("POST", "/wsexec/tasks?q=a&b"), &nasty)
            .or_run(["-c", "echo 'it'\n\"$HOME\"", ""])
            .or_run(["-c", "turned \u{202e}"]);
        let [line, run] = terminal.lines[0].ways.as_slice() else {
            panic!("a line that hides something is not offered");
        };
        let words = |line: &str| {
            let script = format!(
                "say() {{ printf '%s\\0' \"$@\"; }}\ncurl() {{ say \"$@\"; }}\nwsexec() {{ say \"$@\"; }}\n{line}"
            );
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .output()
                .expect("sh runs");
            let text = String::from_utf8(output.stdout).expect("UTF-8");
            text.split_terminator('\0')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let told = words(line);
        assert_eq!(told[3], "a'; id");
        let back: String = serde_json::from_str(&told[7]).expect("JSON");
        assert_eq!(back, nasty);
        assert_eq!(told[8], "https://h:1/wsexec/tasks?q=a&b");
        assert!(line.is_ascii());
        let told = words(run);
        assert_eq!(told[..5], ["run", "-t", "h:1", "--cacert", "wsexec.crt"]);
        assert_eq!(told[5..], ["-c", "echo 'it'\n\"$HOME\"", ""]);
    }
}
