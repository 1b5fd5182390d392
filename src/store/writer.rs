use super::anchor::Anchor;
use super::fault::{Fault, from_sqlite};
use super::{PATIENCE as BUSY, audit};
use crate::domain::{Error, Result};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Writes that wait for the writer; past that, callers wait for a place.
const QUEUE: usize = 1024;
/// Writes that share one commit.
const BATCH: usize = 128;
/// How long a caller waits for a place in the queue.
const PATIENCE: Duration = Duration::from_secs(5);

/// The one thread that writes. Whatever waits when it is free shares one transaction, and so one
/// fdatasync: that makes `synchronous=FULL` affordable.
pub struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(connection: Connection, anchor: Anchor) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(&connection, anchor, jobs))
            .expect("the operating system starts a thread");
        Self {
            queue: Some(queue),
            thread: Some(thread),
        }
    }

    /// Runs a write inside a transaction; it has returned when the commit is on disk. It goes on
    /// where the caller goes away.
    pub async fn write<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write {
            f: Some(f),
            outcome: None,
            reply,
        });
        self.send(job).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Empties the log behind a commit, unless a reader still needs it; it has returned when that is
    /// done.
    pub async fn empty_log(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Box::new(EmptyLog { reply })).await?;
        answer.await.map_err(|_| stopped())?
    }

    async fn send(&self, job: Box<dyn Job>) -> Result<()> {
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        let sent = queue.send_timeout(job, PATIENCE).await;
        sent.map_err(|_| Error::unavailable("The store is busy. Try again later.", 5))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was logged when it happened.
            let _ = thread.join();
        }
    }
}

fn stopped() -> Error {
    Error::unavailable("The store has stopped.", 5)
}

/// One write of a batch, without its types.
trait Job: Send {
    /// Does it. True where its changes are to stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells the caller, once the batch's commit has succeeded, or with what it failed.
    fn deliver(self: Box<Self>, commit: Result<(), Error>);
    /// Whether the log is to be emptied behind it.
    fn empties_log(&self) -> bool {
        false
    }
}

struct EmptyLog {
    reply: oneshot::Sender<Result<()>>,
}

impl Job for EmptyLog {
    fn run(&mut self, _: &Connection) -> bool {
        true
    }

    fn deliver(self: Box<Self>, commit: Result<(), Error>) {
        let _ = self.reply.send(commit);
    }

    fn empties_log(&self) -> bool {
        true
    }
}

struct Write<T, F> {
    f: Option<F>,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Fault> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let Some(f) = self.f.take() else { return false };
        // A panic must not end the thread that all other writes depend on.
        let outcome = catch_unwind(AssertUnwindSafe(|| f(connection)))
            .map_err(|_| Error::internal("a write panicked"))
            .and_then(|outcome| outcome.map_err(Error::from));
        let stays = outcome.is_ok();
        self.outcome = Some(outcome);
        stays
    }

    fn deliver(self: Box<Self>, commit: Result<(), Error>) {
        let outcome = match (commit, self.outcome) {
            // Also what was refused: it may have been for what a neighbour wrote in vain.
            (Err(failed), _) => Err(failed),
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(stopped()),
        };
        // A caller that has gone away does not want to know.
        let _ = self.reply.send(outcome);
    }
}

fn run(connection: &Connection, mut anchor: Anchor, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
        let began = Instant::now();
        let failed = commit(connection, &mut anchor, &mut batch).err();
        metrics::histogram!("wsexec_store_commit_seconds").record(began.elapsed());
        if let Some(error) = &failed {
            tracing::error!(
                cause = error.cause().map(tracing::field::display),
                "the store refused a commit"
            );
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        if batch.iter().any(|job| job.empties_log()) {
            empty_log(connection);
        }
        for job in batch.drain(..) {
            job.deliver(match &failed {
                None => Ok(()),
                Some(error) => Err(Error::unavailable(error.detail().to_owned(), 5)),
            });
        }
    }
    // Leaves the log empty and the statistics fresh for whoever opens the store next.
    let _ = connection.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE);");
}

/// Waits for no reader: the writer has other work, and the next time comes.
fn empty_log(connection: &Connection) {
    let emptied = connection
        .busy_timeout(Duration::ZERO)
        .and_then(|()| connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .and_then(|()| connection.busy_timeout(BUSY));
    if let Err(error) = emptied {
        tracing::debug!(%error, "the log of the store is not emptied");
        let _ = connection.busy_timeout(BUSY);
    }
}

fn commit(connection: &Connection, anchor: &mut Anchor, batch: &mut [Box<dyn Job>]) -> Result<()> {
    let execute = |sql: &str| -> Result<()> {
        let mut statement = connection.prepare_cached(sql).map_err(from_sqlite)?;
        statement.execute([]).map_err(from_sqlite)?;
        Ok(())
    };
    let head = || audit::head(connection).map_err(from_sqlite);
    execute("BEGIN IMMEDIATE")?;
    let before = head()?;
    for job in batch {
        // One bad write must not take its neighbours with it.
        execute("SAVEPOINT job")?;
        if !job.run(connection) {
            // A full disk can end the whole transaction: then this fails, and so does the batch.
            execute("ROLLBACK TO job")?;
        }
        execute("RELEASE job")?;
    }
    let appended = head()?.filter(|head| before.as_ref() != Some(head));
    if appended.is_some() {
        anchor.check(connection)?;
    }
    execute("COMMIT")?;
    if let Some(head) = appended {
        anchor.advance(head);
    }
    Ok(())
}
