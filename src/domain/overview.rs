use super::word::word;
use super::{Instance, InstanceId, Task};

/// How a task has ended, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The script exited with 0.
    Succeeded,
    /// The script exited with something else.
    Failed,
    /// It never ran, or was broken off, and nobody had asked for that.
    Aborted,
    /// Somebody cancelled it.
    Cancelled,
}

word! {
    Fate {
        Succeeded => "succeeded",
        Failed => "failed",
        Aborted => "aborted",
        Cancelled => "cancelled",
    }
}

/// Some of what there is, and how much that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// The first few.
    pub shown: Vec<T>,
    /// How many there are, as far as was counted.
    pub count: usize,
    /// Whether counting was given up: there may be more.
    pub more: bool,
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self {
            shown: Vec::new(),
            count: 0,
            more: false,
        }
    }
}

/// What runs, what failed, what waits for somebody, as far as one reader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// Tasks that run, the newest first.
    pub running: Part<Task>,
    /// Tasks in INIT, the oldest first.
    pub waiting: Part<Task>,
    /// Tasks that failed or were aborted within the last day, the latest first.
    pub failed: Part<Task>,
    /// Tasks of others that wait for a second person, whom the reader may be.
    pub to_decide: Part<Task>,
    /// How many of the reader's own tasks wait for a second person.
    pub undecided: usize,
    /// Instances with a host key that the reader may decide about.
    pub to_review: Part<Instance>,
    /// ACTIVE instances whose last connection failed, the latest first.
    pub failing: Part<Instance>,
    /// How far whoever is new here has come.
    pub begun: Begun,
}

/// How far whoever is new here has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Begun {
    /// There is an instance.
    pub instance: bool,
    /// A host key is trusted.
    pub host_key: bool,
    /// A task was posted.
    pub task: bool,
    /// The first instance that the reader sees.
    pub first: Option<InstanceId>,
}

impl Begun {
    /// Whether there is nothing left to begin.
    pub fn is_over(&self) -> bool {
        self.instance && self.host_key && self.task
    }
}

/// The last hours, oldest first; the last one is not over yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Day {
    /// One after the other, none left out.
    pub hours: Vec<Hour>,
    /// Where not all could be counted: only what ended at this time or later was, Unix seconds.
    pub since: Option<i64>,
}

/// What ended in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    /// When it begins, Unix seconds.
    pub begin: i64,
    /// How many tasks, by fate in the order of [`Fate::ALL`].
    pub ended: [u64; Fate::ALL.len()],
    /// Half of those that ran took at most so many seconds (two digits of them).
    pub median: Option<i64>,
    /// Of a hundred that ran, 95 took at most so many seconds (two digits of them).
    pub p95: Option<i64>,
}

impl Hour {
    /// From what ended in it: the fate, the seconds that it ran where it did, and how many there
    /// are of that.
    pub fn new(begin: i64, what: impl IntoIterator<Item = (Fate, Option<i64>, u64)>) -> Self {
        let mut ended = [0; Fate::ALL.len()];
        let mut took = Vec::new();
        for (fate, seconds, n) in what {
            ended[fate as usize] += n;
            took.extend(seconds.map(|seconds| (seconds, n)));
        }
        took.sort_unstable();
        Self {
            begin,
            ended,
            median: percentile(&took, 50),
            p95: percentile(&took, 95),
        }
    }

    /// How many tasks ended in it.
    pub fn all(&self) -> u64 {
        self.ended.iter().sum()
    }
}

/// The smallest value that so many percent are not above (nearest rank), of ascending values with
/// how often each is there.
fn percentile(values: &[(i64, u64)], percent: u64) -> Option<i64> {
    let all: u64 = values.iter().map(|(_, n)| n).sum();
    let rank = (all * percent).div_ceil(100);
    let mut below = 0;
    values
        .iter()
        .find(|(_, n)| {
            below += n;
            below >= rank.max(1)
        })
        .map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_counts_fates_and_knows_its_median_and_its_slowest() {
        let ran = |seconds, n| (Fate::Succeeded, Some(seconds), n);
        let hour = Hour::new(
            7200,
            [ran(90, 4), ran(1, 50), ran(5, 46), (Fate::Aborted, None, 3)],
        );
        assert_eq!((hour.ended, hour.all()), ([100, 0, 3, 0], 103));
        assert_eq!((hour.median, hour.p95), (Some(1), Some(5)));
        let slow = Hour::new(0, [ran(1, 1), ran(90, 1)]);
        assert_eq!((slow.median, slow.p95), (Some(1), Some(90)));
        let none = Hour::new(0, [(Fate::Cancelled, None, 1)]);
        assert_eq!((none.median, none.p95), (None, None));
    }
}
