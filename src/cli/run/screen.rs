//! Where a script's output goes: as it is into files and pipes, and without control sequences to a
//! terminal, which a script on a foreign machine must not drive.

use crate::cli::terminal::printable;
use crate::domain::Stream;
use anstream::adapter::StripBytes;
use std::io::{self, IsTerminal};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// stdout and stderr of this process.
pub(super) struct Screen {
    stdout: Sink,
    stderr: Sink,
}

struct Sink {
    to: Box<dyn AsyncWrite + Unpin>,
    /// What strips control sequences, where this goes to a terminal.
    terminal: Option<StripBytes>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let sink = |to, is_terminal: bool| Sink {
            to,
            terminal: is_terminal.then(StripBytes::new),
        };
        Self {
            stdout: sink(Box::new(tokio::io::stdout()), io::stdout().is_terminal()),
            stderr: sink(Box::new(tokio::io::stderr()), io::stderr().is_terminal()),
        }
    }

    /// Whether bytes go out as they are, so that U+FFFD for what is not UTF-8 would be a change.
    pub(super) fn is_exact(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout.terminal.is_none(),
            Stream::Stderr => self.stderr.terminal.is_none(),
        }
    }

    /// Writes text, at once.
    pub(super) async fn text(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        let sink = self.sink(stream);
        match &mut sink.terminal {
            None => sink.write(text.as_bytes()).await,
            Some(strip) => {
                let shown = printable(strip, text);
                sink.write(shown.as_bytes()).await
            }
        }
    }

    /// Writes bytes as they are, at once. Only where [`Screen::is_exact`].
    pub(super) async fn bytes(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.sink(stream).write(bytes).await
    }

    fn sink(&mut self, stream: Stream) -> &mut Sink {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

impl Sink {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes).await?;
        self.to.flush().await
    }
}
