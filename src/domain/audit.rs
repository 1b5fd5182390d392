//! The record of who did what.

use super::{Invalid, Result};
use std::fmt;

/// The longest name or object that is looked for, in characters.
const TEXT_MAX: usize = 256;

/// One act in the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number: they begin at 1 and none is left out.
    pub n: i64,
    /// When, Unix seconds.
    pub at: i64,
    /// Who: a login name, `local` for the command line, `wsexec` for the server itself; empty where
    /// nobody was logged in.
    pub by: String,
    /// By what means, such as `session/3`.
    pub via: String,
    /// From where, empty where that is nowhere.
    pub from: String,
    /// A noun and a verb, such as `task.create`.
    pub action: String,
    /// A noun and an id, such as `instance/3`.
    pub object: String,
    /// How many such acts this stands for: refusals that repeat are counted.
    pub count: i64,
    /// A JSON object.
    pub detail: String,
    /// The MAC over all of this and the MAC of the record before: 32 bytes, unless somebody has
    /// changed them.
    pub mac: Vec<u8>,
}

/// Where the trail ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// The number of the last record, and so how many there are.
    pub n: i64,
    /// Its MAC.
    pub mac: Vec<u8>,
}

/// What a reading of the trail is narrowed to. Each member that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// By this name.
    pub by: Option<String>,
    /// This act, or with a `*` at the end those that begin so.
    pub action: Option<String>,
    /// On this object.
    pub object: Option<String>,
    /// Not before this time, Unix seconds.
    pub since: Option<i64>,
    /// Before this time, Unix seconds.
    pub until: Option<i64>,
}

impl AuditFilter {
    /// Checks what can be wrong with it.
    ///
    /// # Errors
    /// [`super::Kind::Invalid`], naming each member.
    pub fn validate(&self) -> Result<()> {
        let mut wrong = Invalid::default();
        let begin = self
            .action
            .as_deref()
            .map(|it| it.strip_suffix('*').unwrap_or(it));
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
        if begin.is_some_and(|it| !it.chars().all(is_word)) {
            let right =
                "must be a noun and a verb such as `task.create`, or the begin of one and `*`";
            wrong.add("action", right);
        }
        for (name, text) in [("by", &self.by), ("object", &self.object)] {
            let fits = |it: &String| it.chars().count() <= TEXT_MAX && !it.contains('\0');
            if text.as_ref().is_some_and(|it| !fits(it)) {
                let right = format!("must have at most {TEXT_MAX} characters, and no NUL");
                wrong.add(name, right);
            }
        }
        wrong.finish()
    }
}

/// What is wrong with a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditFault {
    /// There are no records with these numbers, the last one included.
    Missing(i64, i64),
    /// No record has such a number.
    Foreign(i64),
    /// It, or what stood before it, is not what was written.
    Changed(i64),
    /// It is not the record that the anchor knows by this number.
    NotAnchored(i64),
    /// It ends at the first number, and the anchor knows the second one.
    Truncated(i64, i64),
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(from, to) if from == to => write!(f, "record {from} is missing"),
            Self::Missing(from, to) => write!(f, "records {from} to {to} are missing"),
            Self::Foreign(n) => write!(f, "record {n} was put in: numbers begin at 1"),
            Self::Changed(n) => write!(
                f,
                "record {n} is not what was written there after the one before it"
            ),
            Self::NotAnchored(n) => write!(f, "record {n} is not the one that the anchor knows"),
            Self::Truncated(last, anchored) => write!(
                f,
                "the trail ends at record {last} and the anchor knows record {anchored}: what is \
                 between is gone"
            ),
        }
    }
}

/// What was found of a trail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditVerdict {
    /// How many records were looked at.
    pub records: i64,
    /// The number of the first one.
    pub first: Option<i64>,
    /// The last one.
    pub head: Option<AuditHead>,
    /// How many records the anchor knows; none where there is no anchor, so that it is not known
    /// whether the end of the trail was cut off.
    pub anchored: Option<i64>,
    /// What is wrong: the first such things.
    pub faults: Vec<AuditFault>,
}
