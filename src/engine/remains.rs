//! What is left of a script on its machine: asked over the connection that started it, or, where
//! that is dead or takes no second command, over another.

use super::identities::{At, Use, become_password};
use super::{LAST_WORDS, Shared, target};
use crate::domain::{Become, InstanceId, Outcome, RemoteProcess, Task};
use crate::ssh::{FOREIGN, Finding, Lease, Left, Other, Password, Session, Whereabouts};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Between two attempts to connect: the first and the longest wait.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Where nothing is known to ask by.
const NOWHERE: &str = "It had not been learnt where on the machine it runs.";

/// A script that was started, and how its machine is asked about it.
pub struct Remains<'a> {
    shared: &'a Shared,
    used: Use,
    instance: InstanceId,
    user: String,
    become_user: Option<Become>,
    process: Option<RemoteProcess>,
    connection: Option<String>,
    started: Instant,
}

impl<'a> Remains<'a> {
    /// Of a task's script. `connection` is the one that started it, as far as that is known.
    pub fn of(
        shared: &'a Shared,
        task: &Task,
        process: Option<RemoteProcess>,
        connection: Option<String>,
        started: Instant,
    ) -> Self {
        let told = process.as_ref().and_then(|it| it.connection.clone());
        Self {
            shared,
            used: Use::Run(task.id),
            instance: task.instance,
            user: task.user.clone(),
            become_user: task.launch.become_user.clone(),
            process,
            connection: told.or(connection),
            started,
        }
    }

    /// As [`Remains::of`], of a script that an earlier run of the server may have started: then
    /// only the clock tells since when it can have run.
    pub fn of_earlier(shared: &'a Shared, task: &Task, process: Option<RemoteProcess>) -> Self {
        let seconds = task.duration(shared.clock.now()).unwrap_or_default();
        // The clock's seconds are whole ones.
        let age = Duration::from_secs(seconds.unsigned_abs() + 1);
        let now = Instant::now();
        let started = now.checked_sub(age).unwrap_or(now);
        Self::of(shared, task, process, None, started)
    }

    /// Ends it, and looks what is left. `first` is the connection that started it, where there
    /// still is one; `patience` is how long another one may take.
    pub async fn end(&self, first: Option<Lease>, grace: Duration, patience: Duration) -> Finding {
        let Some(mut first) = first else {
            return match self.reach(patience).await {
                Ok(mut session) => self.end_over(&mut session, false, grace).await,
                Err(why) => unasked(why),
            };
        };
        let muted = self.shared.mutes.holds(self.instance, &self.user);
        let found = match muted {
            true => unknown(FOREIGN),
            false => self.end_over(&mut first, true, grace).await,
        };
        let found = match found.left {
            Left::Unasked(why) => match self.reach(patience).await {
                Ok(mut session) => self.end_over(&mut session, false, grace).await,
                Err(also) => unasked(format!("{why} {also}")),
            },
            _ => found,
        };
        match &found.left {
            // The only thing left to do is to ask its server (RFC 4254 section 6.9).
            Left::Unknown(why) | Left::Unasked(why) if first.signal(grace).await => {
                unknown(&format!(
                    "The machine was asked to end it by signals, which it need not heed. {why}"
                ))
            }
            _ => found,
        }
    }

    /// Looks what is left of it, over a new connection that may take so long.
    pub async fn look(&self, patience: Duration) -> Finding {
        match self.reach(patience).await {
            Ok(mut session) => {
                let found = timeout(LAST_WORDS, session.look(&self.whereabouts(false))).await;
                found.unwrap_or_else(|_| late())
            }
            Err(why) => unasked(why),
        }
    }

    /// Ends it over a connection, `here` where that is the one that started it.
    async fn end_over(&self, session: &mut Session, here: bool, grace: Duration) -> Finding {
        let password = match self
            .become_user
            .as_ref()
            .and_then(|it| it.password.as_ref())
        {
            Some(name) => self.password(name).await,
            None => None,
        };
        let other = self.become_user.as_ref().map(|become_user| Other {
            become_user,
            password: password.as_ref(),
        });
        let script = self.whereabouts(here);
        // A deaf script takes its grace once: where another user's question has ended it, the
        // login's finds nothing to wait for.
        let limit = grace * (1 + u32::from(other.is_some())) + LAST_WORDS;
        let found = timeout(limit, session.terminate(&script, other, grace)).await;
        let found = found.unwrap_or_else(|_| late());
        if found.left == Left::Unknown(FOREIGN.into()) {
            self.shared.mutes.insert(self.instance, &self.user);
        }
        found
    }

    async fn password(&self, name: &str) -> Option<Password> {
        let instance = self.shared.store.instance(self.instance).await.ok()??;
        let at = At {
            instance: &instance,
            user: &self.user,
            r#use: self.used,
        };
        become_password(self.shared, &at, name).await.ok()
    }

    /// Connects again, and again, until it is known whether that can be done.
    async fn reach(&self, patience: Duration) -> Result<Lease, String> {
        if self.process.is_none() && self.connection.is_none() {
            return Err(NOWHERE.into());
        }
        if self.shared.mutes.holds(self.instance, &self.user) {
            return Err(FOREIGN.into());
        }
        let deadline = Instant::now() + patience;
        let (mut wait, longest) = AGAIN;
        let mut last = None;
        loop {
            let connected = target::connect(self.shared, self.instance, &self.user, self.used);
            match timeout_at(deadline, connected).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(failure)) => {
                    let hopeless = matches!(
                        failure.outcome,
                        Outcome::HostKeyRefused | Outcome::AuthFailed
                    );
                    if hopeless || Instant::now() + wait >= deadline {
                        return Err(failure.reason);
                    }
                    last = Some(failure.reason);
                }
                Err(_) => {
                    let seconds = patience.as_secs_f32();
                    return Err(last.unwrap_or_else(|| {
                        format!("The machine did not answer within {seconds} s.")
                    }));
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }

    fn whereabouts(&self, here: bool) -> Whereabouts {
        Whereabouts {
            processes: self.process.iter().cloned().collect(),
            connection: self.connection.clone(),
            age: self.started.elapsed(),
            here,
        }
    }
}

fn unasked(why: impl Into<String>) -> Finding {
    Finding {
        left: Left::Unasked(why.into()),
        told: false,
        escaped: None,
    }
}

fn unknown(why: &str) -> Finding {
    Finding {
        left: Left::Unknown(why.into()),
        told: false,
        escaped: None,
    }
}

fn late() -> Finding {
    unasked("The machine did not answer in time.")
}

/// What was done, and what is known of the end: for the reason of a task.
pub fn after_the_end(what: &str, found: &Finding) -> String {
    let known = match &found.left {
        Left::Nothing => "Nothing of its session is left on the instance.".into(),
        Left::Processes(which) => format!(
            "It is not confirmed that nothing of it is left on the instance. Processes of it are left on the machine, \
             and the user may not end them: {which}."
        ),
        Left::Unknown(why) | Left::Unasked(why) => {
            format!("It is not confirmed that nothing of it is left on the instance. {why}")
        }
    };
    let escaped = found.escaped.iter().map(String::as_str);
    let parts: Vec<&str> = [what, &known].into_iter().chain(escaped).collect();
    parts.join(" ")
}

/// The logins where a question runs something else, such as a forced command: there none is asked,
/// for a while, as it runs again each time.
#[derive(Default)]
pub struct Mutes {
    since: Mutex<HashMap<(InstanceId, String), Instant>>,
}

impl Mutes {
    /// The most that are kept, and for how long.
    const MOST: usize = 4096;
    const WHILE: Duration = Duration::from_secs(60 * 60);

    pub fn insert(&self, instance: InstanceId, user: &str) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= Self::MOST {
            since.retain(|_, at| at.elapsed() < Self::WHILE);
        }
        if since.len() < Self::MOST {
            since.insert((instance, user.to_owned()), Instant::now());
        }
    }

    pub fn holds(&self, instance: InstanceId, user: &str) -> bool {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let at = since.get(&(instance, user.to_owned()));
        at.is_some_and(|at| at.elapsed() < Self::WHILE)
    }
}
