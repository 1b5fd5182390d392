use super::ConfigError;
use super::validate::{within, wrong};
use crate::domain::{self, LabelPattern};
use serde::Deserialize;
use std::time::Duration;

/// The most rules: each is a pass of its own.
const RULES: usize = 64;
/// The highest limit: what SQLite counts to.
const MOST: u64 = i64::MAX as u64;
/// A hundred years.
const AGE: u64 = 100 * 366 * 24 * 60 * 60;
const DAY: u64 = 24 * 60 * 60;

/// Which tasks go by themselves once they have ended: none, unless this says so.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Seconds after its end when a task goes.
    pub max_age: Option<u64>,
    /// The most tasks that are kept; the oldest go.
    pub max_tasks: Option<u64>,
    /// The most bytes of their output; the oldest go.
    pub max_bytes: Option<u64>,
    /// Seconds from one look to the next.
    pub interval: u64,
    /// Other limits for some tasks, in the place of these.
    pub rules: Vec<RetentionRule>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            max_age: None,
            max_tasks: None,
            max_bytes: None,
            interval: 60,
            rules: Vec::new(),
        }
    }
}

/// `[[retention.rules]]`: what is kept of the tasks on instances with a label. What is unset has no
/// limit there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// `key=value`, or `key` for any value.
    pub label: String,
    /// As [`Retention::max_age`].
    pub max_age: Option<u64>,
    /// As [`Retention::max_tasks`].
    pub max_tasks: Option<u64>,
    /// As [`Retention::max_bytes`].
    pub max_bytes: Option<u64>,
}

/// The keys of the limits, where they stand.
type Keys = [&'static str; 3];
const GENERAL: Keys = [
    "retention.max_age",
    "retention.max_tasks",
    "retention.max_bytes",
];
const OF_A_RULE: Keys = [
    "retention.rules.max_age",
    "retention.rules.max_tasks",
    "retention.rules.max_bytes",
];

/// 0 would keep nothing, and be written by somebody who means that nothing is limited.
fn limits(
    keys: Keys,
    [age, tasks, bytes]: [Option<u64>; 3],
) -> Result<domain::Limits, ConfigError> {
    for (key, value, most) in [
        (keys[0], age, AGE),
        (keys[1], tasks, MOST),
        (keys[2], bytes, MOST),
    ] {
        match value {
            Some(0) => return wrong(key, "0 would keep nothing; leave it out for no limit"),
            Some(value) => within(key, value, 1..=most)?,
            None => {}
        }
    }
    Ok(domain::Limits {
        age: age.and_then(|it| i64::try_from(it).ok()),
        tasks,
        bytes,
    })
}

impl Retention {
    /// What is kept.
    ///
    /// # Errors
    /// [`ConfigError::Value`] where a limit is out of bounds, or a label is none or there twice.
    pub fn rules(&self) -> Result<domain::Retention, ConfigError> {
        const LABEL: &str = "retention.rules.label";
        within("retention.interval", self.interval, 1..=DAY)?;
        within("retention.rules", self.rules.len() as u64, 0..=RULES as u64)?;
        let mut rules: Vec<(LabelPattern, domain::Limits)> = Vec::with_capacity(self.rules.len());
        for it in &self.rules {
            let label = LabelPattern::parse(&it.label);
            let label = label.map_err(|message| ConfigError::Value {
                key: LABEL,
                message,
            })?;
            if rules.iter().any(|(other, _)| *other == label) {
                return wrong(LABEL, &format!("{label} has a rule already"));
            }
            let own = limits(OF_A_RULE, [it.max_age, it.max_tasks, it.max_bytes])?;
            rules.push((label, own));
        }
        let general = limits(GENERAL, [self.max_age, self.max_tasks, self.max_bytes])?;
        Ok(domain::Retention::new(general, rules))
    }

    /// The time from one look to the next.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<domain::Retention, String> {
        let parsed: Retention = toml::from_str(text).map_err(|it| it.to_string())?;
        parsed.rules().map_err(|it| it.to_string())
    }

    #[test]
    fn nothing_goes_unless_it_is_said_and_a_rule_may_keep_what_the_rest_does_not() {
        assert!(rules("").unwrap().keeps_everything());
        let told = rules("max_age = 60\nrules = [{ label = \"env=prod\" }]").unwrap();
        assert!(!told.keeps_everything());
        let told: Vec<_> = told
            .groups()
            .map(|(label, limits)| (label.map(ToString::to_string), limits.to_string()))
            .collect();
        assert_eq!(
            told,
            [
                (Some("env=prod".into()), "everything is kept".into()),
                (None, "max_age 60".into())
            ]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_key() {
        for (text, key) in [
            ("max_age = 0", "retention.max_age: 0 would keep nothing"),
            ("max_tasks = 0", "retention.max_tasks: 0 would keep nothing"),
            ("max_bytes = 0", "retention.max_bytes: 0 would keep nothing"),
            (
                "max_age = 99999999999",
                "retention.max_age: 99999999999 is not",
            ),
            (
                "interval = 0",
                "retention.interval: 0 is not within 1 to 86400",
            ),
            ("max_days = 3", "unknown field `max_days`"),
            ("max_age = -1", "invalid value"),
            ("rules = [{ max_age = 5 }]", "missing field `label`"),
            (
                "rules = [{ label = \"a b\" }]",
                "retention.rules.label: \"a b\" is no key",
            ),
            (
                "rules = [{ label = \"a\" }, { label = \"a\", max_age = 1 }]",
                "retention.rules.label: a has a rule already",
            ),
            (
                "rules = [{ label = \"a\", max_tasks = 0 }]",
                "retention.rules.max_tasks: 0 would keep nothing",
            ),
            (
                "rules = [{ label = \"a\", age = 1 }]",
                "unknown field `age`",
            ),
        ] {
            let error = rules(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
