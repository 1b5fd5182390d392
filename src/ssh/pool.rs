//! Connections that are logged in and wait for their next use.
//!
//! One is used by one caller at a time: what runs on it is one script and what we send to look
//! after it, so that nothing of one task holds up or is taken for another's.

use super::connect;
use super::session::Session;
use super::{Failure, Inner, Target};
use crate::domain::SshLibrary;
use std::collections::{HashMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How old a connection may get: what has changed about keys since it was made counts from then
/// on.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// How many commands go over one connection of thrussh, which leaves each one's place at the
/// server taken: OpenSSH has ten of them (MaxSessions), and the last script still needs two for
/// what looks after it.
const COMMANDS: u32 = 7;
/// How often expired connections are looked for, at most.
const SWEEP: Duration = Duration::from_millis(250);
/// Machines whose own limit of commands is remembered.
const LIMITS: usize = 10_000;

/// The connections, by what they are good for.
pub struct Pool {
    idle_for: Duration,
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: HashMap<Target, Vec<Idle>>,
    count: usize,
    /// How many commands a connection may carry, for machines that refused one too many.
    limits: HashMap<Target, u32>,
    /// Where a connection of thrussh has carried all that it can: russh, which gives each place
    /// back, serves the next ones.
    worn: HashSet<Target>,
    /// Whether somebody looks for what has expired.
    sweeping: bool,
}

impl State {
    fn tell(&self) {
        metrics::gauge!("wsexec_ssh_idle_connections").set(self.count as f64);
    }
}

struct Idle {
    session: Session,
    made: Instant,
    since: Instant,
}

impl Pool {
    /// `idle_for` of zero keeps nothing.
    pub fn new(idle_for: Duration, most: usize) -> Self {
        Self {
            idle_for,
            most,
            state: Mutex::default(),
        }
    }

    /// Drops what waits for this machine or leads through it, whoever the user is.
    pub fn forget(&self, host: &str, port: u16) {
        let mut state = self.state();
        let before = std::mem::take(&mut state.idle);
        let (gone, kept) = before
            .into_iter()
            .partition(|(target, _)| target.passes(host, port));
        state.idle = kept;
        state.limits.retain(|target, _| !target.passes(host, port));
        state.worn.retain(|target| !target.passes(host, port));
        state.count = state.idle.values().map(Vec::len).sum();
        state.tell();
        drop(state);
        let _: HashMap<_, _> = gone;
    }

    fn take(&self, key: &Target) -> Option<Idle> {
        let mut state = self.state();
        let mut closed = Vec::new();
        let idle = state.idle.get_mut(key)?;
        // The one that was used last: the others get to expire.
        let found = loop {
            match idle.pop() {
                Some(idle) if !idle.session.is_usable() => closed.push(idle),
                other => break other,
            }
        };
        if idle.is_empty() {
            state.idle.remove(key);
        }
        state.count -= closed.len() + usize::from(found.is_some());
        state.tell();
        found
    }

    /// Keeps a connection, where it is fit for another use. True where somebody has to sweep from
    /// now on.
    fn give_back(&self, key: Target, session: Session, made: Instant) -> bool {
        let mut state = self.state();
        let most = match session.library() {
            SshLibrary::Thrussh => COMMANDS,
            SshLibrary::Russh => u32::MAX,
        };
        let most = state.limits.get(&key).map_or(most, |own| most.min(*own));
        if session.commands() >= COMMANDS && state.worn.len() < LIMITS {
            state.worn.insert(key.clone());
        }
        let keep = state.count < self.most
            && made.elapsed() < LIFE
            && session.commands() < most
            && session.is_usable();
        if !keep {
            return false;
        }
        state.count += 1;
        state.tell();
        let since = Instant::now();
        state.idle.entry(key).or_default().push(Idle {
            session,
            made,
            since,
        });
        !std::mem::replace(&mut state.sweeping, true)
    }

    /// The target as it is best connected to.
    fn preferred(&self, target: &Target, key: &Target) -> Target {
        let worn = self.state().worn.contains(key);
        let library = worn.then_some(SshLibrary::Russh).or(target.library);
        Target {
            library,
            ..target.clone()
        }
    }

    /// A machine that refused a command has places for so many on one connection.
    fn limit(&self, key: &Target, commands: u32) {
        let mut state = self.state();
        if state.limits.len() < LIMITS || state.limits.contains_key(key) {
            // What looks after a script needs places of its own.
            let most = commands.saturating_sub(2);
            state.limits.insert(key.clone(), most);
        }
    }

    /// Drops what has waited too long; false when nothing is left.
    fn sweep(&self) -> bool {
        let mut state = self.state();
        let mut gone = Vec::new();
        state.idle.retain(|_, idle| {
            let expired =
                |it: &mut Idle| it.since.elapsed() >= self.idle_for || !it.session.is_usable();
            gone.extend(idle.extract_if(.., expired));
            !idle.is_empty()
        });
        state.count -= gone.len();
        state.tell();
        state.sweeping = state.count > 0;
        state.sweeping
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is the caller's alone. It is closed when this is dropped, and waits for its
/// next use where the caller says that nothing goes on there.
pub struct Lease {
    session: Session,
    key: Target,
    made: Instant,
    took: Option<Duration>,
    inner: Arc<Inner>,
}

impl Lease {
    /// How long the connection and the login took; none where the connection had waited for its
    /// use.
    pub fn took(&self) -> Option<Duration> {
        self.took
    }

    /// Nothing that was started here goes on: the connection may serve somebody else.
    pub fn release(self) {
        let Self {
            session,
            mut key,
            made,
            inner,
            ..
        } = self;
        let pool = &inner.pool;
        if pool.idle_for.is_zero() {
            return;
        }
        // A first key is on record by now.
        if !session.is_certified() {
            key.host_key = Some(session.host_key().clone());
        }
        if session.was_refused() {
            pool.limit(&key, session.commands());
        } else if pool.give_back(key, session, made) {
            inner.spawned.spawn(sweep(Arc::downgrade(&inner)));
        }
    }

    /// Nothing could be begun here: the machine has no place left on this connection, which is
    /// remembered, or the connection is dead.
    pub fn retire(self) {
        if self.session.was_refused() {
            self.release();
        }
    }
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

/// Drops what waits too long, for as long as anything waits.
async fn sweep(inner: Weak<Inner>) {
    loop {
        let Some(period) = inner.upgrade().map(|inner| inner.pool.idle_for / 4) else {
            return;
        };
        sleep(period.max(SWEEP)).await;
        match inner.upgrade() {
            Some(inner) if inner.pool.sweep() => {}
            _ => return,
        }
    }
}

/// A connection to the target: one that waits, where there is one whose host key still is the
/// right one, or a new one.
pub(super) async fn lease(inner: &Arc<Inner>, target: &Target) -> Result<Lease, Failure> {
    let key = key(target);
    if let Some(mut idle) = inner.pool.take(&key)
        && connect::is_still_right(inner, target, &idle.session).await
    {
        idle.session.reused = true;
        return Ok(Lease {
            session: idle.session,
            key,
            made: idle.made,
            took: None,
            inner: Arc::clone(inner),
        });
    }
    fresh(inner, target).await
}

/// A new connection.
pub(super) async fn fresh(inner: &Arc<Inner>, target: &Target) -> Result<Lease, Failure> {
    let (began, key) = (Instant::now(), key(target));
    let session = connect::connect(inner, &inner.pool.preferred(target, &key)).await?;
    Ok(Lease {
        session,
        key,
        made: Instant::now(),
        took: Some(began.elapsed()),
        inner: Arc::clone(inner),
    })
}

/// What a connection is good for: the target, whatever serves it.
fn key(target: &Target) -> Target {
    Target {
        library: None,
        jump: target.jump.as_ref().map(|jump| Box::new(key(jump))),
        ..target.clone()
    }
}
