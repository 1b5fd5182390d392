//! What the words mean: types, the task's state machine, validation, errors, time.
//!
//! No I/O, no framework, no serialisation: a rule that stands here holds for the API, the pages
//! and the command line alike.

mod clock;
mod error;
mod health;
mod host_key;
mod instance;
mod launch;
mod page;
mod precondition;
mod secret;
mod task;
mod user;
mod validate;
mod word;

pub use clock::{Clock, SystemClock, jittered};
pub use error::{Error, Field, Kind, Result};
pub use health::{Check, CheckFinding, CheckRequest, CheckStep, Health};
pub use host_key::{
    HostKey, HostKeyAct, HostKeyDecision, HostKeyEvent, HostKeyRecord, HostKeyState, RevokedKey,
    ShownKey, fingerprint,
};
pub use instance::{Hop, Instance, InstanceChange, InstanceId, InstanceState, NewInstance};
pub use launch::{Become, BecomeMethod, Launch, Mode, RemoteProcess, RunId, SshLibrary};
pub use page::{InstanceFilter, Order, Page, TaskFilter};
pub use precondition::{Idempotency, IfMatch};
pub use secret::{Secret, random_bytes, random_token};
pub use task::{
    Amendment, Attempt, Ending, Gap, NewTask, Outcome, State, Stream, StreamInfo, Task, TaskId,
    TaskUpdate,
};
pub use user::{Role, User, UserId};
pub use validate::{
    Invalid, host, idempotency_key, login_user, name, new_password, port, retries, retry_delay,
    script, tag, timeout, username,
};
