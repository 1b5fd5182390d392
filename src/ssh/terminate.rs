//! The end of what a script started on its machine.
//!
//! A closed connection leaves a script running, and OpenSSH ignores a signal request for root. So
//! a second command on the same connection finds the script's session (setsid(2): OpenSSH makes
//! each command the leader of one), and ends every process in it. A process group would not do:
//! `timeout` and `set -m` make groups of their own inside the session. What a script puts into
//! another session, with `setsid` or by way of a daemon, is out of reach here.

use super::Event;
use super::session::{Running, Session, send_signal};
use crate::domain::Outcome;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What became of a script that was to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Termination {
    /// Nothing of its session is left.
    Confirmed,
    /// It may still run; the sentence says why.
    Unconfirmed(String),
}

/// For KILL to work, on top of what a machine has to start a script.
const SLACK: Duration = Duration::from_secs(4);
/// The most of the program's answer that is looked at, in bytes.
const ANSWER: usize = 4096;

/// Any login shell takes this: one line, one single-quoted word with neither a single quote, an
/// exclamation mark (tcsh) nor a backslash (fish) in it. After `exec`, `$PPID` is the server's
/// process for this connection, whose other children are the scripts' session leaders. `GRACE` is
/// replaced by seconds.
const PROGRAM: &str = concat!(
    "exec /bin/sh -c '",
    "exec 2>/dev/null; P=$PPID; ",
    // PID PPID SESSION STATE of every process. The name in /proc/PID/stat may hold anything, line
    // ends and parentheses too, so only what follows its last parenthesis counts.
    "all() { if [ -r /proc/$$/stat ]; then for d in /proc/[0-9]*; do l=; ",
    "while IFS= read -r x; do l=$x; done < $d/stat; ",
    "case $l in *\") \"*) set -- ${l##*\") \"}; echo ${d#/proc/} $2 $4 $1;; esac; done; ",
    "else ps -e -o pid= -o ppid= -o sid= -o stat=; fi; }; ",
    "S=\" \"; set -- $(all); while [ $# -gt 3 ]; do ",
    "if [ $2 -eq $P ] && [ $3 -eq $1 ] && [ $1 -ne $$ ] && [ $1 -gt 1 ]; then S=\"$S$1 \"; fi; ",
    "shift 4; done; ",
    "if [ \"$S\" = \" \" ]; then echo none; exit 0; fi; ",
    // Sets M to the processes of these sessions that live.
    "left() { set -- $(all); M=; while [ $# -gt 3 ]; do case $S in *\" $3 \"*) ",
    "case $4 in Z*|X*) ;; *) if [ $1 -gt 1 ]; then M=\"$M $1\"; fi;; esac;; esac; ",
    "shift 4; done; }; ",
    "left; if [ -n \"$M\" ]; then kill -TERM $M; kill -CONT $M; fi; ",
    "E=$(( $(date +%s) + GRACE )); ",
    "while left; [ -n \"$M\" ] && [ $(date +%s) -lt $E ]; do sleep 0.1 || sleep 1; done; ",
    "n=0; while [ -n \"$M\" ] && [ $n -lt 30 ]; do ",
    "kill -KILL $M; sleep 0.1 || sleep 1; left; n=$((n+1)); done; ",
    "if [ -n \"$M\" ]; then echo left$M; else echo gone; fi",
    "'"
);

impl Session {
    /// Ends what the scripts of this session started: TERM, then, after `grace` (whole seconds,
    /// rounded up), KILL. Meanwhile somebody has to take what each [`Running`] brings: all share
    /// one connection.
    pub async fn terminate(&mut self, grace: Duration) -> Termination {
        let seconds = grace.as_millis().div_ceil(1000);
        let program = PROGRAM.replace("GRACE", &seconds.to_string());
        let limit = grace + self.start_timeout + SLACK;
        match self.aside(&program).await {
            Ok(mut running) => match timeout(limit, answer(&mut running)).await {
                Ok(termination) => termination,
                Err(_) => unconfirmed("The machine did not say in time what became of it."),
            },
            Err(refused) => {
                self.signal_scripts(grace).await;
                // `lost` speaks of a script that may run: here that is only what ends scripts.
                let why = match refused.outcome {
                    Outcome::Lost => "It gave no answer to a command that ends it.",
                    _ => &refused.reason,
                };
                unconfirmed(format!(
                    "The machine was asked to end it by signals, which it need not heed. {why}"
                ))
            }
        }
    }

    /// RFC 4254 section 6.9: what is left where the machine takes no second command.
    async fn signal_scripts(&mut self, grace: Duration) {
        for (signal, patience) in [("TERM", grace), ("KILL", Duration::ZERO)] {
            for script in self.scripts.iter().filter_map(std::sync::Weak::upgrade) {
                send_signal(&script, signal).await;
            }
            sleep(patience).await;
        }
    }
}

async fn answer(running: &mut Running) -> Termination {
    let mut answer = Vec::new();
    loop {
        match running.next().await {
            Event::Stdout(data) => {
                let room = ANSWER.saturating_sub(answer.len());
                answer.extend_from_slice(&data[..data.len().min(room)]);
            }
            Event::Stderr(_) => {}
            Event::Exited(_) | Event::Signalled(_) | Event::Disconnected(_) => break,
        }
    }
    // A login shell may greet before it runs anything: only the last line counts.
    let answer = String::from_utf8_lossy(&answer);
    let last = answer.trim_end().lines().last().unwrap_or_default();
    match last.split_once(' ').unwrap_or((last, "")) {
        ("gone", "") => Termination::Confirmed,
        ("none", "") => unconfirmed("Its processes were not found on the machine."),
        ("left", pids) if is_pids(pids) => unconfirmed(format!(
            "Processes of it are left on the machine, and the user may not end them: {pids}."
        )),
        _ => unconfirmed("The machine could not be asked what became of it."),
    }
}

fn is_pids(text: &str) -> bool {
    let mut words = text.split(' ');
    words.all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()))
}

fn unconfirmed(why: impl Into<String>) -> Termination {
    Termination::Unconfirmed(why.into())
}
