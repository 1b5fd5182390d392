//! The record of who did what.

/// One act in the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number: they begin at 1 and none is left out.
    pub n: i64,
    /// When, Unix seconds.
    pub at: i64,
    /// Who: a login name, `local` for the command line, `wsexec` for the server itself.
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
    /// The MAC over all of this and the MAC of the record before.
    pub mac: [u8; 32],
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
