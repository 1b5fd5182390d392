//! Runs that go on by themselves on a machine: started once, followed, collected, removed.
//!
//! Each has a private directory there, made by programs for the machine's POSIX shell that stand
//! beside this file. `start.sh` is the fence: however often it is sent, and by however many servers,
//! the script begins at most once, and it always tells which process it is. `run.sh` outlives the
//! connection: it takes what the script writes, keeps the beginning and the end of it within the
//! limit, and the exit.

mod collection;
mod following;
mod talk;

#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::ssh) use collection::state as read_state;
pub use collection::{Collection, Kept, State};
pub use following::{Followed, Following};

use super::become_user::Way;
use super::deliver::Program;
use super::launch::{self, Command};
use super::secrets;
use super::{quoted, start_failed, unguessable, words};
use crate::domain::RemoteProcess;
use crate::ssh::{Failure, Session};
use std::time::Duration;
use talk::Talk;

const PLACE: &str = include_str!("detached/place.sh");
const START: &str = include_str!("detached/start.sh");
const RUN: &str = include_str!("detached/run.sh");
const BEGIN: &str = include_str!("detached/begin.sh");
const FOLLOW: &str = include_str!("detached/follow.sh");
const COLLECT: &str = include_str!("detached/collect.sh");
const REMOVE: &str = include_str!("detached/remove.sh");

/// What the machine counts a file's length in (ulimit(1)).
const BLOCK: u64 = 512;
/// How long a machine may take to start a run: it waits 20 s for the script to begin.
const STARTING: Duration = Duration::from_secs(60);
/// How slowly what a script reads may arrive, in bytes a second.
const PACE: u64 = 64 * 1024;
/// How long any other answer may take, beyond what is waited for there.
const ANSWER: Duration = Duration::from_secs(60);

/// A run on a machine.
#[derive(Debug, Clone, Copy)]
pub struct Detached<'a> {
    /// The store that it belongs to: a UUID.
    pub store: &'a str,
    /// Which run: a UUID too.
    pub run: &'a str,
    /// The script, and all that says how it is run. Only [`Session::start_detached`] needs what the
    /// script reads.
    pub command: &'a Command,
    /// The store's runs whose end is not on record, this one among them: what is left of these is
    /// not swept, however old it is. None where that is not known, and nothing is swept.
    pub wanted: Option<&'a [String]>,
}

/// What a machine keeps of each stream, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    head: u64,
    tail: u64,
}

impl Bounds {
    /// How much of a stream's beginning is kept, in bytes.
    pub fn head(self) -> u64 {
        self.head
    }

    /// For a limit of bytes a stream: its head, in whole blocks of 512 bytes, and its tail of
    /// `tail` bytes, or up to a block more.
    pub fn new(limit: u64, tail: u64) -> Self {
        let head = limit.saturating_sub(tail) / BLOCK * BLOCK;
        Self {
            head,
            tail: (limit - head).max(1),
        }
    }
}

/// What became of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It runs, or has run, and this leads the script's session.
    As(RemoteProcess),
    /// The script has not begun and never will.
    Refused(Failure),
    /// It was started before, and nothing of it is there any more.
    Gone,
    /// It was started before, and did not come to say which process it is.
    Unknown,
}

impl Detached<'_> {
    /// Shell text with these values given, numbers or single-quoted words.
    fn program(&self, nonce: &str, values: &[(&str, String)], text: &str) -> String {
        let mut program = format!(
            "wsexec_nonce={nonce}\nwsexec_id={}\n",
            quoted(&format!("{}-{}", self.store, self.run))
        );
        for (name, value) in values {
            program.push_str(&format!("{name}={value}\n"));
        }
        format!("{program}{PLACE}{text}")
    }

    fn start(&self, nonce: &str, known: bool, bounds: Bounds) -> String {
        let (begin, run) = match known {
            true => (String::new(), ""),
            false => {
                let read = match self.command.secrets.is_empty() {
                    true => "exec 9<&-\n",
                    false => ". /proc/self/fd/9\n",
                };
                // What runs beside the script is not to hold what this opens.
                let body = match self.command.secrets.is_empty() {
                    true => format!("{read}{}", launch::body(self.command, "")),
                    false => launch::body(self.command, read),
                };
                (format!("{BEGIN}{body}"), RUN)
            }
        };
        let secrets = match known {
            true => String::new(),
            false => secrets::carried(&self.command.secrets),
        };
        let stdin = self.command.stdin.as_ref().map_or(0, |stdin| stdin.len());
        let wanted = self.wanted.map_or("*".into(), |runs| runs.join(" "));
        let values = [
            ("wsexec_store", quoted(self.store)),
            ("wsexec_known", u8::from(known).to_string()),
            ("wsexec_stdin", stdin.to_string()),
            ("wsexec_head", (bounds.head / BLOCK).to_string()),
            ("wsexec_tail", bounds.tail.to_string()),
            ("wsexec_wanted", quoted(&wanted)),
        ];
        // The texts go in by hand, as each may hold what is replaced in another.
        let (before, rest) = halves(START, "@RUN@\n");
        let (between, rest) = halves(rest, "@BEGIN@\n");
        let (behind, after) = halves(rest, "@SECRETS@\n");
        let [before, between, behind, after] =
            [before, between, behind, after].map(|t| t.replace("@NONCE@", nonce));
        // The login's own language, which the way to another user has changed.
        let become_user = self.command.launch.become_user.as_ref();
        let language = become_user.map_or("", |_| Way::RESTORE);
        self.program(
            nonce,
            &values,
            &format!("{language}{before}{run}{between}{begin}{behind}{secrets}{after}"),
        )
    }
}

fn halves<'a>(text: &'a str, mark: &str) -> (&'a str, &'a str) {
    text.split_once(mark).unwrap_or((text, ""))
}

impl Session {
    async fn talk(&mut self, run: Detached<'_>, nonce: &str, text: &str) -> Result<Talk, Failure> {
        let program = Program {
            text,
            become_user: run.command.launch.become_user.as_ref(),
            password: run.command.password.as_ref(),
            terminal: false,
        };
        let (running, input) = self.deliver(program).await?;
        Ok(Talk::new(running, input, nonce))
    }

    /// Starts a run, or finds the one that was started: sent again it starts nothing. With `known`
    /// it only looks.
    ///
    /// # Errors
    /// As [`Session::deliver`]; `lost` where it was sent and nothing tells what became of it.
    pub async fn start_detached(
        &mut self,
        run: Detached<'_>,
        known: bool,
        bounds: Bounds,
    ) -> Result<Started, Failure> {
        self.may_be_told(&run.command.secrets)?;
        let nonce = unguessable();
        let text = run.start(&nonce, known, bounds);
        let mut talk = self.talk(run, &nonce, &text).await?;
        let mut patience = STARTING;
        if let (Some(stdin), false) = (&run.command.stdin, known) {
            patience += Duration::from_secs(stdin.len() as u64 / PACE);
            talk.give(stdin.clone()).await;
        }
        let said = talk.said(patience).await?;
        let (what, rest) = said.split_once(' ').unwrap_or((&said, ""));
        Ok(match what {
            "process" => Started::As(process(rest).ok_or_else(|| talk::not_understood(&said))?),
            "refused" => Started::Refused(launch::refusal(rest.trim_end(), run.command)),
            "failed" => Started::Refused(start_failed(refusal(rest))),
            "gone" => Started::Gone,
            "unknown" => Started::Unknown,
            "incomplete" => {
                return Err(talk::lost(
                    "The connection to the machine was lost before all that the script reads had arrived.",
                ));
            }
            _ => return Err(talk::not_understood(&said)),
        })
    }

    /// Shows what a run writes, from these offsets of stdout and stderr on.
    ///
    /// # Errors
    /// As [`Session::deliver`].
    pub async fn follow_detached(
        &mut self,
        run: Detached<'_>,
        from: [u64; 2],
    ) -> Result<Following, Failure> {
        let nonce = unguessable();
        let text = run.program(&nonce, &offsets(from), FOLLOW);
        let talk = self.talk(run, &nonce, &text).await?;
        Ok(Following::new(talk))
    }

    /// Tells what is known of a run, and then what it wrote from these offsets on. None where
    /// nothing of it is there.
    ///
    /// # Errors
    /// As [`Session::deliver`]; `lost` where the machine does not answer as it should.
    pub async fn collect_detached(
        &mut self,
        run: Detached<'_>,
        from: [u64; 2],
    ) -> Result<Option<Collection>, Failure> {
        let nonce = unguessable();
        let text = run.program(&nonce, &offsets(from), COLLECT);
        let talk = self.talk(run, &nonce, &text).await?;
        Collection::open(talk, from).await
    }

    /// Removes what is left of a run that is over, or that never began.
    ///
    /// # Errors
    /// As [`Session::deliver`]; `lost` where the machine does not say that it is gone.
    pub async fn remove_detached(&mut self, run: Detached<'_>) -> Result<(), Failure> {
        let nonce = unguessable();
        let text = run.program(&nonce, &[], REMOVE);
        let mut talk = self.talk(run, &nonce, &text).await?;
        let said = talk.said(ANSWER).await?;
        match said.as_str() {
            "removed" => Ok(()),
            _ => Err(talk::not_understood(&said)),
        }
    }
}

fn offsets([out, err]: [u64; 2]) -> [(&'static str, String); 2] {
    [("out", out.to_string()), ("err", err.to_string())]
}

/// `PID START BOOT`, and what only the machine needs.
fn process(said: &str) -> Option<RemoteProcess> {
    let mut words = said.split(' ');
    let pid = words.next()?.parse().ok().filter(|pid| *pid > 1)?;
    let started = words.next()?.parse().ok()?;
    let boot = words.next()?.to_owned();
    let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    (boot.len() == 36 && boot.chars().all(is_id)).then_some(RemoteProcess {
        pid,
        started,
        boot,
        connection: None,
    })
}

/// What start.sh says where it cannot, in words for a person.
fn refusal(said: &str) -> String {
    let (what, said) = said.split_once(' ').unwrap_or((said, ""));
    let said = words(said.as_bytes());
    match what {
        "home" => "The user has neither XDG_STATE_HOME nor a home directory on the machine, and a detached run needs \
                   a place for its output. Set one of them, or run it attached."
            .into(),
        "setsid" => "A detached run needs setsid (util-linux or busybox) or perl on the machine. Install one of them, \
                     or run it attached."
            .into(),
        "proc" => "A detached run needs Linux with /proc on the machine. Run it attached.".into(),
        "directory" => format!(
            "The machine could not make the directory for a detached run: {said}. It needs one that the user can \
             write to: wsexec in XDG_STATE_HOME, else in ~/.local/state."
        ),
        "secrets" => "The machine could not hand the script its secrets. That needs a directory that the user can \
                      write to (/dev/shm, XDG_RUNTIME_DIR or TMPDIR) with room."
            .into(),
        "write" => format!(
            "The machine could not write what a detached run needs: {said}. Is its disk full?"
        ),
        "late" => "The machine did not begin the script within 15 s, and it will not any more. Is it overloaded, or \
                   its disk full?"
            .into(),
        _ => format!("The machine could not start it: {what} {said}."),
    }
}
