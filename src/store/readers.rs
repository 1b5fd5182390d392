use super::fault::from_sqlite;
use crate::domain::{Error, Result};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// Reads that wait for a thread; past that, callers wait for a place.
const QUEUE: usize = 256;
/// How long a caller waits for a place in the queue.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads that read, each with a connection and so a snapshot of its own beside the writer. Reads
/// are short: a long one would keep the write-ahead log from shrinking.
///
/// They are our own because a read takes microseconds, and the way through the runtime's pool for
/// blocking work costs several times as much.
pub struct Readers {
    queue: Arc<Queue>,
    places: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&Connection) + Send>;

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    came: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Threads that sleep: where there is none, nobody has to be woken.
    idle: usize,
    closed: bool,
}

impl Readers {
    pub fn open(
        count: usize,
        connect: impl Fn() -> rusqlite::Result<Connection>,
    ) -> rusqlite::Result<Self> {
        let connections = (0..count)
            .map(|_| connect())
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let queue = Arc::new(Queue::default());
        let start = |connection| {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name("store-reader".into())
                .spawn(move || run(&connection, &queue))
                .expect("the operating system starts a thread")
        };
        Ok(Self {
            threads: connections.into_iter().map(start).collect(),
            queue,
            places: Arc::new(Semaphore::new(QUEUE)),
        })
    }

    /// Runs `f` in one read transaction, off the async workers.
    pub async fn read<T, F>(&self, f: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let busy = || Error::unavailable("The store is busy. Try again later.", 5);
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| busy())?
            .map_err(|_| busy())?;
        let (reply, answer) = oneshot::channel();
        self.queue.push(Box::new(move |connection| {
            // A caller that has gone away does not want to know.
            if !reply.is_closed() {
                let _ = reply.send(snapshot(connection, f));
            }
            drop(place);
        }));
        answer
            .await
            .map_err(|_| Error::internal("a read panicked"))?
            .map_err(from_sqlite)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.came.notify_all();
        for thread in self.threads.drain(..) {
            // A panic there was logged when it happened.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        let mut jobs = self.lock();
        jobs.waiting.push_back(job);
        let idle = jobs.idle > 0;
        drop(jobs);
        if idle {
            self.came.notify_one();
        }
    }

    /// Waits for the next one; none once the queue is closed.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            jobs.idle += 1;
            jobs = self.came.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            jobs.idle -= 1;
        }
    }
}

fn run(connection: &Connection, queue: &Queue) {
    while let Some(job) = queue.next() {
        // A panic must not end a thread that other reads depend on.
        if catch_unwind(AssertUnwindSafe(|| job(connection))).is_err()
            && !connection.is_autocommit()
        {
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}

fn snapshot<T>(
    connection: &Connection,
    f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let outcome = f(connection);
    let ended = connection.prepare_cached("COMMIT")?.execute([]);
    let value = outcome?;
    ended?;
    Ok(value)
}
