//! Which tasks are kept, and which go by themselves once they have ended.

use super::{Labels, labels_from};
use std::fmt;

/// How much of the tasks that have ended is kept. What is unset has no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Seconds since the end of a task.
    pub age: Option<i64>,
    /// Tasks.
    pub tasks: Option<u64>,
    /// Bytes of their output.
    pub bytes: Option<u64>,
}

/// The limit that a task goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// It ended too long ago.
    Age,
    /// There are too many.
    Tasks,
    /// Their output is too much.
    Bytes,
}

impl Limit {
    /// Its key in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "max_age",
            Self::Tasks => "max_tasks",
            Self::Bytes => "max_bytes",
        }
    }
}

impl Limits {
    /// The limit that is passed, if one is, by so many tasks with so many bytes of output, whose
    /// oldest one ended then.
    pub fn passed(&self, (tasks, bytes): (u64, u64), oldest: i64, now: i64) -> Option<Limit> {
        if self.age.is_some_and(|age| oldest < now.saturating_sub(age)) {
            Some(Limit::Age)
        } else if self.tasks.is_some_and(|most| tasks > most) {
            Some(Limit::Tasks)
        } else if self.bytes.is_some_and(|most| bytes > most) {
            Some(Limit::Bytes)
        } else {
            None
        }
    }

    /// Whether nothing goes by itself.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = [
            self.age.map(|it| format!("{} {it}", Limit::Age.as_str())),
            self.tasks
                .map(|it| format!("{} {it}", Limit::Tasks.as_str())),
            self.bytes
                .map(|it| format!("{} {it}", Limit::Bytes.as_str())),
        ];
        let told: Vec<_> = told.into_iter().flatten().collect();
        match told.is_empty() {
            true => f.write_str("everything is kept"),
            false => f.write_str(&told.join(", ")),
        }
    }
}

/// A label that instances may have: with this value, or with any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPattern {
    key: String,
    value: Option<String>,
}

impl LabelPattern {
    /// Reads `key=value` or `key`.
    ///
    /// # Errors
    /// The sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        labels_from([format!("{key}={}", value.unwrap_or_default()).as_str()])?;
        Ok(Self {
            key: key.to_owned(),
            value: value.map(str::to_owned),
        })
    }

    /// Whether an instance with these labels has it.
    pub fn is_in(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

impl fmt::Display for LabelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// What is kept: limits for all tasks, and others in their place for tasks on instances with a
/// label. Each limit is for all tasks together that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    general: Limits,
    rules: Vec<(LabelPattern, Limits)>,
}

impl Retention {
    /// The first rule whose label an instance has counts there.
    pub fn new(general: Limits, rules: Vec<(LabelPattern, Limits)>) -> Self {
        Self { general, rules }
    }

    /// Whether nothing ever goes by itself.
    pub fn keeps_everything(&self) -> bool {
        self.general.are_none() && self.rules.iter().all(|(_, limits)| limits.are_none())
    }

    /// The limits, with the label that they are for; the general ones, for the rest, come last.
    pub fn groups(&self) -> impl Iterator<Item = (Option<&LabelPattern>, Limits)> {
        let rules = self.rules.iter();
        let rules = rules.map(|(label, limits)| (Some(label), *limits));
        rules.chain([(None, self.general)])
    }

    /// Which of the groups the tasks of an instance with these labels belong to.
    pub fn group_of(&self, labels: &Labels) -> usize {
        let is_in = |(label, _): &(LabelPattern, Limits)| label.is_in(labels);
        self.rules
            .iter()
            .position(is_in)
            .unwrap_or(self.rules.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_an_instance_has_the_label_of_counts() {
        let rule = |text| (LabelPattern::parse(text).unwrap(), Limits::default());
        let rules = Retention::new(Limits::default(), vec![rule("env=prod"), rule("keep")]);
        let labels = |texts: &[&str]| labels_from(texts.iter().copied()).unwrap();
        for (texts, group) in [
            (&["env=prod", "keep=yes"][..], 0),
            (&["env=test", "keep="], 1),
            (&["env=test"], 2),
            (&[], 2),
        ] {
            assert_eq!(rules.group_of(&labels(texts)), group, "{texts:?}");
        }
        for bad in ["", "=", "a b", "a=*", "=x", "a=b=c"] {
            assert!(LabelPattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn at_a_limit_everything_is_kept_and_past_it_the_oldest_goes() {
        let limits = Limits {
            age: Some(10),
            tasks: Some(5),
            bytes: Some(100),
        };
        assert_eq!(limits.passed((5, 100), 90, 100), None);
        assert_eq!(limits.passed((5, 100), 89, 100), Some(Limit::Age));
        assert_eq!(limits.passed((6, 100), 90, 100), Some(Limit::Tasks));
        assert_eq!(limits.passed((5, 101), 90, 100), Some(Limit::Bytes));
        assert_eq!(
            Limits::default().passed((u64::MAX, u64::MAX), 0, i64::MAX),
            None
        );
    }
}
