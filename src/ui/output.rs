//! A task's output for its page: the last of each stream, and from where live events go on.

use crate::domain::{Kind, Result, Stream, Task};
use crate::service::{Actor, EventId, OutputReader, Service};

/// What a page shows of each stream, in bytes; the raw output has the rest.
const SHOWN: u64 = 64 * 1024;

/// A stretch of output without a gap, or the gap.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Output.
    Text(String),
    /// So many bytes are not kept.
    Gap(u64),
}

/// What a page shows of one stream.
pub struct Shown {
    /// Which one.
    pub stream: Stream,
    /// Its last part.
    pub pieces: Vec<Piece>,
    /// All bytes that came, or that the amended text has.
    pub total: u64,
    /// The kept bytes before what is shown.
    pub earlier: u64,
    /// Whether somebody put another text in place of what ran.
    pub amended: bool,
    /// The offset in the stream, in bytes, of what follows.
    next: u64,
}

/// Both streams of a task, as one page shows them.
pub struct Output {
    /// Standard output, then standard error.
    pub streams: Vec<Shown>,
    /// The id of the last event that the page already shows.
    pub from: EventId,
}

impl Output {
    /// Reads the last part of both streams.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn read(service: &Service, actor: &Actor, task: &Task) -> Result<Self> {
        let stdout = Shown::read(service, actor, task, Stream::Stdout).await?;
        let stderr = Shown::read(service, actor, task, Stream::Stderr).await?;
        let from = EventId::At {
            stdout: stdout.next,
            stderr: stderr.next,
        };
        Ok(Self {
            streams: vec![stdout, stderr],
            from,
        })
    }

    /// Neither stream: for a page that is asked for without output.
    pub fn none() -> Self {
        Self {
            streams: Vec::new(),
            from: EventId::At {
                stdout: 0,
                stderr: 0,
            },
        }
    }
}

impl Shown {
    /// What is kept may move on while it is read; then it is read again, and what cannot be read
    /// even so is left to the live events, which begin where this ends.
    async fn read(service: &Service, actor: &Actor, task: &Task, stream: Stream) -> Result<Self> {
        for _ in 0..2 {
            let reader = service.read_shown(actor, task, stream).await?;
            match Self::last_of(reader, stream).await {
                Err(error) if error.kind() == Kind::Conflict => {}
                read => return read,
            }
        }
        Ok(Self {
            stream,
            pieces: Vec::new(),
            total: task.stream(stream).bytes,
            earlier: 0,
            amended: false,
            next: 0,
        })
    }

    async fn last_of(mut reader: OutputReader, stream: Stream) -> Result<Self> {
        let task = reader.task();
        let (info, ended) = (task.stream(stream), task.state.has_ended());
        let amended = task.is_amended(stream);
        let gap = info.gap.filter(|_| !amended);
        let kept = reader.kept().unwrap_or_else(|| info.kept());
        let earlier = kept.saturating_sub(SHOWN);
        reader.skip(earlier);
        let mut at = earlier;
        let mut stretches = Stretches::default();
        while let Some(bytes) = reader.next().await? {
            if let Some(gap) = gap.filter(|gap| gap.offset == at) {
                stretches.gap(gap.length);
            }
            at += bytes.len() as u64;
            stretches.bytes(&bytes);
        }
        if earlier > 0 {
            stretches.begin_with_a_character();
        }
        let held_back = if ended { 0 } else { stretches.hold_back() };
        Ok(Self {
            stream,
            pieces: stretches.decode(),
            total: if amended { kept } else { info.bytes },
            earlier,
            amended,
            next: info.bytes - held_back,
        })
    }
}

/// Bytes on their way to text.
#[derive(Default)]
struct Stretches {
    done: Vec<Piece>,
    bytes: Vec<u8>,
}

impl Stretches {
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn gap(&mut self, length: u64) {
        self.close();
        self.done.push(Piece::Gap(length));
    }

    fn close(&mut self) {
        if !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.done.push(Piece::Text(text));
        }
    }

    /// Drops what is left of a character whose first byte was cut off.
    fn begin_with_a_character(&mut self) {
        if self.done.is_empty() {
            let rest = self.bytes.iter().take(3).take_while(|b| **b & 0xc0 == 0x80);
            let rest = rest.count();
            self.bytes.drain(..rest);
        }
    }

    /// Takes away the beginning of a character whose end has yet to come, so that it is told whole
    /// by the event that follows; gives its length.
    fn hold_back(&mut self) -> u64 {
        let length = incomplete(&self.bytes);
        self.bytes.truncate(self.bytes.len() - length);
        length as u64
    }

    fn decode(mut self) -> Vec<Piece> {
        self.close();
        self.done
    }
}

/// How many bytes at the end begin a UTF-8 sequence that is not over (RFC 3629 section 4).
fn incomplete(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let wanted = match bytes[bytes.len() - back] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if wanted > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_never_cut_in_two() {
        let text = "aé漢👍";
        for end in 0..=text.len() {
            let bytes = &text.as_bytes()[..end];
            let whole = end - incomplete(bytes);
            assert!(text.is_char_boundary(whole), "{end}");
            assert!(end - whole < 4);
        }
        assert_eq!(incomplete(b"\x80\x80\x80"), 0);
        assert_eq!(incomplete(b"\xff"), 0);
    }

    #[test]
    fn nothing_is_joined_over_a_gap() {
        let mut it = Stretches::default();
        it.bytes("é".as_bytes().split_at(1).0);
        it.gap(7);
        it.bytes("é".as_bytes().split_at(1).1);
        let bad = || Piece::Text("\u{fffd}".into());
        assert_eq!(it.decode(), [bad(), Piece::Gap(7), bad()]);
    }
}
