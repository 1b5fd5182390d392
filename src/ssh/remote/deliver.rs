//! The way of a program to the machine's POSIX shell: over stdin, so that no login shell reads it
//! and no list of processes shows it.
//!
//! The machine speaks first: once the shell is there it says so in a line with a word that nobody
//! can guess, and only then anything is sent. A program is framed by its length and that word: one
//! that did not arrive whole is not run. It says when it begins, or why it does not.

use super::become_user::Way;
use super::{start_failed, unguessable, words};
use crate::domain::{Become, Outcome, RemoteProcess, Secret};
use crate::ssh::{Event, Failure, Input, Running, Session};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

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

/// The most that is taken of what a login shell prints before the program begins, in bytes.
const BEFORE: usize = 1024 * 1024;
/// The longest line that a shell of ours says, in bytes.
const LINE: usize = 8192;
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
    pub password: Option<&'a Secret>,
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
        let (running, input) = self.open(&line, program.terminal).await?;
        let mut talk = Talk {
            running,
            input,
            nonce,
            terminal: program.terminal,
            limit,
            unread: Vec::new(),
            before: VecDeque::new(),
            taken: 0,
        };
        let mut process = talk.shell_is_ready().await?;
        if let Some(become_user) = program.become_user {
            let way = Way::new(become_user, program.password, shell);
            process = talk.change_user(&way, process).await?;
        }
        talk.send(program.text).await?;
        talk.program_has_begun(program.text.len()).await?;
        talk.pass(talk.unread.len());
        let Talk {
            mut running,
            input,
            before,
            ..
        } = talk;
        running.delivered(before, process);
        Ok((running, input))
    }
}

/// What a shell of ours says.
enum Said {
    Ready(String),
    Begun,
    Failed(String),
    /// It is the program's prompt for the password.
    Prompt,
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
    nonce: String,
    terminal: bool,
    limit: Duration,
    /// The end of what came where our shells speak: perhaps the begin of a line of theirs.
    unread: Vec<u8>,
    /// What somebody else printed meanwhile, for the caller.
    before: VecDeque<Event>,
    taken: usize,
}

impl Talk {
    async fn shell_is_ready(&mut self) -> Result<Option<RemoteProcess>, Failure> {
        let deadline = Instant::now() + self.limit;
        match self.hear(None, deadline).await {
            Ok(Said::Ready(line)) => Ok(process(&line)),
            Ok(_) => Err(self.no_shell("spoke out of turn".into())),
            Err(silence) => {
                let how = match silence {
                    Silence::Ended(Event::Exited(code)) => format!("ended with exit code {code}"),
                    Silence::Ended(Event::Signalled(name)) => format!("was ended by signal {name}"),
                    Silence::Ended(_) => "was cut off".into(),
                    Silence::TooLong => format!("did nothing of it within {} s", self.seconds()),
                    Silence::TooMuch => "printed without an end".into(),
                };
                Err(self.no_shell(how))
            }
        }
    }

    fn no_shell(&self, how: String) -> Failure {
        let printed = match self.printed() {
            words if words.is_empty() => String::new(),
            words => format!(" It printed: {words}"),
        };
        start_failed(format!(
            "The machine did not start the shell that is to run the script: the user's login shell, or a forced \
             command in its place (command= in authorized_keys, ForceCommand in sshd_config), {how}. Only a plain \
             task, without env, cwd, stdin, interpreter, become and pty, can run there.{printed}"
        ))
    }

    /// Goes from the shell of the login's user to one of another's, by a program that may ask for
    /// a password. What that program prints is nobody's output.
    async fn change_user(
        &mut self,
        way: &Way<'_>,
        login: Option<RemoteProcess>,
    ) -> Result<Option<RemoteProcess>, Failure> {
        self.send(&way.program(&self.nonce)).await?;
        let (before, taken) = (self.before.clone(), self.taken);
        let deadline = Instant::now() + self.limit;
        let mut asked = false;
        let ready = loop {
            match self.hear(Some(&way.prompt), deadline).await {
                Ok(Said::Ready(line)) => break line,
                Ok(Said::Prompt) if asked => return Err(way.wrong_password()),
                Ok(Said::Prompt) => {
                    asked = true;
                    self.write(way.password_line()).await?;
                }
                Ok(Said::Failed(_)) => return Err(way.is_not_there()),
                Ok(Said::Begun) => {}
                Err(Silence::TooLong) => {
                    return Err(
                        way.took_too_long(&self.printed_after(before.len()), self.seconds())
                    );
                }
                Err(_) => return Err(way.refused(&self.printed_after(before.len()), asked)),
            }
        };
        (self.before, self.taken) = (before, taken);
        let connection = login.and_then(|login| login.connection);
        Ok(process(&ready).map(|other| RemoteProcess {
            connection,
            ..other
        }))
    }

    /// Sends a program. It is run once it has arrived whole.
    async fn send(&mut self, text: &str) -> Result<(), Failure> {
        let says = SAYS.replace("NONCE", &self.nonce);
        let program = format!("{says}{text}\n# {}", self.nonce);
        let framed = format!("{}\n{program}", program.len());
        self.write(framed.into()).await
    }

    /// Never waits for long: what went before has been answered.
    async fn write(&mut self, data: Bytes) -> Result<(), Failure> {
        let deadline = Instant::now() + self.limit;
        match timeout_at(deadline, self.input.write(data)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(start_failed(
                "The connection to the machine was lost before the script was started.",
            )),
        }
    }

    async fn program_has_begun(&mut self, length: usize) -> Result<(), Refused> {
        let pace = Duration::from_secs(length as u64 / PACE);
        let deadline = Instant::now() + self.limit + pace;
        let lost = |reason: String| Failure::new(Outcome::Lost, reason);
        Err(match self.hear(None, deadline).await {
            Ok(Said::Begun) => return Ok(()),
            Ok(Said::Failed(why)) => Refused::Said(why),
            Err(Silence::Ended(Event::Exited(_) | Event::Signalled(_))) | Ok(_) => {
                Refused::Failure(start_failed(format!(
                    "The machine's /bin/sh could not start the script. It printed: {}",
                    self.printed()
                )))
            }
            Err(Silence::Ended(_)) => Refused::Failure(lost(
                "The connection to the machine was lost before it said that it started the script: it may have \
                 started and may still run there."
                    .into(),
            )),
            Err(Silence::TooLong | Silence::TooMuch) => Refused::Failure(lost(format!(
                "The machine did not say within {} s that it started the script: it may have started and may still \
                 run there. It may be overloaded.",
                (self.limit + pace).as_secs_f32()
            ))),
        })
    }

    /// The next thing that a shell of ours says, or the prompt. Everything else that comes is kept.
    async fn hear(&mut self, prompt: Option<&str>, deadline: Instant) -> Result<Said, Silence> {
        loop {
            if let Some(said) = self.find(prompt) {
                return Ok(said);
            }
            if self.taken > BEFORE {
                return Err(Silence::TooMuch);
            }
            let event = timeout_at(deadline, self.running.next()).await;
            match (event.map_err(|_| Silence::TooLong)?, self.terminal) {
                (Event::Stdout(data), true) | (Event::Stderr(data), false) => {
                    self.taken += data.len();
                    self.unread.extend_from_slice(&data);
                }
                (event @ (Event::Stdout(_) | Event::Stderr(_)), _) => {
                    let (Event::Stdout(data) | Event::Stderr(data)) = &event else {
                        continue;
                    };
                    self.taken += data.len();
                    self.before.push_back(event);
                }
                (end, _) => return Err(Silence::Ended(end)),
            }
        }
    }

    /// Takes what was said out of what came; what came around it is the caller's.
    fn find(&mut self, prompt: Option<&str>) -> Option<Said> {
        if let Some(prompt) = prompt
            && let Some(at) = position(&self.unread, prompt.as_bytes())
        {
            self.pass(at);
            self.unread.drain(..prompt.len());
            return Some(Said::Prompt);
        }
        let mut from = 0;
        while let Some(at) = position(&self.unread[from..], self.nonce.as_bytes()) {
            let at = from + at;
            let begin = at + self.nonce.len();
            let rest = &self.unread[begin..];
            let end = match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => end,
                None if rest.len() < LINE => return None,
                None => LINE,
            };
            if let Some(said) = said(&rest[..end]) {
                self.pass(at);
                self.unread.drain(..self.nonce.len() + end + 1);
                return Some(said);
            }
            from = begin;
        }
        None
    }

    /// Gives the first bytes of what came to the caller.
    fn pass(&mut self, length: usize) {
        if length > 0 {
            let data: Vec<u8> = self.unread.drain(..length).collect();
            self.before.push_back(match self.terminal {
                true => Event::Stdout(data.into()),
                false => Event::Stderr(data.into()),
            });
        }
    }

    /// The end of what came, as a reason can repeat it.
    fn printed(&self) -> String {
        words(&self.printed_after(0))
    }

    /// All that came after so many pieces.
    fn printed_after(&self, events: usize) -> Vec<u8> {
        let mut printed = Vec::new();
        for event in self.before.iter().skip(events) {
            if let Event::Stdout(data) | Event::Stderr(data) = event {
                printed.extend_from_slice(data);
            }
        }
        printed.extend_from_slice(&self.unread);
        printed
    }

    fn seconds(&self) -> f32 {
        self.limit.as_secs_f32()
    }
}

/// What a line says after its nonce. A machine without /proc does not tell the process.
fn said(line: &[u8]) -> Option<Said> {
    let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
    match line.strip_prefix(' ')?.split_once(' ') {
        Some(("ready", process)) => Some(Said::Ready(process.to_owned())),
        Some(("failed", why)) => Some(Said::Failed(words(why.as_bytes()))),
        None if line == " begun" => Some(Said::Begun),
        _ => None,
    }
}

/// `PID START BOOT`, and perhaps `SSH_CONNECTION`: four words.
fn process(ready: &str) -> Option<RemoteProcess> {
    let mut words = ready.splitn(4, ' ');
    let mut next = || words.next().unwrap_or_default().trim();
    let (pid, started, boot, connection) = (next(), next(), next(), next());
    let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    let told = |text: &str| {
        let plain = text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        plain && text.len() <= 256 && text.split(' ').count() == 4
    };
    let whole = boot.len() == 36 && boot.chars().all(is_id);
    Some(RemoteProcess {
        pid: pid.parse().ok().filter(|pid| *pid > 1 && whole)?,
        started: started.parse().ok()?,
        boot: boot.to_owned(),
        connection: told(connection).then(|| connection.to_owned()),
    })
}

fn position(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|part| part == what)
}
