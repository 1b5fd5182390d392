//! From a target to a connection that is logged in, by whatever way and library serves it.
//!
//! The libraries spawn work that lives as long as its stream and cannot be stopped otherwise, and
//! some of their futures must not be dropped halfway. So a login runs on spawned work of its own,
//! and everything that ends one early, a deadline or a caller that goes, ends the stream.

use super::host_keys::Rules;
use super::identities::Offer;
use super::library::{self, Shared, Trouble, Width};
use super::login::{self, Login, NotIn, Tried};
use super::reach::{self, Reached, Socket};
use super::session::Session;
use super::stream::{Seen, Wire};
use super::{Failure, Inner, Target, known_hosts, reasons};
use crate::domain::{Outcome, SshLibrary};
use crate::failpoint;
use crate::traces;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

/// Ends a connection's stream, and with it the library's work, when it is dropped.
pub(super) struct Guard {
    _cut: DropGuard,
    socket: Option<Socket>,
}

impl Guard {
    /// Both ends as the server writes them; none where the way leads through another machine.
    pub fn ends(&self) -> Option<String> {
        Some(self.socket.as_ref()?.ends().to_owned())
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Session, Failure>> + Send + 'a>>;

/// Connects, judges the host key, logs in; by way of other machines where the target names one.
pub(super) fn connect<'a>(inner: &'a Arc<Inner>, target: &'a Target) -> Connecting<'a> {
    Box::pin(async move {
        let began = Instant::now();
        let connected = connect_with(inner, target, inner.libraries.clone()).await;
        let outcome = match &connected {
            Ok(_) => {
                metrics::histogram!("wsexec_ssh_connect_seconds").record(began.elapsed());
                "connected"
            }
            Err(failure) => failure.outcome.as_str(),
        };
        metrics::counter!("wsexec_ssh_connects_total", "outcome" => outcome).increment(1);
        connected
    })
}

fn connect_with<'a>(
    inner: &'a Arc<Inner>,
    target: &'a Target,
    libraries: Vec<SshLibrary>,
) -> Connecting<'a> {
    Box::pin(async move {
        let outer = match &target.jump {
            None => None,
            Some(jump) => {
                let outer = connect_with(inner, jump, vec![library::THAT_JUMPS]).await;
                Some(outer.map_err(|failure| reasons::at_jump(jump, failure))?)
            }
        };
        let attempts = Attempts::new(inner, target, outer, libraries).await?;
        attempts.run().await
    })
}

/// Whether a connection that was made a while ago would be made again: its machine's key may have
/// been revoked since.
pub(super) async fn is_still_right(inner: &Inner, target: &Target, session: &Session) -> bool {
    let Ok(known) = inner.known_hosts.lookup(&target.host, target.port).await else {
        return false;
    };
    let rules = Rules::new(target, known, inner.host_keys);
    let here = rules.still_stands(session.host_key(), session.is_certified());
    match (&target.jump, &session.outer) {
        (Some(jump), Some(outer)) => here && Box::pin(is_still_right(inner, jump, outer)).await,
        (None, None) => here,
        _ => false,
    }
}

/// The attempts to log in to one machine, one library after the other.
struct Attempts<'a> {
    inner: &'a Arc<Inner>,
    target: &'a Target,
    /// The connection that this one goes through.
    outer: Option<Session>,
    rules: Rules,
    offers: Vec<Offer>,
    tried: Tried,
    order: Vec<SshLibrary>,
}

/// Why one library did not get in.
enum Attempt {
    /// Another would not either.
    Final(Failure),
    /// Another may, else this is why not.
    Another(Failure),
    /// Another may where it has keys to offer that were not refused yet.
    Keys(Failure),
}

impl<'a> Attempts<'a> {
    async fn new(
        inner: &'a Arc<Inner>,
        target: &'a Target,
        outer: Option<Session>,
        mut order: Vec<SshLibrary>,
    ) -> Result<Self, Failure> {
        let known = inner.known_hosts.lookup(&target.host, target.port).await;
        let known = known.map_err(|error| {
            let reason =
                format!("known_hosts cannot be read, so no host key can be trusted: {error}.");
            Failure::new(Outcome::HostKeyRefused, reason)
        })?;
        let rules = Rules::new(target, known, inner.host_keys);
        let (offers, tried) = login::offers(inner, target.key.as_ref()).await;
        if order.len() > 1 {
            let russh_first = target.library == Some(SshLibrary::Russh)
                || !rules.suit_thrussh()
                || (!offers.is_empty() && !offers.iter().any(|o| o.fits(SshLibrary::Thrussh)));
            order.sort_by_key(|library| (*library == SshLibrary::Thrussh) == russh_first);
        }
        Ok(Self {
            inner,
            target,
            outer,
            rules,
            offers,
            tried,
            order,
        })
    }

    async fn run(mut self) -> Result<Session, Failure> {
        let turn = self.inner.turns.wait(&self.target.host, self.target.port);
        let Ok(Some(_turn)) = timeout(reach::BUSY, turn).await else {
            return Err(reasons::busy(self.target, reach::BUSY));
        };
        let mut failure = None;
        let mut needs_keys = false;
        for library in std::mem::take(&mut self.order) {
            let left = self.left_for(library);
            if needs_keys && left.is_empty() {
                break;
            }
            match self.attempt(library, left).await {
                Ok(mut session) => {
                    session.outer = self.outer.take().map(Box::new);
                    return Ok(session);
                }
                Err(Attempt::Final(failure)) => return Err(failure),
                Err(Attempt::Another(why)) => failure = Some(why),
                Err(Attempt::Keys(why)) => (failure, needs_keys) = (Some(why), true),
            }
        }
        Err(failure.unwrap_or_else(|| reasons::not_authorized(self.target, &self.tried)))
    }

    /// What this library can offer and was not refused yet.
    fn left_for(&self, library: SshLibrary) -> Vec<Offer> {
        let refused = |offer: &Offer| self.tried.refused.contains(&offer.name());
        let left = self.offers.iter();
        left.filter(|offer| offer.fits(library) && !refused(offer))
            .cloned()
            .collect()
    }

    /// What a machine can do without is not offered to it.
    async fn attempt(
        &mut self,
        library: SshLibrary,
        offers: Vec<Offer>,
    ) -> Result<Session, Attempt> {
        let narrow = self.attempt_with(library, Width::Narrow, offers.clone());
        match narrow.await {
            Err(Attempt::Another(_)) if library == SshLibrary::Russh => {
                self.attempt_with(library, Width::Wide, offers).await
            }
            done => done,
        }
    }

    async fn attempt_with(
        &mut self,
        library: SshLibrary,
        width: Width,
        offers: Vec<Offer>,
    ) -> Result<Session, Attempt> {
        let reached = reach::reach(self.inner, self.target, self.outer.as_ref());
        let reached = reached.instrument(traces::step("connect")).await;
        let Reached {
            stream,
            greeting,
            socket,
            deadline,
        } = reached.map_err(Attempt::Final)?;
        failpoint::pass("ssh.connected");
        // thrussh waits for another identification.
        if library == SshLibrary::Thrussh && greeting.starts_with(b"SSH-1.99-") {
            return Err(Attempt::Another(reasons::not_ssh(self.target)));
        }
        let cut = CancellationToken::new();
        let guard = Guard {
            _cut: cut.clone().drop_guard(),
            socket,
        };
        let (shared, seen) = (Shared::new(), Arc::new(Seen::default()));
        let login = Login {
            library,
            width,
            rules: self.rules.clone(),
            user: self.target.user.clone(),
            offers,
            shared: shared.clone(),
            seen: seen.clone(),
        };
        let wire = Wire::new(stream, greeting, cut, seen.clone());
        let login = self.inner.spawned.spawn(login.run(wire));
        let limit = self.inner.timeouts.login;
        let login = timeout_at(deadline, login).instrument(traces::step("login"));
        let (connection, host_key) = match login.await {
            Ok(Ok(Ok(connected))) => connected,
            Ok(Ok(Err(not_in))) => {
                let judged = shared.verdict().is_some();
                return Err(self.not_in(not_in, judged, &seen));
            }
            Ok(Err(_)) => return Err(Attempt::Final(reasons::not_ssh(self.target))),
            Err(_) => {
                let judged = shared.verdict().is_some();
                let refused = login::refused(&shared, &seen);
                let slow = || reasons::login_timed_out(self.target, limit, judged);
                return Err(Attempt::Final(refused.unwrap_or_else(slow)));
            }
        };
        failpoint::pass("ssh.logged_in");
        Ok(Session {
            connection,
            place: known_hosts::name(&self.target.host, self.target.port),
            host_key,
            shared,
            start_timeout: self.inner.timeouts.start,
            spawned: self.inner.spawned.clone(),
            scripts: Vec::new(),
            commands: 0,
            refused: false,
            reused: false,
            guard,
            outer: None,
        })
    }

    /// `judged`: whether the server has shown a host key.
    fn not_in(&mut self, why: NotIn, judged: bool, seen: &Seen) -> Attempt {
        match why {
            NotIn::HostKey(failure) => Attempt::Final(failure),
            NotIn::Trouble(Trouble::NoCommon) => Attempt::Another(self.no_common(seen)),
            // Some servers break over what one library picks: Dropbear offers RSA without having
            // such a key, and goes where it is taken.
            NotIn::Trouble(trouble @ (Trouble::Left | Trouble::Closed)) if !judged => {
                Attempt::Another(reasons::key_exchange(self.target, &trouble))
            }
            NotIn::Trouble(trouble) => Attempt::Final(reasons::key_exchange(self.target, &trouble)),
            NotIn::Keys(names, ended) => {
                self.tried.refused.extend(names);
                match ended {
                    Some(Trouble::NoPublicKeys) => {
                        Attempt::Final(reasons::not_authorized(self.target, &self.tried))
                    }
                    Some(_) => Attempt::Keys(reasons::cut_off(self.target, &self.tried)),
                    None => Attempt::Keys(reasons::not_authorized(self.target, &self.tried)),
                }
            }
        }
    }

    fn no_common(&self, seen: &Seen) -> Failure {
        let ours = library::algorithms(&self.inner.libraries);
        reasons::no_common(self.target, seen.kexinit().as_deref(), &ours)
    }
}
