//! The curl line that does what a page does.

use serde::Serialize;
use std::fmt::{self, Write as _};

/// A command that can be pasted into a POSIX shell as it stands, whatever it holds.
pub struct Curl {
    user: String,
    method: Option<&'static str>,
    body: Option<String>,
    url: String,
}

impl Curl {
    /// A GET of `path` (from `/`) for a user, who types the password.
    pub fn get(base: &str, user: &str, path: impl AsRef<str>) -> Self {
        Self {
            user: user.to_owned(),
            method: None,
            body: None,
            url: format!("{base}{}", path.as_ref()),
        }
    }

    /// The same with another method.
    #[must_use]
    pub fn method(self, method: &'static str) -> Self {
        Self {
            method: Some(method),
            ..self
        }
    }

    /// With a body; curl makes it a POST unless told otherwise.
    #[must_use]
    pub fn json(self, body: &impl Serialize) -> Self {
        Self {
            body: Some(ascii_json(body)),
            ..self
        }
    }
}

impl fmt::Display for Curl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "curl --cacert wsexec.crt -u {}", quoted(&self.user))?;
        if let Some(method) = self.method {
            write!(f, " -X {method}")?;
        }
        if let Some(body) = &self.body {
            write!(
                f,
                " \\\n  -H 'Content-Type: application/json' \\\n  -d {}",
                quoted(body)
            )?;
        }
        write!(f, " \\\n  {}", quoted(&self.url))
    }
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

/// One word for a POSIX shell: as it is where nothing in it means anything, else in single quotes.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._@+-:/".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_every_word_as_it_was() {
        let nasty = "it's $(id) `id` \\ \"x\" \n é\u{202e}";
        let line = Curl::get("https://h:1", "a'; id", "/wsexec/tasks?q=a&b")
            .json(&nasty)
            .to_string();
        let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}\n{line}");
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .expect("sh runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let words: Vec<&str> = text.split_terminator('\0').collect();
        assert_eq!(words[3], "a'; id");
        let back: String = serde_json::from_str(words[7]).expect("JSON");
        assert_eq!(back, nasty);
        assert_eq!(words[8], "https://h:1/wsexec/tasks?q=a&b");
        assert!(line.is_ascii());
    }
}
