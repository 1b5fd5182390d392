use super::anchor::Anchor;
use super::audit;
use super::fault::{Fault, from_sqlite};
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
        self.queue
            .as_ref()
            .ok_or_else(stopped)?
            .send_timeout(job, PATIENCE)
            .await
            .map_err(|_| Error::unavailable("The store is busy. Try again later.", 5))?;
        answer.await.map_err(|_| stopped())?
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
