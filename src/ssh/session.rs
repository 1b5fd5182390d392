//! A connection that is logged in, and the commands that run over it.

use super::connect::Guard;
use super::input::{Input, Line};
use super::library::{Channel, Connection, Gone, Listening, Message, NotOpened, Shared};
use super::stream::Raw;
use super::{Event, Failure};
use crate::domain::{HostKey, Outcome, RemoteProcess, SshLibrary};
use crate::failpoint;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

/// After the exit status, how long the machine may be silent before the output counts as complete:
/// something that the script left in the background holds its stdout open.
const SILENCE: Duration = Duration::from_secs(5);
/// After the exit status, how long such a thing may go on writing.
const AFTERMATH: Duration = Duration::from_secs(30);
/// How long a connection that has waited for its use gets to show that it is alive, by opening a
/// channel.
const REUSED: Duration = Duration::from_secs(5);
/// How long a signal may take to be on its way: the connection can be held up by output that
/// nobody takes.
const SIGNAL: Duration = Duration::from_secs(5);

/// What a connection has shown of a machine.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The key that it has proved to hold.
    pub host_key: &'a HostKey,
    /// Whether that is right because an authority has certified it, and not because it is on
    /// record.
    pub certified: bool,
    /// What the connection is made with.
    pub library: SshLibrary,
}

/// A connection that is logged in. It is closed, socket and all, when it is dropped.
pub struct Session {
    pub(super) connection: Connection,
    /// Where it leads, as known_hosts names places.
    pub(super) place: String,
    pub(super) host_key: HostKey,
    pub(super) shared: Arc<Shared>,
    pub(super) start_timeout: Duration,
    /// The commands that [`Session::terminate`] may have to send a signal to.
    pub(super) scripts: Vec<Weak<Line>>,
    /// How many were asked for.
    pub(super) commands: u32,
    /// Whether the machine has refused one, for want of a place.
    pub(super) refused: bool,
    /// Whether it has waited for this use, and may be dead without having said so.
    pub(super) reused: bool,
    /// What brings input to the commands.
    pub(super) spawned: TaskTracker,
    /// Ends the stream on drop, which is what ends the library's spawned work.
    pub(super) guard: Guard,
    /// The connection that this one goes through. Goes after it.
    pub(super) outer: Option<Box<Session>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

impl Session {
    /// The key that the server has proved to hold.
    pub fn host_key(&self) -> &HostKey {
        &self.host_key
    }

    /// The library that this connection is made with.
    pub fn library(&self) -> SshLibrary {
        self.connection.library()
    }

    /// What was seen of the machines on the way: of this one, then of its jump, to the one that is
    /// reached directly.
    pub fn way(&self) -> impl Iterator<Item = Seen<'_>> {
        let sessions = std::iter::successors(Some(self), |session| session.outer.as_deref());
        sessions.map(|session| Seen {
            host_key: &session.host_key,
            certified: session.shared.is_certified(),
            library: session.library(),
        })
    }

    /// A TCP connection from this machine to another (RFC 4254 section 7.2).
    pub(super) async fn open_direct(&self, host: &str, port: u16) -> Result<Raw, NotOpened> {
        self.connection.open_direct(host, port).await
    }

    /// This connection as the server writes it into `SSH_CONNECTION` (ssh(1)), where nothing
    /// between translates addresses.
    pub fn ends(&self) -> Option<String> {
        self.guard.ends()
    }

    /// Hands a command to the user's login shell, as `ssh user@host COMMAND` does. stdin is empty.
    ///
    /// Another command may run at the same time. All commands of a session share one stream:
    /// one whose output is not taken holds up the others. With thrussh a server keeps a place for
    /// each command until the connection ends, as thrussh does not answer its close: OpenSSH has
    /// ten of them.
    ///
    /// # Errors
    /// `start_failed` where the server opens no channel or closes it instead of running the
    /// command; `lost` where the command was sent and nothing tells whether it runs.
    pub async fn exec(&mut self, command: &str) -> Result<Running, Failure> {
        let (running, input) = self.open(command, false).await?;
        input.finish();
        Ok(running)
    }

    /// As [`Session::exec`], with its stdin left open. With `terminal` it gets one that passes
    /// bytes as they are, either way, and stderr comes with stdout.
    ///
    /// # Errors
    /// As [`Session::exec`]; `start_failed` too where the machine gives no terminal.
    pub async fn open(&mut self, line: &str, terminal: bool) -> Result<(Running, Input), Failure> {
        let (running, input) = self.begin(line, terminal).await?;
        self.scripts.retain(|script| script.strong_count() > 0);
        self.scripts.push(Arc::downgrade(&running.line));
        Ok((running, input))
    }

    /// Runs a command that [`Session::terminate`] leaves alone.
    pub(super) async fn aside(&mut self, command: &str) -> Result<Running, Failure> {
        let (running, input) = self.begin(command, false).await?;
        input.finish();
        Ok(running)
    }

    async fn begin(&mut self, line: &str, terminal: bool) -> Result<(Running, Input), Failure> {
        let limit = self.start_timeout;
        let deadline = Instant::now() + limit;
        let seconds = limit.as_secs_f32();
        let proved = match self.reused {
            true => deadline.min(Instant::now() + REUSED),
            false => deadline,
        };
        let mut opened = match timeout_at(proved, self.open_channel()).await {
            Ok(opened) => opened?,
            Err(_) => {
                return Err(start_failed(format!(
                    "The machine opened no channel for the script within {seconds} s. It may be \
                     overloaded: see its SSH server's log."
                )));
            }
        };
        if terminal {
            match timeout_at(deadline, opened.request_terminal()).await {
                Ok(given) => given?,
                Err(_) => {
                    return Err(start_failed(format!(
                        "The machine gave no terminal (pty) within {seconds} s: it may allow this \
                         user none (PermitTTY in sshd_config)."
                    )));
                }
            }
        }
        match timeout_at(deadline, opened.request(line)).await {
            Ok(result) => Ok(self.running(opened, result?)),
            Err(_) => Err(perhaps_started(format!(
                "The machine did not say within {seconds} s that it started the script: it may \
                 have started and may still run there. Or the machine is overloaded, or allows \
                 this user no commands: see its SSH server's log."
            ))),
        }
    }

    async fn open_channel(&mut self) -> Result<Opened, Failure> {
        match self.connection.open_session().await {
            Ok((channel, listening)) => {
                self.commands += 1;
                Ok(Opened { channel, listening })
            }
            Err(NotOpened::Lost) => Err(lost_before_start(Gone)),
            Err(NotOpened::Refused(refusal)) => {
                self.refused = true;
                Err(Failure {
                    channel_refused: true,
                    ..start_failed(format!(
                        "The machine opened no channel for the script ({refusal}). It may allow \
                         no more sessions (MaxSessions in sshd_config)."
                    ))
                })
            }
        }
    }

    /// How many channels were opened for commands. Where one is not started and this stays what it
    /// was, nothing was sent.
    pub fn commands(&self) -> u32 {
        self.commands
    }

    /// Whether the machine has refused a channel.
    pub(super) fn was_refused(&self) -> bool {
        self.refused
    }

    /// Whether another command may be tried here: the connection stands and nothing runs on it.
    pub(super) fn is_usable(&self) -> bool {
        let outer = self.outer.as_ref();
        !self.connection.is_closed()
            && self.scripts.iter().all(|script| script.strong_count() == 0)
            && outer.is_none_or(|outer| !outer.connection.is_closed())
    }

    /// Whether the machine's key is right because an authority has certified it, and not because
    /// it is on record.
    pub(super) fn is_certified(&self) -> bool {
        self.shared.is_certified()
    }

    fn running(&self, opened: Opened, held: Option<Message>) -> (Running, Input) {
        let line = Line::new(opened.channel, &opened.listening);
        let input = Input::start(&self.spawned, &line, self.shared.closed.clone());
        let running = Running {
            line,
            messages: opened.listening.messages,
            held: held.into_iter().collect(),
            process: None,
            ending: Ending::default(),
        };
        (running, input)
    }
}

/// A channel that the machine has opened.
struct Opened {
    channel: Channel,
    listening: Listening,
}

impl Opened {
    async fn request_terminal(&mut self) -> Result<(), Failure> {
        let sent = self.channel.request_terminal().await;
        sent.map_err(lost_before_start)?;
        match self.listening.messages.recv().await {
            Some(Message::Accepted) => Ok(()),
            Some(_) => Err(start_failed(
                "The machine gave no terminal (pty): it may allow this user none (PermitTTY in \
                 sshd_config).",
            )),
            None => Err(lost_before_start(Gone)),
        }
    }

    /// From the moment that the command is on its way it may run, and only the machine's own word
    /// says that it does not. thrussh keeps the word that refuses a request (RFC 4254 section 5.4)
    /// to itself: that is silence with it. What came instead of an answer is handed back.
    async fn request(&mut self, line: &str) -> Result<Option<Message>, Failure> {
        let sent = self.channel.exec(line).await;
        sent.map_err(lost_before_start)?;
        failpoint::pass("ssh.command_sent");
        match self.listening.messages.recv().await {
            Some(Message::Accepted) => Ok(None),
            Some(Message::Closed | Message::Refused) => {
                Err(start_failed("The machine refused to run the script."))
            }
            None => Err(perhaps_started(
                "The connection was lost before the machine said that it started the script: \
                 it may have started and may still run there.",
            )),
            // The script's own words: the request was taken, whatever became of the answer.
            other => Ok(other),
        }
    }
}

/// A command that runs.
pub struct Running {
    line: Arc<Line>,
    messages: mpsc::Receiver<Message>,
    /// What came before the rest of it, and was looked at.
    held: VecDeque<Message>,
    process: Option<RemoteProcess>,
    ending: Ending,
}

/// What is known of a command's end.
#[derive(Default)]
struct Ending {
    event: Option<Event>,
    no_more_output: bool,
    cut: bool,
    since: Option<Instant>,
    told: bool,
}

impl Running {
    /// What it does next. The buffer behind it is bounded: what is not taken makes the machine
    /// wait. Cancel safe.
    pub async fn next(&mut self) -> Event {
        if self.ending.told {
            return Event::Disconnected("The script has ended.".into());
        }
        loop {
            match self.receive().await {
                Received::Message(Message::Stdout(data)) => return Event::Stdout(data),
                Received::Message(Message::Stderr(data)) => return Event::Stderr(data),
                Received::Message(Message::Exited(status)) => self.ended(Event::Exited(status)),
                Received::Message(Message::Signalled(name)) => self.ended(Event::Signalled(name)),
                Received::Message(Message::Eof) => self.ending.no_more_output = true,
                Received::Message(Message::Accepted | Message::Refused) => {}
                Received::Message(Message::Closed) => {
                    return self
                        .tell("The machine closed the script's channel without an exit status.");
                }
                Received::Silence => {
                    self.ending.cut = true;
                    return self.tell("");
                }
                Received::Lost => {
                    return self.tell(
                        "The connection to the machine was lost before the script's end was \
                         known.",
                    );
                }
            }
            if self.ending.no_more_output && self.ending.event.is_some() {
                return self.tell("");
            }
        }
    }

    /// How the script ended by itself, [`Event::Exited`] or [`Event::Signalled`], as far as
    /// [`Running::next`] has come across it: also while `next` still waits for the last of its
    /// output, which something that it left behind can hold open. Whatever is done to the machine
    /// from then on does not change it.
    pub fn ending(&self) -> Option<Event> {
        self.ending.event.clone()
    }

    /// Whether the end was told while something that the script left behind still held its output
    /// open: what that writes from then on is not taken.
    pub fn was_cut(&self) -> bool {
        self.ending.cut
    }

    /// The process that leads the script's session, as far as its shell has told.
    pub fn process(&self) -> Option<&RemoteProcess> {
        self.process.as_ref()
    }

    /// What came before a delivered program began, and where that runs.
    pub(super) fn delivered(&mut self, before: VecDeque<Event>, process: Option<RemoteProcess>) {
        self.held
            .extend(before.into_iter().filter_map(|event| match event {
                Event::Stdout(data) => Some(Message::Stdout(data)),
                Event::Stderr(data) => Some(Message::Stderr(data)),
                Event::Exited(_) | Event::Signalled(_) | Event::Disconnected(_) => None,
            }));
        self.process = process;
    }

    async fn receive(&mut self) -> Received {
        if let Some(held) = self.held.pop_front() {
            return Received::Message(held);
        }
        match self.ending.since {
            None => received(self.messages.recv().await),
            Some(since) => receive_after_exit(&mut self.messages, since).await,
        }
    }

    fn ended(&mut self, event: Event) {
        self.ending.event.get_or_insert(event);
        self.ending.since.get_or_insert_with(Instant::now);
    }

    fn tell(&mut self, otherwise: &str) -> Event {
        self.ending.told = true;
        self.ending()
            .unwrap_or_else(|| Event::Disconnected(otherwise.into()))
    }
}

/// Asks the server to send a signal (RFC 4254 section 6.9), such as `TERM`. Servers may ignore it:
/// OpenSSH does for root. A connection that is gone shows in what the command's reader gets.
pub(super) async fn send_signal(line: &Line, signal: &str) {
    let _ = timeout(SIGNAL, line.signal(signal)).await;
}

#[derive(Debug)]
enum Received {
    Message(Message),
    Silence,
    Lost,
}

fn received(message: Option<Message>) -> Received {
    message.map_or(Received::Lost, Received::Message)
}

async fn receive_after_exit(messages: &mut mpsc::Receiver<Message>, exited: Instant) -> Received {
    let left = AFTERMATH.saturating_sub(exited.elapsed());
    // `timeout` with no time left still takes a message that waits, and there always is one where
    // what was left behind writes without a pause.
    if left.is_zero() {
        return Received::Silence;
    }
    match timeout(SILENCE.min(left), messages.recv()).await {
        Ok(message) => received(message),
        Err(_) => Received::Silence,
    }
}

fn start_failed(reason: impl Into<String>) -> Failure {
    Failure::new(Outcome::StartFailed, reason)
}

fn lost_before_start(_: Gone) -> Failure {
    start_failed("The connection to the machine was lost before the script was started.")
}

fn perhaps_started(reason: impl Into<String>) -> Failure {
    Failure::new(Outcome::Lost, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_writes_without_a_pause_after_the_exit_is_heard_for_a_while_only() {
        let (sender, mut messages) = mpsc::channel(2);
        for _ in 0..2 {
            let flood = Message::Stdout("y".into());
            sender.send(flood).await.unwrap();
        }
        let now = Instant::now();
        let soon = receive_after_exit(&mut messages, now).await;
        assert!(matches!(soon, Received::Message(_)), "{soon:?}");
        let late = receive_after_exit(&mut messages, now - AFTERMATH).await;
        assert!(matches!(late, Received::Silence), "{late:?}");
    }
}
