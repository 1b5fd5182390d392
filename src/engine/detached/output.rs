//! What a run writes, on its way from the machine to the store.

use super::{AGAIN, Run};
use crate::domain::{Gap, Stream};
use crate::ssh::Failure;
use crate::ssh::remote::detached::Collection;
use crate::store::{CHUNK, Chunk, OutputWrite};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// For ever, for a clock.
const BLIND: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

impl Run<'_> {
    /// From where on the machine is to show what the run wrote.
    pub(super) fn from(&mut self) -> [u64; 2] {
        self.output.forget_held();
        Stream::ALL.map(|stream| self.output.end(stream))
    }

    /// A machine is not to send more than it was told to keep; what it sends beyond that is
    /// dropped.
    pub(super) fn push(&mut self, stream: Stream, mut bytes: Bytes) {
        let room = self
            .shared
            .config
            .output_limit
            .saturating_sub(self.output.end(stream) + self.output.held(stream));
        bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        let known = self.shared.known();
        self.output.take(&known, stream, &bytes, Instant::now());
        // What comes behind a full head is not seen before the end.
        let came = self.output.end(stream) + self.output.held(stream);
        let sees = came < self.bounds.head();
        self.heard.send_replace(match sees {
            true => Instant::now().max(*self.heard.borrow()),
            false => Instant::now() + BLIND,
        });
    }

    pub(super) async fn write(&mut self) {
        self.output.store(self.shared, self.task.id).await;
    }

    /// Writes all that came, however long the store takes to accept it.
    pub(super) async fn flush(&mut self) {
        while self.output.is_behind() {
            self.write().await;
            if self.output.has_unsent() {
                sleep(AGAIN).await;
            }
        }
    }

    /// Takes what was not followed of a run that is over. What is left out, and the ends behind
    /// that, are for the record of its end.
    pub(super) async fn collect(
        &mut self,
        mut collection: Collection,
    ) -> Result<OutputWrite, Failure> {
        while let Some((stream, bytes)) = collection.next().await? {
            self.push(stream, bytes);
            if self.output.is_full() {
                self.flush().await;
            }
        }
        let known = self.shared.known();
        let streams = collection.state().streams;
        let tails = collection.tails().await?;
        for ((stream, kept), tail) in Stream::ALL.into_iter().zip(&streams).zip(&tails) {
            let came = self.output.end(stream) + self.output.held(stream);
            let total = kept.total.unwrap_or(0).max(kept.head).max(came);
            if tail.is_empty() || total - came > tail.len() as u64 {
                self.output.release(&known, stream, Instant::now());
            }
        }
        self.flush().await;
        let mut at = self.output.bytes();
        let mut last = OutputWrite {
            gaps: Some([None; 2]),
            ..OutputWrite::default()
        };
        for ((stream, kept), mut tail) in Stream::ALL.into_iter().zip(streams).zip(tails) {
            let head = self.output.end(stream);
            let held = self.output.held(stream);
            let total = kept.total.unwrap_or(0).max(kept.head).max(head + held);
            // A machine that has shown more than it now says it kept: nothing is stored twice.
            let behind = usize::try_from(total - head - held).unwrap_or(usize::MAX);
            let _ = tail.split_to(tail.len().saturating_sub(behind));
            let tail = self.output.mask_end(&known, stream, &tail);
            let begin = total - tail.len() as u64;
            let length = begin.saturating_sub(head);
            if let Some(gaps) = &mut last.gaps {
                gaps[stream as usize] = (length > 0).then_some(Gap {
                    offset: head,
                    length,
                });
            }
            last.totals[stream as usize] = total;
            at += length;
            for (number, data) in tail.chunks(CHUNK).enumerate() {
                last.chunks.push(Chunk {
                    stream,
                    offset: begin + (number * CHUNK) as u64,
                    data: data.to_vec(),
                    runs: vec![(at, data.len() as u64)],
                });
                at += data.len() as u64;
            }
        }
        Ok(last)
    }
}
