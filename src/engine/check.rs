//! The check of an instance: each step that a task would take, told apart.

use super::identities::{At, Use, become_password, instance_of};
use super::{Shared, target};
use crate::domain::{
    Become, Check, CheckFinding, CheckRequest, CheckStep, Error, InstanceId, Kind, Outcome, Result,
};
use crate::ssh::{Failure, Findings, Lease, RemoteClock, Session};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Checks that run at once.
const AT_ONCE: usize = 8;
/// How long a whole check may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// When it may be worth another try, in seconds.
const AGAIN: u32 = 5;
/// How far a machine's clock may be off.
const CLOCK_MS: i64 = 2_000;

/// The places of the checks that run.
pub struct Places(Semaphore);

impl Default for Places {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

/// Runs a check.
///
/// # Errors
/// `TooMany` where too many run already; `Unavailable` where the server stops.
pub async fn check(shared: &Shared, id: InstanceId, request: &CheckRequest) -> Result<Check> {
    let Ok(_place) = shared.checks.0.try_acquire() else {
        let sentence = format!("{AT_ONCE} checks run already. Try again soon.");
        return Err(Error::new(Kind::TooMany, sentence).retry_after_seconds(AGAIN));
    };
    let mut report = Report::default();
    let steps = take_steps(shared, id, request, &mut report);
    let ended = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => {
            return Err(Error::unavailable("The server stops. Try again when it is back.", 10));
        }
        ended = timeout(DEADLINE, steps) => ended,
    };
    if ended.is_err() {
        report.bad(
            report.next(),
            &format!(
                "There was no answer within {} s. The machine may be overloaded.",
                DEADLINE.as_secs()
            ),
        );
    }
    let known = shared.known();
    for it in &mut report.found {
        it.detail = known.mask(&it.detail);
        it.advice = it.advice.as_deref().map(|advice| known.mask(advice));
    }
    Ok(report.finish(request.become_user.is_some()))
}

async fn take_steps(shared: &Shared, id: InstanceId, request: &CheckRequest, report: &mut Report) {
    let begun = Instant::now();
    let mut session = match target::connect(shared, id, &request.user, Use::Check).await {
        Ok(session) => session,
        Err(failure) => return report.not_connected(&failure),
    };
    report.connected(&session, &request.user, begun.elapsed());
    match session.findings().await {
        Ok(findings) => report.found(findings),
        Err(failure) => return report.bad(CheckStep::Shell, &failure.reason),
    }
    if let Some(become_user) = &request.become_user {
        match try_become(shared, id, request, become_user, session).await {
            Ok(()) => report.good(
                CheckStep::Become,
                format!("{} becomes {}.", request.user, become_user.user),
            ),
            Err(failure) => report.bad(CheckStep::Become, &failure.reason),
        }
    }
}

async fn try_become(
    shared: &Shared,
    id: InstanceId,
    request: &CheckRequest,
    become_user: &Become,
    mut session: Lease,
) -> std::result::Result<(), Failure> {
    let password = match &become_user.password {
        Some(name) => {
            let instance = &instance_of(shared, id).await?;
            let (user, r#use) = (request.user.as_str(), Use::Check);
            let at = At {
                instance,
                user,
                r#use,
            };
            Some(become_password(shared, &at, name).await?)
        }
        None => None,
    };
    let tried = session.try_become(become_user, password.as_ref()).await;
    match tried {
        // A machine that allows one session on a connection.
        Err(failure) if failure.channel_refused => {
            drop(session);
            let mut session = target::connect(shared, id, &request.user, Use::Check).await?;
            session.try_become(become_user, password.as_ref()).await
        }
        tried => tried,
    }
}

/// What was found so far.
#[derive(Default)]
struct Report {
    found: Vec<CheckFinding>,
}

impl Report {
    fn good(&mut self, step: CheckStep, detail: String) {
        self.found.push(CheckFinding {
            step,
            ok: Some(true),
            detail,
            advice: None,
        });
    }

    /// The first sentence says what happened, the others what to do.
    fn bad(&mut self, step: CheckStep, reason: &str) {
        let (detail, advice) = match reason.split_once(". ") {
            Some((what, advice)) if !advice.starts_with("It printed") => {
                (format!("{what}."), Some(advice.to_owned()))
            }
            Some(_) | None => (reason.to_owned(), None),
        };
        self.found.push(CheckFinding {
            step,
            ok: Some(false),
            detail,
            advice,
        });
    }

    /// The first step that nothing is known of.
    fn next(&self) -> CheckStep {
        let is_open = |step: &CheckStep| self.found.iter().all(|it| it.step != *step);
        let mut steps = CheckStep::ALL.into_iter();
        steps.find(is_open).unwrap_or(CheckStep::Clock)
    }

    fn not_connected(&mut self, failure: &Failure) {
        let passed = |step, detail: &str| CheckFinding {
            step,
            ok: Some(true),
            detail: detail.to_owned(),
            advice: None,
        };
        let reachable = passed(CheckStep::Reachable, "It takes connections and speaks SSH.");
        let host_key = passed(CheckStep::HostKey, "It is the right one.");
        match failure.outcome {
            Outcome::HostKeyRefused => {
                self.found.push(reachable);
                self.bad(CheckStep::HostKey, &failure.reason);
            }
            Outcome::AuthFailed => {
                self.found.extend([reachable, host_key]);
                self.bad(CheckStep::Login, &failure.reason);
            }
            _ => self.bad(CheckStep::Reachable, &failure.reason),
        }
    }

    fn connected(&mut self, session: &Session, user: &str, took: Duration) {
        let key = session.host_key();
        let took = took.as_millis();
        let detail = format!("Connected and logged in within {took} ms.");
        self.good(CheckStep::Reachable, detail);
        let detail = format!("{} {} is the right one.", key.algorithm, key.fingerprint);
        self.good(CheckStep::HostKey, detail);
        self.good(CheckStep::Login, format!("{user} is let in."));
    }

    fn found(&mut self, findings: Findings) {
        self.good(
            CheckStep::Shell,
            format!("The login shell {} runs commands.", findings.shell),
        );
        match findings.state_directory {
            Ok(directory) => {
                self.good(
                    CheckStep::StateDirectory,
                    format!("{directory} can be written."),
                );
            }
            Err(why) => self.bad(
                CheckStep::StateDirectory,
                &format!(
                    "The directory for detached runs cannot be written: {why}. Give the user a \
                     home directory with room that is its own, or let XDG_STATE_HOME name one; \
                     attached tasks do not need it."
                ),
            ),
        }
        match findings.clock {
            Some(clock) => self.clock(clock),
            None => self.bad(
                CheckStep::Clock,
                "The machine's clock cannot be read with date(1). Is it there?",
            ),
        }
    }

    fn clock(&mut self, clock: RemoteClock) {
        let RemoteClock {
            ahead_ms,
            within_ms,
        } = clock;
        let (by, which) = (
            ahead_ms.unsigned_abs(),
            if ahead_ms < 0 { "behind" } else { "ahead of" },
        );
        let detail = format!(
            "The machine's clock is {by} ms {which} this server's (within {within_ms} ms)."
        );
        if ahead_ms.saturating_abs() <= CLOCK_MS + within_ms {
            self.good(CheckStep::Clock, detail);
        } else {
            let advice = "Set the clocks by NTP on both; times of detached runs are corrected by \
                          the difference.";
            self.bad(CheckStep::Clock, &format!("{detail} {advice}"));
        }
    }

    /// Every step in order; what was not come to was not tried.
    fn finish(mut self, becomes: bool) -> Check {
        let asked = CheckStep::ALL.into_iter();
        let asked = asked.filter(|step| becomes || *step != CheckStep::Become);
        let steps = asked.map(|step| {
            let found = self.found.iter().position(|it| it.step == step);
            match found {
                Some(at) => self.found.swap_remove(at),
                None => CheckFinding {
                    step,
                    ok: None,
                    detail: "Not tried.".into(),
                    advice: None,
                },
            }
        });
        Check {
            steps: steps.collect(),
        }
    }
}
