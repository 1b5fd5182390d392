//! The text that turns a shell of ours into the script: its environment, its directory, its
//! interpreter.

use super::deliver::{Program, Refused};
use super::secrets::{self, ScriptSecret};
use super::{quoted, start_failed, unguessable};
use crate::domain::Launch;
use crate::ssh::{Failure, Password, Running, Session};
use bytes::Bytes;

/// The most of a script in one argument of a command, in bytes: `printf` may be one that Linux
/// allows 128 KiB an argument (execve(2)).
const PIECE: usize = 60_000;

/// A script, and all that says how it is run.
#[derive(Debug, Clone)]
pub struct Command {
    /// The script.
    pub script: String,
    /// Its environment, directory, interpreter, user and terminal.
    pub launch: Launch,
    /// What sudo may ask for.
    pub password: Option<Password>,
    /// What it is given in secret.
    pub secrets: Vec<ScriptSecret>,
    /// What it reads; nothing where there is none.
    pub stdin: Option<Bytes>,
}

impl Session {
    /// Starts a script: one that asks for nothing as it is, by the user's login shell, as
    /// `ssh user@host SCRIPT` does; any other by a POSIX shell that makes ready what it asks for.
    ///
    /// # Errors
    /// `start_failed` where nothing of it has run; `lost` where it was sent and nothing tells.
    pub async fn start(&mut self, command: &Command) -> Result<Running, Failure> {
        let is_plain = command.launch.is_plain() && command.secrets.is_empty();
        if is_plain && command.stdin.is_none() {
            return self.exec(&command.script).await;
        }
        self.may_be_told(&command.secrets)?;
        let text = body(command, &secrets::opened(&command.secrets));
        let program = Program {
            text: &text,
            become_user: command.launch.become_user.as_ref(),
            password: command.password.as_ref(),
            terminal: command.launch.pty,
        };
        let handed = self.hand_over(program).await;
        let (running, mut input) = handed.map_err(|refused| match refused {
            Refused::Failure(failure) => failure,
            Refused::Said(why) => refusal(&why, command),
        })?;
        if let Some(stdin) = &command.stdin {
            // A script that has ended already needs none.
            let _ = input.write(stdin.clone()).await;
        }
        input.finish();
        Ok(running)
    }
}

/// Shell text that becomes the script. Around it two functions are defined: `wsexec_begun`, called
/// once, right before the script takes the process over, and `wsexec_failed WORDS`, which does not
/// return: [`refusal`] knows the words. Its own variables are `wsexec_file`, `wsexec_files`,
/// `wsexec_umask` and `wsexec_word`. `secrets` is the text that opens what the script is given in
/// secret.
pub(in crate::ssh) fn body(command: &Command, secrets: &str) -> String {
    let launch = &command.launch;
    let handed_on = secrets::handed_on(&command.secrets);
    let mut text = String::new();
    if launch.become_user.is_some() {
        // The login's directory may be closed to the other user.
        text.push_str("cd \"${HOME:-/}\" 2>/dev/null || cd /\n");
    }
    if let Some(cwd) = &launch.cwd {
        // Neither an option, nor `-`, nor looked up in CDPATH.
        let anchor = if cwd.starts_with('/') { "" } else { "./" };
        let directory = quoted(&format!("{anchor}{cwd}"));
        text.push_str(&format!(
            "cd {directory} 2>/dev/null || wsexec_failed cwd\n"
        ));
    }
    if launch.pty {
        // Nobody types: whatever reads finds the end of its input, and does not wait for ever.
        text.push_str("stty raw isig -echo min 0 time 0 2>/dev/null\n");
    }
    match interpreter(command) {
        None => {
            // Accounts that are not for logins have a shell that runs nothing.
            text.push_str(
                "case ${SHELL-} in ''|*/nologin|*/false) wsexec_word=/bin/sh;; *) wsexec_word=$SHELL;; esac\n\
                 [ -x \"$wsexec_word\" ] || wsexec_word=/bin/sh\n",
            );
            if !command.secrets.is_empty() {
                // It closes all but the standard descriptors.
                text.push_str("case $wsexec_word in *csh) wsexec_failed csh;; esac\n");
            }
            export(&launch.env, &mut text);
            text.push_str(secrets);
            let script = quoted(&command.script);
            text.push_str(&format!(
                "wsexec_begun; exec \"$wsexec_word\" -c {script}{handed_on}\n"
            ));
        }
        Some(words) if words.is_empty() => text.push_str("wsexec_failed line\n"),
        Some(words) => {
            file(&command.script, &mut text);
            export(&launch.env, &mut text);
            for name in to_be_there(&words) {
                look_for(name, &mut text);
            }
            text.push_str(secrets);
            let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            text.push_str(&format!(
                "wsexec_begun; exec {} \"$wsexec_file/script\" 7>&7{handed_on}\n",
                words.join(" ")
            ));
        }
    }
    text
}

/// What [`body`] says when a script cannot begin, in words for a person.
pub(in crate::ssh) fn refusal(said: &str, command: &Command) -> Failure {
    let launch = &command.launch;
    let (what, words) = said.split_once(' ').unwrap_or((said, ""));
    start_failed(match what {
        "cwd" => format!(
            "The directory {} is not there on the machine or cannot be entered by the user.",
            launch.cwd.as_deref().unwrap_or_default()
        ),
        "line" => "The script does not begin with a line that names its interpreter, such as #!/usr/bin/perl. Add \
                   one, or name the interpreter in the task."
            .into(),
        "interpreter" => {
            format!("The interpreter {words} is not there on the machine. Install it, or name another.")
        }
        "file" => format!(
            "The machine could not keep the script in a private file for its interpreter: {words}. Make room, or a \
             directory that can be written: XDG_STATE_HOME, the home directory, or TMPDIR."
        ),
        "secrets" => "The machine could not hand the script its secrets. That needs a directory that the user can \
                      write to (/dev/shm, XDG_RUNTIME_DIR or TMPDIR) with room, and Linux's /proc."
            .into(),
        "csh" => "The user's login shell is a csh, which would not hand the script its secrets: name an interpreter in \
                  the task, such as sh."
            .into(),
        _ => format!("The machine could not start the script: {said}."),
    })
}

/// The interpreter and its arguments. None for the login shell; no words where the script's first
/// line, which is to tell, does not.
fn interpreter(command: &Command) -> Option<Vec<String>> {
    let given = command.launch.interpreter.as_deref()?;
    Some(match given.trim() {
        "#!" => from_first_line(&command.script),
        given => given.split_whitespace().map(str::to_owned).collect(),
    })
}

/// As the kernel divides it (execve(2)): the program, and all that follows as one argument. So it
/// does not matter whether the machine runs programs from the directory where the file is.
fn from_first_line(script: &str) -> Vec<String> {
    let blank = [' ', '\t'];
    let line = script.lines().next().unwrap_or_default();
    let Some(line) = line.strip_prefix("#!").map(|line| line.trim_matches(blank)) else {
        return Vec::new();
    };
    let (program, argument) = line.split_once(blank).unwrap_or((line, ""));
    [program, argument.trim_start_matches(blank)]
        .into_iter()
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What has to be there: the interpreter, and where that is env(1) without options of which some
/// take a word, what it looks for.
fn to_be_there(words: &[String]) -> Vec<&str> {
    let Some((program, rest)) = words.split_first() else {
        return Vec::new();
    };
    let mut names = vec![program.as_str()];
    if program == "env" || program.ends_with("/env") {
        let mut rest = rest.iter().flat_map(|word| word.split([' ', '\t']));
        let sought = rest
            .find(|word| !matches!(*word, "-S" | "-i" | "-" | "--" | "") && !word.contains('='));
        names.extend(sought.filter(|word| !word.starts_with('-')));
    }
    names
}

fn look_for(name: &str, text: &mut String) {
    let word = quoted(name);
    text.push_str(&match name.contains('/') {
        true => format!("[ -f {word} ] && [ -x {word} ] || wsexec_failed interpreter {word}\n"),
        // A name without a path is a word of the shell's own.
        false => format!(
            "case $(command -v {word}) in */*) ;; *) wsexec_failed interpreter {word};; esac\n"
        ),
    });
}

fn export(env: &[(String, String)], text: &mut String) {
    for (name, value) in env {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
}

/// Puts the script into a private file, `$wsexec_file/script`. What removes it holds no output open,
/// is no child of the script, and waits until the script and all that inherited its descriptor 7
/// has ended, or it is told to end. What a machine's crash left is removed a month later.
fn file(script: &str, text: &mut String) {
    text.push_str(
        "wsexec_umask=$(umask); umask 077\n\
         case ${XDG_STATE_HOME-} in /*) wsexec_file=$XDG_STATE_HOME;; *) wsexec_file=${HOME:-/dev/null}/.local/state;; esac\n\
         wsexec_files=$wsexec_file/wsexec\n",
    );
    text.push_str(&format!(
        "wsexec_file=$wsexec_files/script-{0}\n\
         wsexec_word=$({{ mkdir -p \"$wsexec_files\" && mkdir \"$wsexec_file\"; }} 2>&1) || wsexec_file=$(mktemp -d 2>/dev/null) \
         || wsexec_failed file \"$wsexec_word\"\n\
         wsexec_word=$({{ {{\n",
        unguessable()
    ));
    for piece in pieces(script) {
        text.push_str(&format!("printf %s {}\n", quoted(piece)));
    }
    text.push_str(
        "} 2>/dev/null | cat > \"$wsexec_file/script\" && mkfifo \"$wsexec_file/end\"; } 2>&1) || {\n\
         rm -rf \"$wsexec_file\"; wsexec_failed file \"$wsexec_word\"; }\n\
         ( (\n\
         trap 'rm -rf \"$wsexec_file\"; exit 0' HUP INT QUIT TERM\n\
         read -r wsexec_word < \"$wsexec_file/end\"\n\
         rm -rf \"$wsexec_file\"\n\
         find \"$wsexec_files\"/script-* -prune -mtime +30 -exec rm -rf {} +\n\
         ) </dev/null >/dev/null 2>&1 & )\n\
         exec 7> \"$wsexec_file/end\"\n\
         umask \"$wsexec_umask\"\n",
    );
}

fn pieces(script: &str) -> impl Iterator<Item = &str> {
    let mut rest = script;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
