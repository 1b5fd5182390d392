//! Where a script's output goes: as it is into files and pipes, and without control sequences to a
//! terminal, which a script on a foreign machine must not drive.

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

/// The text without control sequences, also where one is cut between two texts, and without control
/// characters (C1 ones too, which some terminals obey) other than tab and line ends.
fn printable(strip: &mut StripBytes, text: &str) -> String {
    let shown: Vec<u8> = strip
        .strip_next(text.as_bytes())
        .flatten()
        .copied()
        .collect();
    String::from_utf8_lossy(&shown)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t' | '\r'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_sequences() {
        let mut strip = StripBytes::new();
        let text = "a\u{1b}[31mred\u{1b}[0m\tb\r\n\u{1b}]0;title\u{7}\u{9b}2J\u{8}é\u{7}";
        assert_eq!(printable(&mut strip, text), "ared\tb\r\n2Jé");
    }

    #[test]
    fn a_sequence_that_is_cut_in_two_is_one() {
        let mut strip = StripBytes::new();
        let shown = printable(&mut strip, "a\u{1b}[3") + printable(&mut strip, "1mb").as_str();
        assert_eq!(shown, "ab");
    }
}
