//! The way of a program to the machine's POSIX shell: over stdin, so that no login shell reads it
//! and no list of processes shows it.
//!
//! The machine speaks first: once the shell is there it says so in a line with a word that nobody
//! can guess, and only then anything is sent. A program is framed by its length and that word: one
//! that did not arrive whole is not run. It says when it begins, or why it does not.

use super::become_user::Way;
use super::hear::{Ear, Said};
use super::{start_failed, unguessable, words};
use crate::domain::{Become, Outcome, RemoteProcess};
use crate::ssh::{Event, Failure, Input, Password, Running, Session};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Starts a POSIX shell that reads a program. Any login shell takes this line with `NONCE` replaced:
/// one single-quoted word with neither a single quote, an exclamation mark (tcsh) nor a backslash
/// (fish) in it. `dd` takes byte by byte, as what follows the program is the program's own input.
/// The names are such that no environment has them: what is exported already would stay so.
macro_rules! shell {
    ($terminal:literal) => {
        concat!(
            "/bin/sh -c '",
            $terminal,
            "unset wsexec_l wsexec_s wsexec_t wsexec_p wsexec_b wsexec_n; ",
            // Session and start time of a process. The name in /proc/PID/stat may hold anything,
            // line ends and parentheses too, so only what follows its last parenthesis counts.
            "wsexec_f() { [ -r /proc/$1/stat ] || return 0; ",
            "while IFS= read -r wsexec_l; do wsexec_p=$wsexec_l; done < /proc/$1/stat; ",
            "set -- ${wsexec_p##*\") \"}; wsexec_s=$4; wsexec_t=${20}; }; ",
            "wsexec_f $$; wsexec_n=$wsexec_s; wsexec_t=; wsexec_f ${wsexec_n:--}; ",
            "[ -r /proc/sys/kernel/random/boot_id ] && ",
            "read -r wsexec_b < /proc/sys/kernel/random/boot_id; ",
            "echo \"$1 ready ${wsexec_n:--} ${wsexec_t:--} ${wsexec_b:--} $SSH_CONNECTION\" >&2; ",
            "IFS= read -r wsexec_n; ",
            "wsexec_p=$(dd ibs=1 obs=4096 count=\"$wsexec_n\" 2>/dev/null); ",
            "case $wsexec_p in *\"$1\") eval \"$wsexec_p\";; *) exit 125;; esac' wsexec NONCE"
        )
    };
}
const SHELL: &str = shell!("");
/// The same on a terminal, which is to pass bytes as they are.
const SHELL_ON_TERMINAL: &str = shell!("stty raw -echo min 1 time 0 2>/dev/null; ");

/// What each program finds: how it says that it begins, and how it ends because it cannot.
const SAYS: &str = "wsexec_begun() { printf '%s begun\\n' NONCE >&2; }
wsexec_failed() { printf '%s failed %s\\n' NONCE \"$*\" >&2; exit 1; }
";

/// How long what did not begin may take to end. sudo takes two seconds over a wrong password.
const LEAVE: Duration = Duration::from_secs(4);
/// How slowly a long program may arrive, in bytes a second.
const PACE: u64 = 64 * 1024;

/// A program for the machine's POSIX shell.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Shell text, quoted for POSIX sh; what it reads is what the caller writes.
    pub text: &'a str,
    /// As which other user than the login's it runs.
    pub become_user: Option<&'a Become>,
    /// What sudo may ask for.
    pub password: Option<&'a Password>,
    /// Whether it runs on a terminal, which passes bytes as they are, either way.
    pub terminal: bool,
}

/// Why a program did not begin.
pub(super) enum Refused {
    /// It said so itself.
    Said(String),
    /// Something else was in its way.
    Failure(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Session {
    /// Runs a program, and returns once it has begun. Its stdin is the caller's from then on.
    ///
    /// # Errors
    /// `start_failed` where nothing of it has run; `lost` where it was sent and nothing tells.
    pub async fn deliver(&mut self, program: Program<'_>) -> Result<(Running, Input), Failure> {
        let text = format!("wsexec_begun\n{}", program.text);
        let program = Program {
            text: &text,
            ..program
        };
        self.hand_over(program)
            .await
            .map_err(|refused| match refused {
                Refused::Failure(failure) => failure,
                Refused::Said(why) => {
                    start_failed(format!("The machine could not start it: {why}."))
                }
            })
    }

    /// As [`Session::deliver`], of a text that says by itself, through `wsexec_begun` or
    /// `wsexec_failed`, whether it begins.
    pub(super) async fn hand_over(
        &mut self,
        program: Program<'_>,
    ) -> Result<(Running, Input), Refused> {
        let nonce = unguessable();
        let shell = match program.terminal {
            true => SHELL_ON_TERMINAL,
            false => SHELL,
        };
        let line = format!("exec {}", shell.replace("NONCE", &nonce));
        let limit = self.start_timeout;
        let way = match program.become_user {
            Some(become_user) => {
                let password = program
                    .password
                    .map(|it| it.tell(&self.place, &self.host_key().fingerprint));
                Some(Way::new(become_user, password.transpose()?, shell))
            }
            None => None,
        };
        let (running, input) = self.open(&line, program.terminal).await?;
        let mut talk = Talk {
            running,
            input,
            ear: Ear::new(nonce, program.terminal),
            limit,
        };
        let process = match talk.until_it_has_begun(&program, way.as_ref()).await {
            Ok(process) => process,
            Err(refused) => {
                talk.leave().await;
                return Err(refused);
            }
        };
        let Talk {
            mut running,
            input,
            ear,
            ..
        } = talk;
        running.delivered(ear.rest(), process);
        Ok((running, input))
    }
}

/// Why nothing more is heard.
enum Silence {
    Ended(Event),
    TooLong,
    TooMuch,
}

/// What goes back and forth before a program begins.
struct Talk {
    running: Running,
    input: Input,
    ear: Ear,
    limit: Duration,
}

impl Talk {
    async fn until_it_has_begun(
        &mut self,
        program: &Program<'_>,
        way: Option<&Way<'_>>,
    ) -> Result<Option<RemoteProcess>, Refused> {
        let mut process = self.shell_is_ready().await?;
        if let Some(way) = way {
            process = self.change_user(way, process).await?;
            let text = format!("{}{}", Way::RESTORE, program.text);
            self.send(&text).await?;
        } else {
            self.send(program.text).await?;
        }
        self.program_has_begun(program.text.len()).await?;
        Ok(process)
    }

    /// Waits a moment for the end of what found the end of its input, so that nothing of it is
    /// taken for another script of this connection.
    async fn leave(self) {
        let Self {
            mut running, input, ..
        } = self;
        input.finish();
        let ended =
            async { while let Event::Stdout(_) | Event::Stderr(_) = running.next().await {} };
        // Whatever has not ended by then does not read its input.
        let _ = timeout(LEAVE, ended).await;
    }

    async fn shell_is_ready(&mut self) -> Result<Option<RemoteProcess>, Failure> {
        let deadline = Instant::now() + self.limit;
        let how = match self.hear(None, deadline).await {
            Ok(Said::Ready(process)) => return Ok(process),
            Ok(_) => "spoke out of turn".into(),
            Err(Silence::Ended(Event::Exited(code))) => format!("ended with exit code {code}"),
            Err(Silence::Ended(Event::Signalled(name))) => format!("was ended by signal {name}"),
            Err(Silence::Ended(_)) => return Err(lost_before_start()),
            Err(Silence::TooLong) => format!("did nothing of it within {} s", self.seconds()),
            Err(Silence::TooMuch) => "printed without an end".into(),
        };
        let printed = match words(&self.ear.heard()) {
            words if words.is_empty() => words,
            words => format!(" It printed: {words}"),
        };
        Err(start_failed(format!(
            "The machine did not start the shell that is to run the script: the user's login shell, or a forced \
             command in its place (command= in authorized_keys, ForceCommand in sshd_config), {how}. Only a plain \
             task, without env, cwd, stdin, interpreter, become and pty, can run there.{printed}"
        )))
    }

    /// Goes from the shell of the login's user to one of another's, by a program that may ask for
    /// a password. What that program prints is nobody's output.
    async fn change_user(
        &mut self,
        way: &Way<'_>,
        login: Option<RemoteProcess>,
    ) -> Result<Option<RemoteProcess>, Failure> {
        self.send(&way.program(self.ear.nonce())).await?;
        let before = self.ear.keep_apart();
        let deadline = Instant::now() + self.limit;
        let mut asked = false;
        let process = loop {
            match self.hear(Some(&way.prompt), deadline).await {
                Ok(Said::Ready(process)) => break process,
                Ok(Said::Prompt) if asked => return Err(way.wrong_password()),
                Ok(Said::Prompt) => {
                    asked = true;
                    if let Some(password) = way.password {
                        self.ear.hide(password);
                    }
                    self.write(way.password_line()).await?;
                }
                Ok(Said::Failed(_)) => return Err(way.is_not_there()),
                Ok(Said::Begun) => {}
                Err(Silence::TooLong) => {
                    return Err(way.took_too_long(&self.ear.heard(), self.seconds()));
                }
                Err(Silence::Ended(Event::Disconnected(_))) => return Err(lost_before_start()),
                Err(_) => return Err(way.refused(&self.ear.heard(), asked)),
            }
        };
        self.ear.forget_all_but(before);
        let connection = login.and_then(|login| login.connection);
        Ok(process.map(|other| RemoteProcess {
            connection,
            ..other
        }))
    }

    /// Sends a program. It is run once it has arrived whole.
    async fn send(&mut self, text: &str) -> Result<(), Failure> {
        let framed = framed(text, self.ear.nonce());
        self.write(framed.into()).await
    }

    /// Never waits for long: what went before has been answered.
    async fn write(&mut self, data: Bytes) -> Result<(), Failure> {
        let deadline = Instant::now() + self.limit;
        match timeout_at(deadline, self.input.write(data)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(lost_before_start()),
        }
    }

    async fn program_has_begun(&mut self, length: usize) -> Result<(), Refused> {
        let limit = self.limit + Duration::from_secs(length as u64 / PACE);
        let how = match self.hear(None, Instant::now() + limit).await {
            Ok(Said::Begun) => return Ok(()),
            Ok(Said::Failed(why)) => return Err(Refused::Said(why)),
            Err(Silence::Ended(Event::Exited(_) | Event::Signalled(_))) => {
                return Err(Refused::Failure(start_failed(format!(
                    "The machine's /bin/sh could not start the script. It printed: {}",
                    words(&self.ear.heard())
                ))));
            }
            Err(Silence::Ended(_)) => {
                "The connection to the machine was lost before it said that it started the script".into()
            }
            Ok(Said::Ready(_) | Said::Prompt) | Err(Silence::TooMuch) => {
                "The machine printed what makes no sense instead of saying that it started the script".into()
            }
            Err(Silence::TooLong) => format!(
                "The machine did not say within {} s that it started the script",
                limit.as_secs_f32()
            ),
        };
        let reason = format!("{how}: it may have started and may still run there.");
        Err(Refused::Failure(Failure::new(Outcome::Lost, reason)))
    }

    /// The next thing that a shell of ours says, or the prompt. Everything else that comes is kept.
    async fn hear(&mut self, prompt: Option<&str>, deadline: Instant) -> Result<Said, Silence> {
        loop {
            if let Some(said) = self.ear.said(prompt) {
                return Ok(said);
            }
            if self.ear.is_full() {
                return Err(Silence::TooMuch);
            }
            let event = timeout_at(deadline, self.running.next()).await;
            let event = event.map_err(|_| Silence::TooLong)?;
            self.ear.hears(event).map_err(Silence::Ended)?;
        }
    }

    fn seconds(&self) -> f32 {
        self.limit.as_secs_f32()
    }
}

/// A program as the shell takes it: its length, itself, and the word without which it is not whole.
fn framed(text: &str, nonce: &str) -> String {
    let program = format!("{}{text}\n# {nonce}", SAYS.replace("NONCE", nonce));
    format!("{}\n{program}", program.len())
}

fn lost_before_start() -> Failure {
    start_failed("The connection to the machine was lost before the script was started.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Output, Stdio};
    use std::time::Instant;

    const LOGIN_SHELLS: [&str; 8] = [
        "dash",
        "bash",
        "zsh",
        "fish",
        "tcsh",
        "ksh93",
        "mksh",
        "busybox sh",
    ];
    const NONCE: &str = "wsexec-0123456789abcdef";

    /// These of them that are installed. What Debian always has, and what the other tests need, is.
    fn installed<'a>(shells: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let is_there = |shell: &&str| {
            let there = !matches!(*shell, "ksh93" | "mksh")
                || ["/bin", "/usr/bin"]
                    .iter()
                    .any(|dir| std::path::Path::new(dir).join(shell).exists());
            if !there {
                eprintln!("skipped: {shell} is not installed");
            }
            there
        };
        shells.iter().copied().filter(is_there)
    }

    fn shell(shell: &str, line: &str, input: &[u8]) -> Output {
        let mut words = shell.split(' ');
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .args(["-c", line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{shell} is not installed: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // One that was told too little ends before it has read it.
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().unwrap()
        })
    }

    #[test]
    fn any_login_shell_starts_the_program_and_what_follows_it_is_the_programs_own() {
        let line = format!("exec {}", SHELL.replace("NONCE", NONCE));
        for login in installed(&LOGIN_SHELLS) {
            let mut input = framed("wsexec_begun; head -c 3; cat; exit 7", NONCE).into_bytes();
            input.extend(b"\n\0\xff no line end");
            let ran = shell(login, &line, &input);
            assert_eq!(ran.stdout, b"\n\0\xff no line end", "{login}: {ran:?}");
            let said = String::from_utf8(ran.stderr).unwrap();
            assert!(
                said.starts_with(&format!("{NONCE} ready ")),
                "{login}: {said}"
            );
            assert!(
                said.ends_with(&format!("{NONCE} begun\n")),
                "{login}: {said}"
            );
            assert_eq!(ran.status.code(), Some(7), "{login}");
        }
    }

    #[test]
    fn nothing_of_a_program_that_did_not_arrive_whole_runs() {
        let line = format!("exec {}", SHELL.replace("NONCE", NONCE));
        let whole = framed("echo ran", NONCE);
        for length in 0..whole.len() {
            let ran = shell("dash", &line, &whole.as_bytes()[..length]);
            assert_eq!(ran.stdout, b"", "{length} bytes of it");
        }
        assert_eq!(shell("dash", &line, whole.as_bytes()).stdout, b"ran\n");
    }

    #[test]
    fn a_long_program_of_many_lines_starts_at_once_in_any_posix_shell() {
        let text = format!("{}echo end", "#\n".repeat(60_000));
        for posix in installed(&["dash", "bash", "ksh93", "mksh", "busybox sh"]) {
            let line = SHELL.replace("/bin/sh", posix).replace("NONCE", NONCE);
            let begun = Instant::now();
            let ran = shell(
                "sh",
                &format!("exec {line}"),
                framed(&text, NONCE).as_bytes(),
            );
            assert_eq!(ran.stdout, b"end\n", "{posix}: {ran:?}");
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{posix}: {:?}",
                begun.elapsed()
            );
        }
    }

    #[test]
    fn the_line_holds_nothing_that_a_login_shell_reads_in_its_own_way() {
        for shell in [SHELL, SHELL_ON_TERMINAL] {
            let inner = shell.strip_prefix("/bin/sh -c '").unwrap();
            let inner = inner.strip_suffix("' wsexec NONCE").unwrap();
            assert!(!inner.contains(['\'', '!', '\\', '\n']), "{inner}");
        }
    }
}
