//! Follows a run while it goes on, and ends it where it is to end before its script does.

use super::judgement::Stopped;
use super::{Run, over};
use crate::domain::Outcome;
use crate::engine::cancel::Cause;
use crate::engine::identities::Use;
use crate::engine::remains::Remains;
use crate::engine::run::{silent, until};
use crate::engine::target;
use crate::failpoint;
use crate::ssh::remote::detached::{Detached, Followed, Following};
use crate::ssh::{Failure, Lease, Left};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long what a script left behind may hold its output once the script was ended: the machine
/// hears it for 30 s.
pub(super) const LEFT_BEHIND: Duration = Duration::from_secs(40);
/// Behind the end of any stream: what is collected from there is the state alone.
const NOWHERE: [u64; 2] = [i64::MAX as u64; 2];

/// What came first.
enum Until<T> {
    /// The run is over, or looks so.
    Over,
    /// What was waited for beside it.
    Came(T),
}

impl<'a> Run<'a> {
    /// Takes what the run writes until it is over. Where it is to end before that, ends it and
    /// takes its last words.
    pub(super) async fn follow(
        &mut self,
        session: &mut Lease,
        run: Detached<'_>,
    ) -> Result<(), Failure> {
        let from = self.from();
        let mut following = over!(self, session.follow_detached(run, from))?;
        self.answered = true;
        if self.stop.is_none() {
            let told = self.told_to_end();
            // Nobody listened meanwhile.
            self.heard.send_if_modified(|heard| {
                let listens = *heard <= Instant::now();
                *heard = if listens { Instant::now() } else { *heard };
                listens
            });
            let silent = silent(self.heard.subscribe(), self.shared.config.silence_timeout);
            let stop = async {
                tokio::select! {
                    cause = told => cause,
                    () = silent => Cause::Silent,
                }
            };
            match self.take_until(&mut following, stop).await? {
                Until::Over => return Ok(()),
                Until::Came(cause) => self.stop = Some(cause),
            }
        }
        if self.stopped.is_none() {
            let ended = self.end(session, run);
            tokio::pin!(ended);
            let (stopped, over) = match self.take_until(&mut following, &mut ended).await? {
                Until::Came(stopped) => (stopped?, false),
                Until::Over => (ended.await?, true),
            };
            self.stopped = Some(stopped);
            if over {
                return Ok(());
            }
        }
        self.take_until(&mut following, sleep(LEFT_BEHIND)).await?;
        Ok(())
    }

    /// Ends the script's session, over another connection, as this one may take no more commands.
    fn end<'s>(
        &self,
        session: &'s mut Lease,
        run: Detached<'s>,
    ) -> impl Future<Output = Result<Stopped, Failure>> + use<'a, 's> {
        let (shared, instance, user) = (self.shared, self.instance.id, self.task.user.clone());
        let grace = Duration::from_secs(shared.config.cancel_grace);
        let patience = Duration::from_secs(shared.config.reconnect_timeout);
        let process = self.task.process.clone();
        let remains = Remains::of_earlier(shared, &self.task, process);
        let in_vain = self.in_vain > 0;
        let used = Use::Run(self.task.id);
        async move {
            let looked = match session.collect_detached(run, NOWHERE).await {
                Err(failure) if failure.channel_refused => {
                    let mut other = target::connect(shared, instance, &user, used).await?;
                    other.collect_detached(run, NOWHERE).await
                }
                looked => looked,
            };
            let exited = match looked {
                Ok(it) => it.is_some_and(|it| it.state().exit.is_some()),
                // What a script has made of its records does not keep it from being ended.
                Err(_) if in_vain => false,
                Err(failure) => return Err(failure),
            };
            let found = remains.end(None, grace, patience).await;
            failpoint::pass("cancel.confirmed");
            match found.left {
                Left::Unasked(why) => Err(Failure::new(Outcome::Lost, why)),
                _ => Ok(Stopped { exited, found }),
            }
        }
    }

    /// Takes what the run writes until it is over, or something else comes first.
    async fn take_until<T>(
        &mut self,
        following: &mut Following,
        stop: impl Future<Output = T>,
    ) -> Result<Until<T>, Failure> {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                came = &mut stop => return Ok(Until::Came(came)),
                () = until(self.output.due()) => self.write().await,
                followed = following.next(), if !self.output.is_full() => match followed? {
                    Followed::Bytes(stream, bytes) => self.push(stream, bytes),
                    Followed::Over | Followed::Gone => return Ok(Until::Over),
                }
            }
            if self.output.is_full() && !self.output.has_unsent() {
                self.write().await;
            }
        }
    }
}
