//! Runs that go on without this server: each is started once, followed, and taken up again for as
//! long as it takes, whatever becomes of the connection or of the server.

mod judgement;

use super::cancel::Cause;
use super::command::{command, command_without_stdin};
use super::identities::Use;
use super::output::{Output, TAIL};
use super::remains::{Remains, after_the_end};
use super::retry::retry;
use super::run::{silent, until};
use super::slots::Place;
use super::{AGAIN, Shared, target};
use crate::domain::{
    self, Ending, Gap, Instance, InstanceState, Outcome, RemoteProcess, Stream, Task,
};
use crate::ssh::remote::detached::{
    Bounds, Collection, Detached, Followed, Following, Started, State,
};
use crate::ssh::{Command, Failure, Lease, Left};
use crate::store::{CHUNK, Chunk, OutputWrite};
use bytes::Bytes;
use futures_util::FutureExt;
use judgement::{Stop, Stopped};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long until a machine is tried again, at first and at last.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often in a row a machine may let the server in and come to nothing, once the run is to end:
/// what runs there can spoil what the server needs, for as long as it likes.
const IN_VAIN: u32 = 6;
/// How long what a script left behind may hold its output once the script was ended: the machine
/// hears it for 30 s.
const LEFT_BEHIND: Duration = Duration::from_secs(40);

/// For ever, for a clock.
const BLIND: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Behind the end of any stream: what is collected from there is the state alone.
const NOWHERE: [u64; 2] = [i64::MAX as u64; 2];

/// Does something over a connection, or over another one in its place where the machine takes no
/// further command on it.
macro_rules! over {
    ($run:ident, $session:ident.$act:ident($($argument:expr),*)) => {
        match $session.$act($($argument),*).await {
            Err(failure) if failure.channel_refused => {
                *$session = $run.connect().await?;
                $session.$act($($argument),*).await
            }
            done => done,
        }
    };
}

/// A task that is CURRENT, and its place among those that run.
pub struct Claimed {
    pub task: Task,
    pub instance: Instance,
    pub cancel: CancellationToken,
    pub place: Place,
}

/// Runs a claimed task to its end, and records it. Where the server stops before that, the task
/// stays CURRENT and its script goes on: the next start takes it up, with `may_run`, as a server
/// before may have started it.
pub async fn run(shared: Arc<Shared>, claimed: Claimed, may_run: bool) {
    let Claimed {
        task,
        instance,
        cancel,
        place,
    } = claimed;
    let id = task.id;
    let mut run = Run::new(&shared, task, instance, cancel, may_run);
    run.place = Some(place);
    let over = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => None,
        over = AssertUnwindSafe(run.whole()).catch_unwind() => Some(over.unwrap_or_else(|_| {
            Over::unbegun(Ending::aborted(
                Outcome::Lost,
                "The server failed while it followed this run; its log says more. The script may still run on the \
                 instance.",
            ))
        })),
    };
    match over {
        None => tracing::info!(
            task = id.0,
            "a detached run is left to itself until the next start"
        ),
        Some(mut over) => {
            over.ending = shared.masked(over.ending);
            run.settle(over).await;
        }
    }
    shared.forget(id);
    drop(run);
    shared.feed.changed(id);
}

/// Takes up the runs that a server before this one has left to themselves.
pub fn take_up(shared: &Arc<Shared>, running: Vec<(Task, Instance)>) {
    for (task, instance) in running {
        let claimed = Claimed {
            cancel: shared.cancels.register(task.id),
            place: shared.slots.take(instance.id),
            task,
            instance,
        };
        shared.work.spawn(run(Arc::clone(shared), claimed, true));
    }
}

struct Run<'a> {
    shared: &'a Shared,
    task: Task,
    instance: Instance,
    cancel: CancellationToken,
    deadline: Option<Instant>,
    /// Given to others while the machine is out of reach.
    place: Option<Place>,
    output: Output,
    begun: Instant,
    /// Whether the script may have been started: from then on nothing but the machine's own word
    /// ends the task.
    may_run: bool,
    /// What the machine keeps of each stream.
    bounds: Bounds,
    /// When the script last wrote, as far as that is seen.
    heard: watch::Sender<Instant>,
    /// Whether the machine answered since the last pause.
    answered: bool,
    out_of_reach_since: Option<i64>,
    /// Whether the machine has let the server in since the last pause; and how often it did, since
    /// the run is to end, and nothing came of it.
    let_in: bool,
    in_vain: u32,
    /// Why it is to end before its script does, and what became of that.
    stop: Option<Cause>,
    stopped: Option<Stopped>,
}

/// All that is to be recorded of a run.
struct Over {
    ending: Ending,
    /// By this server's clock; now where the machine does not tell.
    end: Option<i64>,
    last: OutputWrite,
    /// Where the run's directory is to be removed.
    session: Option<Lease>,
}

impl Over {
    fn unbegun(ending: Ending) -> Self {
        Self {
            ending,
            end: None,
            last: OutputWrite::default(),
            session: None,
        }
    }
}

/// What came first.
enum Until<T> {
    /// The run is over, or looks so.
    Over,
    /// What was waited for beside it.
    Came(T),
}

impl<'a> Run<'a> {
    fn new(
        shared: &'a Shared,
        task: Task,
        instance: Instance,
        cancel: CancellationToken,
        may_run: bool,
    ) -> Self {
        let now = shared.clock.now();
        let begun = Instant::now();
        // Counted from the start, also across restarts.
        let deadline = task.timeout.map(|timeout| {
            let gone = now - task.start.unwrap_or(now);
            let left = i64::from(timeout).saturating_sub(gone).max(0);
            begun + Duration::from_secs(left.unsigned_abs())
        });
        let limit = shared.config.output_limit;
        Self {
            // The machine keeps the bounds; what is stored of a run that goes on is all head.
            output: Output::resumed(limit, [task.stdout.bytes, task.stderr.bytes], task.masked),
            shared,
            task,
            instance,
            cancel,
            deadline,
            place: None,
            begun,
            may_run,
            bounds: Bounds::new(limit, TAIL.min(limit / 2)),
            heard: watch::Sender::new(begun),
            answered: false,
            out_of_reach_since: None,
            let_in: false,
            in_vain: 0,
            stop: None,
            stopped: None,
        }
    }

    async fn whole(&mut self) -> Over {
        let mut pause = PAUSE.0;
        loop {
            let failure = match self.attempt().await {
                Ok(over) => return over,
                Err(failure) => failure,
            };
            if !self.may_run {
                return Over::unbegun(Ending::aborted(failure.outcome, failure.reason));
            }
            if std::mem::take(&mut self.answered) {
                pause = PAUSE.0;
            }
            if let Some(over) = self.given_up(&failure) {
                return over;
            }
            if let Some(over) = self.written_off(&failure).await {
                return over;
            }
            self.out_of_reach(&failure).await;
            self.place = None;
            sleep(domain::jittered(pause)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// The end of a run that is to end, where its machine is there and does not let that be done,
    /// or be told. One that is not reached is waited for.
    fn given_up(&mut self, failure: &Failure) -> Option<Over> {
        let let_in = std::mem::take(&mut self.let_in);
        let cause = self.stop.or_else(|| self.told_to_end().now_or_never())?;
        self.in_vain += u32::from(let_in);
        if self.in_vain < IN_VAIN {
            return None;
        }
        let (outcome, what) = self.describe(cause);
        let what = match &self.stopped {
            Some(stopped) => after_the_end(&what, &stopped.found),
            None => {
                format!("{what} It is not confirmed that nothing of it is left on the instance.")
            }
        };
        let reason = format!(
            "{what} The instance lets the server in and does not answer as it should, so that the last of the output \
             may be missing and its directory stays there. {}",
            failure.reason
        );
        Some(Over::unbegun(Ending::aborted(outcome, reason)))
    }

    /// The end of a cancelled run whose machine is not reached and is DEACTIVATE: nobody counts on
    /// it any more.
    async fn written_off(&self, failure: &Failure) -> Option<Over> {
        if self.told_to_end().now_or_never() != Some(Cause::Cancelled) {
            return None;
        }
        let instance = self.shared.store.instance(self.instance.id).await.ok()??;
        if instance.state == InstanceState::Active {
            return None;
        }
        let reason = format!(
            "Cancelled on request. The instance is DEACTIVATE and is not reached, so that it is not confirmed that \
             nothing of it is left there, and the last of the output may be missing. {}",
            failure.reason
        );
        Some(Over::unbegun(Ending::aborted(Outcome::Cancelled, reason)))
    }

    /// Goes the whole way over one connection, from wherever the run is.
    async fn attempt(&mut self) -> Result<Over, Failure> {
        let shared = self.shared;
        let known = self.task.process.is_some();
        let mut command = self.command(known).await?;
        let mut session = tokio::select! {
            biased;
            cause = self.told_to_end(), if !self.may_run => {
                let (outcome, what) = self.describe(cause);
                let reason = format!("{what} The script had not begun.");
                return Ok(Over::unbegun(Ending::aborted(outcome, reason)));
            }
            connected = self.connect() => connected?,
        };
        let slots = &shared.slots;
        self.place
            .get_or_insert_with(|| slots.take(self.instance.id));
        self.let_in = true;
        let id = self
            .task
            .run
            .as_ref()
            .map_or("none", |run| &run.0)
            .to_owned();
        let wanted = shared.store.detached_runs().await.ok();
        let run = Detached {
            store: shared.store.id(),
            run: &id,
            command: &command,
            wanted: wanted.as_deref(),
        };
        let bounds = self.bounds;
        let link = &mut session;
        let started = over!(self, link.start_detached(run, known, bounds));
        self.may_run |= started
            .as_ref()
            .map_or_else(|failure| failure.outcome == Outcome::Lost, |_| true);
        let started = started?;
        // It may be long, and is there now.
        command.stdin = None;
        let run = Detached {
            store: shared.store.id(),
            run: &id,
            command: &command,
            wanted: None,
        };
        let process = match started {
            Started::As(process) => process,
            Started::Refused(failure) => {
                let ending = Ending::aborted(failure.outcome, failure.reason);
                return Ok(Over {
                    session: Some(session),
                    ..Over::unbegun(ending)
                });
            }
            Started::Gone => return Ok(Over::unbegun(gone())),
            Started::Unknown => {
                return Ok(Over::unbegun(Ending::aborted(
                    Outcome::Lost,
                    "The instance began to start the script and never said that it runs. It is not started again by itself.",
                )));
            }
        };
        self.keep(process).await;
        self.back_in_reach().await;
        loop {
            self.follow(&mut session, run).await?;
            let from = self.from();
            let link = &mut session;
            let Some(collection) = over!(self, link.collect_detached(run, from))? else {
                return Ok(Over::unbegun(gone()));
            };
            let state = collection.state().clone();
            let late = |(_, at)| state.now.saturating_sub(at) > LEFT_BEHIND.as_secs().cast_signed();
            if state.over
                || !state.watched
                || self.stopped.is_some()
                || state.exit.is_some_and(late)
            {
                let (ending, end) = self.judge(&state);
                let last = self.collect(collection).await?;
                // What is not over may still be of use to whoever looks for it there.
                let session = state.over.then_some(session);
                return Ok(Over {
                    ending,
                    end,
                    last,
                    session,
                });
            }
            sleep(PAUSE.0).await;
        }
    }

    /// Takes what the run writes until it is over. Where it is to end before that, ends it and
    /// takes its last words.
    async fn follow(&mut self, session: &mut Lease, run: Detached<'_>) -> Result<(), Failure> {
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

    /// Takes what was not followed of a run that is over. What is left out, and the ends behind
    /// that, are for the record of its end.
    async fn collect(&mut self, mut collection: Collection) -> Result<OutputWrite, Failure> {
        while let Some((stream, bytes)) = collection.next().await? {
            self.push(stream, bytes);
            if self.output.is_full() {
                self.flush().await;
            }
        }
        let known = self.shared.known();
        let streams = collection.state().streams;
        let tails = collection.tails().await?;
        for ((stream, kept), tail) in Stream::ALL.into_iter().zip(&streams).zip(&tails) {
            let came = self.output.end(stream) + self.output.held(stream);
            let total = kept.total.unwrap_or(0).max(kept.head).max(came);
            if tail.is_empty() || total - came > tail.len() as u64 {
                self.output.release(&known, stream, Instant::now());
            }
        }
        self.flush().await;
        let mut at = self.output.bytes();
        let mut last = OutputWrite {
            gaps: Some([None; 2]),
            ..OutputWrite::default()
        };
        for ((stream, kept), mut tail) in Stream::ALL.into_iter().zip(streams).zip(tails) {
            let head = self.output.end(stream);
            let held = self.output.held(stream);
            let total = kept.total.unwrap_or(0).max(kept.head).max(head + held);
            // A machine that has shown more than it now says it kept: nothing is stored twice.
            let behind = usize::try_from(total - head - held).unwrap_or(usize::MAX);
            let _ = tail.split_to(tail.len().saturating_sub(behind));
            let tail = self.output.mask_end(&known, stream, &tail);
            let begin = total - tail.len() as u64;
            let length = begin.saturating_sub(head);
            if let Some(gaps) = &mut last.gaps {
                gaps[stream as usize] = (length > 0).then_some(Gap {
                    offset: head,
                    length,
                });
            }
            last.totals[stream as usize] = total;
            at += length;
            for (number, data) in tail.chunks(CHUNK).enumerate() {
                last.chunks.push(Chunk {
                    stream,
                    offset: begin + (number * CHUNK) as u64,
                    data: data.to_vec(),
                    runs: vec![(at, data.len() as u64)],
                    skipped: 0,
                });
                at += data.len() as u64;
            }
        }
        Ok(last)
    }

    /// How it ended, and when by this server's clock: the machine's own word, corrected by how far
    /// the two clocks are apart.
    fn judge(&self, state: &State) -> (Ending, Option<i64>) {
        let stop = self.stop.zip(self.stopped.clone()).map(|(cause, stopped)| {
            let (outcome, what) = self.describe(cause);
            Stop {
                outcome,
                what,
                stopped,
            }
        });
        let now = self.shared.clock.now();
        let end = state
            .exit
            .map(|(_, at)| now - state.now.saturating_sub(at).max(0));
        (judgement::judge(state, stop), end)
    }

    /// Records the end, however long the store takes to accept it, and removes what is left on the
    /// machine after that.
    async fn settle(&mut self, over: Over) {
        if !self.may_run && retry(self.shared, &self.task, &over.ending).await {
            return;
        }
        let known = self.shared.known();
        for stream in Stream::ALL {
            self.output.release(&known, stream, Instant::now());
        }
        self.flush().await;
        let mut last = over.last;
        last.masked = self.output.masked();
        if last.gaps.is_none() {
            last.totals = Stream::ALL.map(|stream| self.output.end(stream));
            last.gaps = Some([None; 2]);
        }
        let (id, last) = (self.task.id, Arc::new(last));
        let end = over.end.unwrap_or_else(|| self.shared.clock.now());
        while let Err(error) = self
            .shared
            .store
            .finish_task(id, Arc::clone(&last), over.ending.clone(), end)
            .await
        {
            tracing::error!(task = id.0, %error, "cannot record the end of a task; trying again");
            sleep(AGAIN).await;
        }
        tracing::info!(
            task = id.0,
            instance = self.instance.id.0,
            outcome = over.ending.outcome().as_str(),
            rc = over.ending.rc(),
            duration_ms = self.begun.elapsed().as_millis() as u64,
            bytes = last.totals.iter().sum::<u64>(),
            "task ended"
        );
        self.shared.feed.changed(id);
        if let Some(session) = over.session {
            self.remove(session).await;
        }
    }

    /// What stays is swept by a later run on the machine.
    async fn remove(&self, mut session: Lease) {
        let removed = async {
            let command = self.command(true).await?;
            let run = Detached {
                store: self.shared.store.id(),
                run: self.task.run.as_ref().map_or("none", |run| &run.0),
                command: &command,
                wanted: None,
            };
            let link = &mut session;
            over!(self, link.remove_detached(run))
        };
        match removed.await {
            // Nothing of the run goes on there.
            Ok(()) => session.release(),
            Err(failure) => {
                tracing::warn!(task = self.task.id.0, reason = %failure, "cannot remove what a detached run left on its instance");
            }
        }
    }

    /// The script and how it is run; what it reads only where it may have to be started.
    async fn command(&self, known: bool) -> Result<Command, Failure> {
        match known {
            true => command_without_stdin(self.shared, &self.task).await,
            false => command(self.shared, &self.task).await,
        }
    }

    async fn connect(&self) -> Result<Lease, Failure> {
        let used = Use::Run(self.task.id);
        target::connect(self.shared, self.instance.id, &self.task.user, used).await
    }

    /// Keeps which process it is: from then on it is never started again.
    async fn keep(&mut self, process: RemoteProcess) {
        if self.task.process.as_ref() == Some(&process) {
            return;
        }
        let id = self.task.id;
        while let Err(error) = self.shared.store.record_process(id, process.clone()).await {
            tracing::warn!(task = id.0, %error, "cannot record the process of a task; trying again");
            sleep(AGAIN).await;
        }
        self.task.process = Some(process);
    }

    async fn out_of_reach(&mut self, failure: &Failure) {
        self.flush().await;
        if self.out_of_reach_since.is_some() {
            return;
        }
        let now = self.shared.clock.now();
        self.out_of_reach_since = Some(now);
        let why = self.shared.known().mask(&failure.reason);
        tracing::warn!(task = self.task.id.0, reason = %why, "a detached run is out of reach; trying again");
        let since = OffsetDateTime::from_unix_timestamp(now)
            .ok()
            .and_then(|now| {
                now.format(format_description!(
                    "[year]-[month]-[day] [hour]:[minute]:[second] UTC"
                ))
                .ok()
            });
        self.note(Some(format!(
            "The instance does not answer since {}, and is tried again; the run may go on there meanwhile. {}",
            since.unwrap_or_default(),
            why
        )))
        .await;
    }

    async fn back_in_reach(&mut self) {
        // A server before this one may have left its note.
        if self.out_of_reach_since.take().is_some() || self.task.reason.take().is_some() {
            self.note(None).await;
        }
    }

    async fn note(&self, reason: Option<String>) {
        let id = self.task.id;
        match self.shared.store.note_task(id, reason).await {
            Ok(()) => self.shared.feed.changed(id),
            Err(error) => {
                tracing::warn!(task = id.0, %error, "cannot say that a run is out of reach")
            }
        }
    }

    /// A machine is not to send more than it was told to keep; what it sends beyond that is
    /// dropped.
    fn push(&mut self, stream: Stream, mut bytes: Bytes) {
        let room = self
            .shared
            .config
            .output_limit
            .saturating_sub(self.output.end(stream) + self.output.held(stream));
        bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        let known = self.shared.known();
        self.output.take(&known, stream, &bytes, Instant::now());
        // What comes behind a full head is not seen before the end.
        let came = self.output.end(stream) + self.output.held(stream);
        let sees = came < self.bounds.head();
        self.heard.send_replace(match sees {
            true => Instant::now().max(*self.heard.borrow()),
            false => Instant::now() + BLIND,
        });
    }

    /// From where on the machine is to show what the run wrote.
    fn from(&mut self) -> [u64; 2] {
        self.output.forget_held();
        Stream::ALL.map(|stream| self.output.end(stream))
    }

    async fn write(&mut self) {
        self.output.store(self.shared, self.task.id).await;
    }

    /// Writes all that came, however long the store takes to accept it.
    async fn flush(&mut self) {
        while self.output.is_behind() {
            self.write().await;
            if self.output.has_unsent() {
                sleep(AGAIN).await;
            }
        }
    }

    /// Waits until the run is to end before its script does.
    fn told_to_end(&self) -> impl Future<Output = Cause> + use<> {
        let (cancel, deadline) = (self.cancel.clone(), self.deadline);
        async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Cause::Cancelled,
                () = until(deadline) => Cause::TimedOut,
            }
        }
    }

    fn describe(&self, cause: Cause) -> (Outcome, String) {
        cause.describe(&self.task, &self.shared.config)
    }
}

fn gone() -> Ending {
    Ending::aborted(
        Outcome::Lost,
        "Its directory is gone from the instance (wsexec in XDG_STATE_HOME, or in ~/.local/state): somebody has \
         removed it, or another server on a copy of this store has recorded its end. It is not started again by itself.",
    )
}
