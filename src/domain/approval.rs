use super::word::word;

/// Where the approval of a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// Nobody has decided yet: the task waits.
    Waiting,
    /// A second person let it run.
    Approved,
    /// A second person did not let it run.
    Refused,
    /// Nobody decided in time.
    Expired,
}

word! {
    ApprovalState {
        Waiting => "waiting",
        Approved => "approved",
        Refused => "refused",
        Expired => "expired",
    }
}

/// The second person that a task needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Where it stands.
    pub state: ApprovalState,
    /// When nobody can approve it any more, Unix seconds.
    pub expires: i64,
    /// The machine that it was posted for, as [`super::Instance::address`]: it runs on no other.
    pub address: String,
    /// Who decided.
    pub by: Option<String>,
    /// When that was.
    pub at: Option<i64>,
    /// What they said.
    pub comment: String,
}

/// What a second person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalDecision {
    /// It may run.
    Approve,
    /// It may not.
    Refuse,
}

word! {
    ApprovalDecision {
        Approve => "approve",
        Refuse => "refuse",
    }
}
