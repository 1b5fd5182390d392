//! What the words mean: types, the task's state machine, validation, errors, time.
//!
//! No I/O, no framework, no serialisation: a rule that stands here holds for the API, the pages
//! and the command line alike.

mod approval;
mod audit;
mod certificate;
mod clock;
mod credential;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod health;
mod host_key;
mod identity;
mod instance;
mod label;
mod launch;
mod overview;
mod page;
mod precondition;
mod retention;
mod scope;
mod second_factor;
mod secret;
mod shell;
mod task;
mod user;
mod validate;
mod wildcard;
mod word;

pub use approval::{
    Approval, ApprovalDecision, ApprovalRules, ApprovalState, ApprovalVerdict,
    comment as approval_comment, way_text,
};
pub use audit::{AuditFault, AuditFilter, AuditHead, AuditRecord, AuditVerdict};
pub use certificate::{ClientCertificate, Flag, ServerCertificate};
pub use clock::{Clock, SystemClock, jittered};
pub use credential::{
    By, Expiry, Grant, LoginMethod, NewToken, Session, SessionId, Token, TokenHash, TokenId,
    TokenRequest, Via,
};
pub use error::{Error, Field, Kind, Result};
pub use health::{Check, CheckFinding, CheckRequest, CheckStep, Health};
pub use host_key::{
    HostKey, HostKeyAct, HostKeyDecision, HostKeyEvent, HostKeyRecord, HostKeyState, RevokedKey,
    ShownKey, fingerprint,
};
pub use identity::{
    Identity, IdentityChange, IdentityId, IdentityKind, NewIdentity, Sealed, SealedPlace,
    SealedValues, SecretValues,
};
pub use instance::{Hop, Instance, InstanceChange, InstanceId, InstanceState, NewInstance};
pub use label::{Labels, labels, labels_from};
pub use launch::{Become, BecomeMethod, Launch, Mode, RemoteProcess, RunId, SshLibrary};
pub use overview::{Begun, Day, Fate, Hour, Overview, Part};
pub use page::{InstanceFilter, Order, Page, TaskFilter};
pub use precondition::{Idempotency, IfMatch};
pub use retention::{LabelPattern, Limit, Limits, Retention};
pub use scope::{Place, Scope, Scopes};
pub use second_factor::SecondFactor;
pub use secret::{Secret, random_bytes, random_token};
pub use shell::shell_word;
pub use task::{
    Amendment, Attempt, Ending, Gap, NewTask, Outcome, State, Stream, StreamInfo, Task, TaskId,
    TaskUpdate,
};
pub use user::{NewUser, Role, User, UserChange, UserId};
pub use validate::{
    Invalid, SECRETS_MAX, host, idempotency_key, login_user, name, new_password, port, reference,
    retries, retry_delay, script, subject, tag, timeout, username,
};
pub use wildcard::wildcard;
