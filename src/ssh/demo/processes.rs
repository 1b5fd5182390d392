//! The processes of a session (setsid(2)), and their end.

use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::fs;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between TERM and KILL, and after KILL.
const GRACE: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_millis(20);

/// A process id that may be signalled: never 0 or 1.
pub fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?).filter(|pid| !pid.is_init())
}

/// Ends every process of these sessions: TERM, then KILL. Returns when none is left, or when even
/// KILL did not help in time.
pub async fn end_sessions(sessions: &HashSet<u32>) {
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = Instant::now() + GRACE;
        let mut signalled = HashSet::new();
        loop {
            let left = members(sessions);
            if left.is_empty() {
                return;
            }
            for pid in left
                .iter()
                .copied()
                .filter(|id| signalled.insert(*id))
                .filter_map(pid)
            {
                // Fails where it has ended meanwhile.
                let _ = kill_process(pid, signal);
                let _ = kill_process(pid, Signal::CONT);
            }
            if Instant::now() >= deadline {
                break;
            }
            sleep(PERIOD).await;
        }
    }
}

/// The living processes of these sessions, from /proc (proc_pid_stat(5)). A child of this process
/// that is yet to begin its session counts too.
fn members(sessions: &HashSet<u32>) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_member = |id: &u32| {
        family_of(*id).is_some_and(|(parent, session)| {
            let begins = sessions.contains(id) && parent == std::process::id();
            sessions.contains(&session) || begins
        })
    };
    ids.filter(is_member).collect()
}

/// The parent and the session of a process that is no zombie.
fn family_of(id: u32) -> Option<(u32, u32)> {
    let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name may hold anything, parentheses too.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    match fields.next()? {
        "Z" | "X" => None,
        _ => {
            let parent = fields.next()?.parse().ok()?;
            Some((parent, fields.nth(1)?.parse().ok()?))
        }
    }
}
