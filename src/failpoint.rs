//! Fail points: named places in the life of a task where a test has the program killed, as by
//! `kill -9`. `WSEXEC_FAILPOINT=NAME` arms the one of that name, and `NAME:3` at its third passage.
//! A release build has none of it.

/// Passes the fail point of this name, or does not get past it.
#[inline(always)]
pub fn pass(name: &str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    static ARMED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let armed = std::env::var("WSEXEC_FAILPOINT").ok()?;
        let (name, passage) = armed.split_once(':').unwrap_or((&armed, "1"));
        Some((name.to_owned(), passage.parse().ok()?))
    });
    static PASSED: AtomicU32 = AtomicU32::new(0);

    pub fn pass(name: &str) {
        let Some((armed, passage)) = &*ARMED else {
            return;
        };
        if armed == name && PASSED.fetch_add(1, Relaxed) + 1 == *passage {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
