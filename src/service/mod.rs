//! The use cases: permission, validation, write, record. What both front ends and the command
//! line call, and nothing else reaches the store or the engine.

mod actor;
mod approvals;
mod audit;
mod certificates;
mod check;
mod confirm;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod hold;
mod host_keys;
mod identities;
mod instances;
mod kept;
mod login;
mod metrics;
mod openid;
mod output;
mod overview;
mod page_login;
mod refusals;
mod second_factor;
mod secrets;
mod sessions;
mod tasks;
mod text;
mod tokens;
mod users;

pub use crate::domain::{Idempotency, IfMatch, TaskUpdate};
pub use crate::store::{Lifetime, Piece};
pub use actor::{Action, Actor};
pub use audit::server_note;
pub use confirm::Proof;
pub use events::{Came, EventId, Events, Follow, TaskEvent};
pub use hold::Hold;
pub use kept::{Kept, Place};
pub use openid::{Answer, Arrived, OpenIdRefusal};
pub use output::{OutputReader, View};
pub use page_login::{LoginStep, PendingLogin, is_form_of};
pub use refusals::{Refusal, RefusalKind};
pub use second_factor::Enrolment;
pub use secrets::SealedReport;

pub use crate::auth::{Begun, TICKET_LIFE};

use crate::auth::{Flights, OpenId, Passwords, Throttle, Verdict, Verified};
use crate::domain::{ApprovalRules, Clock, Error, Result, Role};
use crate::engine::Engine;
use crate::store::Store;
use crate::vault::Vault;
use refusals::Refusals;
use std::sync::{Arc, OnceLock};

/// The use cases; cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

/// Hears of a login name.
type Listener = Box<dyn Fn(&str) + Send + Sync>;

struct Inner {
    store: Store,
    vault: Vault,
    /// None for a command beside the server, which runs nothing.
    engine: Option<Engine>,
    clock: Arc<dyn Clock>,
    passwords: Passwords,
    checks: Flights<std::result::Result<Verdict, login::NotNow>>,
    verified: Verified,
    throttle: Throttle,
    refusals: Refusals,
    rules: Rules,
    /// Told of whoever has another password, or none any more.
    password_changed: OnceLock<Listener>,
}

/// What the configuration says of logins and of second persons.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long a session of the pages lives.
    pub session: Lifetime,
    /// Whose login needs a second factor.
    pub second_factor: Vec<Role>,
    /// What the OpenID provider calls itself, where there is one.
    pub issuer: Option<String>,
    /// That provider; none for a command beside the server, which nobody logs in to.
    pub openid: Option<OpenId>,
    /// What needs a second person.
    pub approvals: ApprovalRules,
    /// What this machine and the service are called: no password is made of that.
    pub names: Vec<String>,
}

impl Default for Rules {
    /// 8 hours without a request, 7 days in all; a second factor is for who wants one.
    fn default() -> Self {
        Self {
            session: Lifetime {
                idle: 8 * 60 * 60,
                absolute: 7 * 24 * 60 * 60,
            },
            second_factor: Vec::new(),
            issuer: None,
            openid: None,
            approvals: ApprovalRules::default(),
            names: Vec::new(),
        }
    }
}

impl Service {
    /// The most rows that one call of a list gives: a longer list is read in several calls, so
    /// that no read holds the store for long.
    pub const BATCH: u32 = 256;

    /// Over a store and the vault of its secrets, with the engine that runs its tasks; without one for a command beside the
    /// server.
    pub fn new(
        store: Store,
        vault: Vault,
        engine: Option<Engine>,
        clock: Arc<dyn Clock>,
        rules: Rules,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                vault,
                engine,
                clock,
                passwords: Passwords::new(),
                checks: Flights::default(),
                verified: Verified::default(),
                throttle: Throttle::default(),
                rules,
                refusals: Refusals::default(),
                password_changed: OnceLock::new(),
            }),
        }
    }

    /// From now on tells of whoever has another password, or none any more, by the login name.
    /// Counts once.
    pub fn on_password_change(&self, tell: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.inner.password_changed.set(Box::new(tell));
    }

    fn password_changed(&self, user: &str) {
        if let Some(tell) = self.inner.password_changed.get() {
            tell(user);
        }
    }

    /// Whether the store answers and the engine runs.
    ///
    /// # Errors
    /// `Unavailable` where one of them does not, or the server stops.
    pub async fn ready(&self) -> Result<()> {
        let engine = self.engine()?;
        if engine.is_stopping() {
            return Err(stopping());
        }
        if !engine.is_alive() {
            return Err(Error::unavailable("The engine has ended.", 10));
        }
        self.inner.store.ready().await
    }

    /// Takes no new tasks from now on, and answers whoever waits.
    pub fn begin_stop(&self) {
        if let Some(engine) = &self.inner.engine {
            engine.begin_stop();
        }
    }

    fn engine(&self) -> Result<&Engine> {
        self.inner
            .engine
            .as_ref()
            .ok_or_else(|| Error::unavailable("No engine runs here.", 10))
    }

    fn now(&self) -> i64 {
        self.inner.clock.now()
    }
}

fn stopping() -> Error {
    Error::unavailable("The server stops. Try again when it is back.", 10)
}
