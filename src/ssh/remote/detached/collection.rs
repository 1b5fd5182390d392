use super::talk::{self, Talk};
use super::{ANSWER, PACE};
use crate::domain::Stream;
use crate::ssh::Failure;
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::time::Instant;

/// The longest tail that is taken, in bytes: longer than any that was asked for.
const TAIL: u64 = 2 * 1024 * 1024;
/// The longest head that is taken, in bytes: as long as any that can be asked for.
const HEAD: u64 = 4096 * 1024 * 1024;

/// What a machine knows of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whether all of it is there: exit, and output to its end.
    pub over: bool,
    /// Whether the script's first process lives.
    pub alive: bool,
    /// Whether what records the exit lives.
    pub watched: bool,
    /// Whether the machine was not started anew since the run began.
    pub same_boot: bool,
    /// Whether something that the script left behind still held its output open when it was no
    /// longer waited for.
    pub cut: bool,
    /// Exit code as the machine's shell tells it, and when by the machine's clock, Unix seconds.
    pub exit: Option<(u32, i64)>,
    /// The machine's clock now, Unix seconds.
    pub now: i64,
    /// How long a head may be, in bytes.
    pub cap: u64,
    /// What there is of stdout and stderr.
    pub streams: [Kept; 2],
}

/// What a machine kept of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Bytes of its beginning.
    pub head: u64,
    /// All bytes that came, once that is known.
    pub total: Option<u64>,
    /// Bytes of its end, none of which is in the head.
    pub tail: u64,
}

/// What a run left: its state, and what was not taken yet of its output.
pub struct Collection {
    state: State,
    talk: Talk,
    left: [u64; 2],
    /// When all of it has to be here.
    deadline: Instant,
}

impl Collection {
    pub(super) async fn open(mut talk: Talk, from: [u64; 2]) -> Result<Option<Self>, Failure> {
        let said = talk.said(ANSWER).await?;
        if said == "gone" {
            return Ok(None);
        }
        let state = state(&said).ok_or_else(|| talk::not_understood(&said))?;
        let [out, err] = &state.streams;
        let left = [
            out.head.saturating_sub(from[0]),
            err.head.saturating_sub(from[1]),
        ];
        let all = left[0] + left[1] + out.tail + err.tail;
        let deadline = Instant::now() + ANSWER + Duration::from_secs(all / PACE);
        Ok(Some(Self {
            state,
            talk,
            left,
            deadline,
        }))
    }

    /// What is known of it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The next bytes of a head, stdout's first. None when both are at their ends.
    ///
    /// # Errors
    /// `lost` where the machine does not send what it announced.
    pub async fn next(&mut self) -> Result<Option<(Stream, Bytes)>, Failure> {
        for stream in Stream::ALL {
            let left = &mut self.left[stream as usize];
            if *left > 0 {
                let patience = ANSWER.min(self.deadline - Instant::now());
                let bytes = self.talk.bytes(*left, patience).await?;
                *left -= bytes.len() as u64;
                return Ok(Some((stream, bytes)));
            }
        }
        Ok(None)
    }

    /// Both tails, once the heads were taken.
    ///
    /// # Errors
    /// As [`Collection::next`].
    pub async fn tails(mut self) -> Result<[Bytes; 2], Failure> {
        let mut tails = [BytesMut::new(), BytesMut::new()];
        for (tail, kept) in tails.iter_mut().zip(self.state.streams) {
            while (tail.len() as u64) < kept.tail {
                let left = kept.tail - tail.len() as u64;
                let patience = ANSWER.min(self.deadline - Instant::now());
                tail.extend_from_slice(&self.talk.bytes(left, patience).await?);
            }
        }
        match self.talk.said(ANSWER).await?.as_str() {
            "over" => Ok(tails.map(BytesMut::freeze)),
            other => Err(talk::not_understood(other)),
        }
    }
}

/// Reads what collect.sh says: words in a fixed order.
pub(in crate::ssh) fn state(said: &str) -> Option<State> {
    let mut words = said.split(' ');
    if words.next()? != "state" {
        return None;
    }
    let mut truth = |yes: &str, no: &str| match words.next()? {
        word if word == yes => Some(true),
        word if word == no => Some(false),
        _ => None,
    };
    let (over, alive, watched) = (
        truth("yes", "no")?,
        truth("yes", "no")?,
        truth("yes", "no")?,
    );
    let (same_boot, cut) = (truth("same", "other")?, truth("yes", "no")?);
    let cap = words
        .next()?
        .parse::<u64>()
        .ok()?
        .checked_mul(super::BLOCK)?;
    let (code, at) = (words.next()?, words.next()?);
    let exit = match (code, at) {
        ("-", _) | (_, "-") => None,
        (code, at) => Some((code.parse().ok()?, at.parse().ok()?)),
    };
    let now = words.next()?.parse().ok()?;
    let mut kept = || {
        let head = words.next()?.parse().ok()?;
        let total = match words.next()? {
            "-" => None,
            total => Some(total.parse().ok()?),
        };
        let tail = words.next()?.parse().ok()?;
        // Offsets have to fit the store's numbers.
        let fits = head <= cap.min(HEAD) && total.unwrap_or(0) <= i64::MAX as u64 / 4;
        let is_behind =
            tail == 0 || total.is_some_and(|total| head <= total && tail <= total - head);
        (fits && tail <= TAIL && is_behind).then_some(Kept { head, total, tail })
    };
    let streams = [kept()?, kept()?];
    words.next().is_none().then_some(State {
        over,
        alive,
        watched,
        same_boot,
        cut,
        exit,
        now,
        cap,
        streams,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_program_says_is_a_state() {
        let said = "state yes no no same no 2000 3 100 101 1024000 6888901 1000 0 0 0";
        let read = state(said).unwrap();
        assert_eq!(
            (read.exit, read.cap, read.over),
            (Some((3, 100)), 1_024_000, true)
        );
        assert_eq!(read.streams[0].total, Some(6_888_901));
        let running = "state no yes yes same no 2000 - - 101 12 - 0 0 - 0";
        assert_eq!(state(running).unwrap().exit, None);
        for bad in [
            "state yes no no same no 2000 3 100 101 1024000 6888901 1000 0 0",
            "state yes no no same no 2000 3 100 101 1024000 6888901 1000 0 0 0 0",
            "state yes no no same no 2000 3 100 101 10 20 11 0 0 0",
            "state yes no no same no 2000 3 100 101 10 99999999 9999999 0 0 0",
            "state yes no no same no 2000 -1 100 101 10 10 0 0 0 0",
            "state yes no no same no 2000 3 100 101 1024001 6888901 1000 0 0 0",
            "state no no no same no 36028797018963967 - - 101 4611686018427387904 - 0 0 - 0",
            "state maybe no no same no 2000 3 100 101 10 10 0 0 0 0",
        ] {
            assert_eq!(state(bad), None, "{bad}");
        }
    }
}
