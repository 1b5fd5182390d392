use super::redact::{Known, Masker};
use super::{AGAIN, Shared};
use crate::domain::{Stream, TaskId};
use crate::failpoint;
use crate::store::{CHUNK, Chunk, OutputWrite};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest end of a stream that is kept apart from its head, in bytes: what is held in memory
/// between two writes, for each stream of each run.
pub const TAIL: u64 = 1024 * 1024;
/// How long the first bytes wait for company.
const FIRST: Duration = Duration::from_millis(50);
/// How long between two writes.
const BETWEEN: Duration = Duration::from_millis(200);
/// How long between two writes once the head is full and each write replaces the tail.
const BETWEEN_TAILS: Duration = Duration::from_millis(500);

/// What came from a script and is not stored yet: bounded, whatever comes.
///
/// While a stream's head is not full, all of it is stored, and the script waits for that where it
/// has to. After that only the last [`TAIL`] bytes matter: older ones are dropped here or in the
/// store.
pub struct Output {
    head: u64,
    tail: u64,
    streams: [Pending; 2],
    maskers: [Masker; 2],
    /// How often a secret was masked before.
    masked: u64,
    /// All bytes of both streams so far.
    at: u64,
    /// A write that has not succeeded yet.
    unsent: Option<Arc<OutputWrite>>,
    due: Option<Instant>,
    last_write: Option<Instant>,
}

#[derive(Default)]
struct Pending {
    /// Where `data` begins in the stream.
    start: u64,
    data: VecDeque<u8>,
    /// Position among the bytes of both streams, and length.
    runs: VecDeque<(u64, u64)>,
    /// Line ends that were dropped from the front since bytes were taken.
    skipped: u64,
}

impl Pending {
    fn end(&self) -> u64 {
        self.start + self.data.len() as u64
    }

    /// Takes bytes from the front, with their runs.
    fn take(&mut self, length: usize) -> (Vec<u8>, Vec<(u64, u64)>) {
        let data = self.data.drain(..length).collect();
        let mut runs = Vec::new();
        self.pass(length as u64, |at, length| runs.push((at, length)));
        (data, runs)
    }

    /// Drops bytes from the front.
    fn discard(&mut self, length: usize) {
        let ends = self.data.drain(..length).filter(|byte| *byte == b'\n');
        self.skipped += ends.count() as u64;
        self.pass(length as u64, |_, _| {});
    }

    fn pass(&mut self, length: u64, mut run_passed: impl FnMut(u64, u64)) {
        self.start += length;
        let mut left = length;
        while left > 0
            && let Some(run) = self.runs.front_mut()
        {
            let passed = run.1.min(left);
            run_passed(run.0, passed);
            left -= passed;
            run.0 += passed;
            run.1 -= passed;
            if run.1 == 0 {
                self.runs.pop_front();
            }
        }
    }
}

impl Output {
    /// For a limit of bytes a stream: its head and its tail together.
    pub fn new(limit: u64) -> Self {
        let tail = TAIL.min(limit / 2);
        Self {
            head: limit - tail,
            tail,
            streams: <[Pending; 2]>::default(),
            maskers: <[Masker; 2]>::default(),
            masked: 0,
            at: 0,
            unsent: None,
            due: None,
            last_write: None,
        }
    }

    /// For streams of which so many bytes are stored, and whose bounds somebody else keeps: all that
    /// is pushed is kept, and never more than `most` bytes a stream may be.
    pub fn resumed(most: u64, stored: [u64; 2], masked: u64) -> Self {
        Self {
            head: most,
            masked,
            tail: 0,
            streams: stored.map(|start| Pending {
                start,
                ..Pending::default()
            }),
            at: stored.iter().sum(),
            ..Self::new(0)
        }
    }

    /// How many bytes of a stream came.
    pub fn end(&self, stream: Stream) -> u64 {
        self.streams[stream as usize].end()
    }

    /// All bytes that came on both streams.
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// Takes what came, without what is secret of it.
    pub fn take(&mut self, known: &Known, stream: Stream, bytes: &[u8], now: Instant) {
        metrics::counter!("wsexec_output_bytes_total", "stream" => stream.as_str())
            .increment(bytes.len() as u64);
        let masked = self.maskers[stream as usize].take(known, bytes, now);
        self.push(stream, &masked, now);
    }

    /// Takes what is held back because it may be the beginning of a secret: nothing follows.
    pub fn release(&mut self, known: &Known, stream: Stream, now: Instant) {
        let rest = self.maskers[stream as usize].rest(known);
        self.push(stream, &rest, now);
    }

    /// What is held back of a stream: it stands behind its end.
    pub fn held(&self, stream: Stream) -> u64 {
        self.maskers[stream as usize].held()
    }

    /// Masks what comes behind all else of a stream, where that has no gap before it.
    pub fn mask_end(&mut self, known: &Known, stream: Stream, end: &[u8]) -> Vec<u8> {
        let masker = &mut self.maskers[stream as usize];
        let mut masked = masker.take(known, end, Instant::now());
        masked.extend(masker.rest(known));
        masked
    }

    /// Drops what is held back: it comes again.
    pub fn forget_held(&mut self) {
        for masker in &mut self.maskers {
            masker.forget();
        }
    }

    /// How often a secret was masked.
    pub fn masked(&self) -> u64 {
        self.masked + self.maskers.iter().map(|it| it.count).sum::<u64>()
    }

    fn push(&mut self, stream: Stream, bytes: &[u8], now: Instant) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len() as u64;
        let pending = &mut self.streams[stream as usize];
        pending.data.extend(bytes);
        match pending.runs.back_mut() {
            Some(run) if run.0 + run.1 == self.at => run.1 += length,
            _ => pending.runs.push_back((self.at, length)),
        }
        self.at += length;
        let kept = usize::try_from(self.tail).unwrap_or(usize::MAX);
        if pending.start >= self.head && pending.data.len() > kept {
            pending.discard(pending.data.len() - kept);
        }
        if self.due.is_none() {
            let between = if pending.start >= self.head {
                BETWEEN_TAILS
            } else {
                BETWEEN
            };
            let rested = self.last_write.map_or(now, |last| last + between);
            self.due = Some(rested.max(now + FIRST));
        }
    }

    /// Whether the script has to wait until more is stored.
    pub fn is_full(&self) -> bool {
        self.streams
            .iter()
            .any(|s| s.start < self.head && s.data.len() >= CHUNK || s.runs.len() >= CHUNK)
    }

    /// Whether a write has been given out and has not succeeded.
    pub fn has_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    /// Whether anything that went on is not written yet.
    pub fn is_behind(&self) -> bool {
        self.due.is_some() || self.has_unsent()
    }

    /// When the next write is due, if anything is to be written.
    pub fn due(&self) -> Option<Instant> {
        let held = self.maskers.iter().filter_map(Masker::due);
        held.chain(self.due).min()
    }

    /// What is to be written now: what has not succeeded before, else what came since.
    pub fn write(&mut self) -> Arc<OutputWrite> {
        if let Some(unsent) = &self.unsent {
            return Arc::clone(unsent);
        }
        let mut chunks = Vec::new();
        for (stream, pending) in Stream::ALL.into_iter().zip(&mut self.streams) {
            while !pending.data.is_empty() {
                let to_head =
                    usize::try_from(self.head.saturating_sub(pending.start)).unwrap_or(usize::MAX);
                let room = if to_head == 0 {
                    CHUNK
                } else {
                    CHUNK.min(to_head)
                };
                let offset = pending.start;
                let skipped = std::mem::take(&mut pending.skipped);
                let (data, runs) = pending.take(room.min(pending.data.len()));
                chunks.push(Chunk {
                    stream,
                    offset,
                    data,
                    runs,
                    skipped,
                });
            }
        }
        let [stdout, stderr] = &self.streams;
        let write = Arc::new(OutputWrite {
            chunks,
            totals: [stdout.end(), stderr.end()],
            head: self.head,
            tail: self.tail,
            gaps: None,
            masked: self.masked(),
        });
        self.unsent = Some(Arc::clone(&write));
        write
    }

    /// Writes what came into the store. What that does not take is kept and tried again.
    pub async fn store(&mut self, shared: &Shared, task: TaskId) {
        let now = Instant::now();
        for stream in Stream::ALL {
            let due = self.maskers[stream as usize].due();
            if due.is_some_and(|due| due <= now) {
                self.release(&shared.known(), stream, now);
            }
        }
        if self.due.is_none() && self.unsent.is_none() {
            return;
        }
        match shared.store.append_output(task, self.write()).await {
            Ok(()) => {
                failpoint::pass("output.stored");
                self.written(Instant::now());
                shared.feed.changed(task);
            }
            Err(error) => {
                tracing::warn!(task = task.0, %error, "cannot store output; trying again");
                self.failed(Instant::now() + AGAIN);
            }
        }
    }

    /// The last write has succeeded.
    fn written(&mut self, now: Instant) {
        self.unsent = None;
        self.last_write = Some(now);
        let pending = self.streams.iter().any(|s| !s.data.is_empty());
        self.due = pending.then(|| now + BETWEEN);
    }

    /// The last write has failed; it is tried again after a while.
    fn failed(&mut self, again: Instant) {
        self.due = Some(again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_within_its_limit_is_written_whole_and_in_order() {
        let mut output = Output::new(1000);
        let now = Instant::now();
        output.push(Stream::Stdout, b"ab", now);
        output.push(Stream::Stderr, b"x", now);
        output.push(Stream::Stdout, b"cd", now);
        let write = output.write();
        assert_eq!(write.totals, [4, 1]);
        assert_eq!(write.chunks[0].data, b"abcd");
        assert_eq!(write.chunks[0].runs, [(0, 2), (3, 2)]);
        assert_eq!(
            (
                write.chunks[1].data.as_slice(),
                write.chunks[1].runs.as_slice()
            ),
            (&b"x"[..], &[(2, 1)][..])
        );
    }

    #[test]
    fn a_failed_write_is_given_again_before_anything_newer() {
        let mut output = Output::new(1000);
        let now = Instant::now();
        output.push(Stream::Stdout, b"ab", now);
        let first = output.write();
        output.failed(now);
        output.push(Stream::Stdout, b"cd", now);
        assert_eq!(output.write(), first);
        output.written(now);
        assert_eq!(output.write().chunks[0].offset, 2);
    }

    #[test]
    fn past_the_head_only_the_tail_stays_in_memory() {
        let mut output = Output::new(8);
        let now = Instant::now();
        output.push(Stream::Stdout, b"0123456", now);
        let write = output.write();
        let pieces: Vec<_> = write
            .chunks
            .iter()
            .map(|c| (c.offset, c.data.as_slice()))
            .collect();
        assert_eq!(pieces, [(0, &b"0123"[..]), (4, b"456")]);
        output.written(now);
        output.push(Stream::Stdout, b"789abcdef", now);
        let write = output.write();
        assert_eq!(
            (write.chunks[0].offset, write.chunks[0].data.as_slice()),
            (12, &b"cdef"[..])
        );
        assert_eq!((write.totals[0], write.head, write.tail), (16, 4, 4));
    }
}
