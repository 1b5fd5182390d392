//! Follows a task's events to its end, over dropped connections and restarts of the server.

use super::client::{Client, Task, pause};
use super::events::{Message, Parser};
use super::screen::Screen;
use crate::cli::Failure;
use crate::domain::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io;

/// How often the events are asked for in vain, one after the other, before it is given up.
const TRIES: u32 = 10;

/// Why the following stopped.
pub(super) enum Stopped {
    /// The task has ended.
    Ended(Task),
    /// Whoever read our output has gone.
    NobodyReads,
}

/// Where the following stands; it can be left and taken up again.
pub(super) struct Follower<'a> {
    client: &'a Client,
    task: i64,
    screen: Screen,
    /// The id of the last event that was shown.
    last: String,
}

#[derive(Deserialize)]
struct Output {
    offset: u64,
    text: String,
}

#[derive(Deserialize)]
struct LeftOut {
    length: u64,
    #[serde(default)]
    stream: String,
}

impl<'a> Follower<'a> {
    pub(super) fn new(client: &'a Client, task: i64) -> Self {
        Self {
            client,
            task,
            screen: Screen::new(),
            last: String::new(),
        }
    }

    /// Shows what comes until the task has ended.
    pub(super) async fn follow(&mut self) -> Result<Stopped, Failure> {
        let mut tries = 0;
        loop {
            let before = self.last.clone();
            let failure = match self.client.events(self.task, &self.last).await? {
                Ok(None) => return Ok(Stopped::Ended(self.client.task(self.task).await?)),
                Ok(Some(response)) => match self.show(response).await? {
                    Some(stopped) => return Ok(stopped),
                    None => Failure::new("the server ends the events before the task has ended"),
                },
                Err(failure) => failure,
            };
            tries = if self.last == before { tries + 1 } else { 1 };
            if tries > TRIES {
                return Err(Failure::new(format!(
                    "{failure}; task {} may go on, and its output is kept",
                    self.task
                )));
            }
            tokio::time::sleep(pause(tries)).await;
        }
    }

    /// Shows the events of one connection. None where it dropped.
    async fn show(&mut self, mut response: reqwest::Response) -> Result<Option<Stopped>, Failure> {
        let mut parser = Parser::default();
        while let Ok(Some(chunk)) = response.chunk().await {
            if parser.push(&chunk).is_err() {
                return Err(Failure::new("the server sends an event without end"));
            }
            while let Some(message) = parser.next() {
                if message.event == "end" {
                    return Ok(Some(Stopped::Ended(parse(&message)?)));
                }
                match self.write(&message).await? {
                    Ok(()) => message.id.clone_into(&mut self.last),
                    Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                        return Ok(Some(Stopped::NobodyReads));
                    }
                    Err(e) => return Err(Failure::new(format!("cannot write the output: {e}"))),
                }
            }
        }
        Ok(None)
    }

    /// The inner error is that of our own stdout or stderr.
    async fn write(&mut self, message: &Message) -> Result<io::Result<()>, Failure> {
        let stream = match message.event.as_str() {
            "stdout" => Stream::Stdout,
            "stderr" => Stream::Stderr,
            "gap" => {
                let gap: LeftOut = parse(message)?;
                let note = format!(
                    "wsexec: {} bytes of {} were left out here\n",
                    gap.length, gap.stream
                );
                return Ok(self.screen.text(Stream::Stderr, &note).await);
            }
            // What a later server tells beside these.
            _ => return Ok(Ok(())),
        };
        let output: Output = parse(message)?;
        if self.screen.is_exact(stream)
            && output.text.contains(char::REPLACEMENT_CHARACTER)
            && let Some(end) = told(&message.id, stream).filter(|end| *end > output.offset)
            && let Some(bytes) = self
                .client
                .raw(self.task, stream, output.offset, end)
                .await?
        {
            return Ok(self.screen.bytes(stream, &bytes).await);
        }
        Ok(self.screen.text(stream, &output.text).await)
    }
}

/// How many bytes of a stream were told up to the event of that id, `STDOUT-STDERR`.
fn told(id: &str, stream: Stream) -> Option<u64> {
    let (stdout, stderr) = id.split_once('-')?;
    match stream {
        Stream::Stdout => stdout.parse().ok(),
        Stream::Stderr => stderr.parse().ok(),
    }
}

fn parse<T: DeserializeOwned>(message: &Message) -> Result<T, Failure> {
    serde_json::from_str(&message.data)
        .map_err(|e| Failure::new(format!("the server sends an event that is none: {e}")))
}
