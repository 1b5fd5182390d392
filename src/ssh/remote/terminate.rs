//! What is left of a script on its machine, and its end.
//!
//! A closed connection leaves a script running, and OpenSSH ignores a signal request for root. So
//! a second command finds the script's session (setsid(2): SSH servers make each command the
//! leader of one), and ends every process in it. A process group would not do: `timeout` and
//! `set -m` make groups of their own inside the session. What a script puts into another session,
//! with `setsid` or by way of a daemon, is told and left alone.
//!
//! Dropbear makes a session only for a command on a terminal: all others of a connection share one,
//! led by the server's process for that connection. There, a script is what lives in that session
//! and began with it or later, but for that process and for those that the question comes from.

use super::session::{Act, Answer, Other, Silence, Whereabouts};
use crate::domain::RemoteProcess;
use crate::ssh::Session;
use crate::ssh::session::send_signal;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::sleep;

/// What a machine says of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is left of it.
    pub left: Left,
    /// Whether something of it lived that was told to end.
    pub told: bool,
    /// What of it goes on in sessions of its own, where that can be seen: a sentence.
    pub escaped: Option<String>,
}

/// What is left of a script's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Nothing: the machine was asked, and nothing is hidden from the user who asked.
    Nothing,
    /// These processes: numbers and names.
    Processes(String),
    /// The machine's answer does not tell; the sentence says why.
    Unknown(String),
    /// The machine could not be asked over this connection; the sentence says why. Another one may
    /// do.
    Unasked(String),
}

/// Where a script was located.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// This process leads its session.
    Process(RemoteProcess),
    /// Something else than the question runs there (a forced command, say), and would again.
    Never,
    /// Nothing tells now.
    Unknown,
}

impl Session {
    /// Looks which process leads the session of the one script that this connection has started.
    pub async fn locate(&mut self) -> Located {
        let here = Whereabouts::here(Duration::ZERO);
        match self.ask(Act::Find, &here, None).await {
            Ok(mut answer) if answer.found.len() == 1 => answer
                .found
                .pop()
                .map_or(Located::Unknown, Located::Process),
            Err(Silence::Foreign) => Located::Never,
            _ => Located::Unknown,
        }
    }

    /// Looks what is left of a script. Meanwhile somebody has to take what each
    /// [`Running`](crate::ssh::Running) brings: all share one connection.
    pub async fn look(&mut self, script: &Whereabouts) -> Finding {
        finding(self.ask(Act::Look, script, None).await)
    }

    /// Ends what a script started: TERM, then, after `grace`, KILL; and looks what is left. What
    /// runs as another user is ended by that user first. As with [`Session::look`], somebody has
    /// to take what comes meanwhile.
    pub async fn terminate(
        &mut self,
        script: &Whereabouts,
        other: Option<Other<'_>>,
        grace: Duration,
    ) -> Finding {
        let act = Act::End(grace);
        let elsewhere = Whereabouts {
            here: false,
            ..script.clone()
        };
        let theirs = match other {
            Some(_) if !script.processes.is_empty() => {
                Some(finding(self.ask(act, &elsewhere, other).await))
            }
            _ => None,
        };
        let ours = finding(self.ask(act, script, None).await);
        let Some(theirs) = theirs else {
            return ours;
        };
        let told = theirs.told || ours.told;
        // The other user may see what is hidden from the login's, and be heard where the machine
        // takes one question only.
        let ours = match ours.left {
            Left::Unknown(_) if theirs.left == Left::Nothing => {
                finding(self.ask(Act::Look, &elsewhere, other).await)
            }
            Left::Unasked(_) if theirs.left == Left::Nothing => theirs,
            _ => ours,
        };
        Finding { told, ..ours }
    }

    /// RFC 4254 section 6.9: what is left where the machine takes no second command. TERM, and
    /// after `grace` KILL; servers need not heed them. False where no script of this connection
    /// runs any more.
    pub async fn signal(&mut self, grace: Duration) -> bool {
        let mut sent = false;
        for (signal, patience) in [("TERM", grace), ("KILL", Duration::ZERO)] {
            let scripts = self.scripts.iter().filter_map(Weak::upgrade);
            let running: Vec<_> = scripts.filter(|line| !line.has_ended()).collect();
            if running.is_empty() {
                break;
            }
            sent = true;
            for script in running {
                send_signal(&script, signal).await;
            }
            sleep(patience).await;
        }
        sent
    }
}

fn finding(answer: Result<Answer, Silence>) -> Finding {
    let answer = match answer {
        Ok(answer) => answer,
        Err(silence) => {
            return Finding {
                left: match silence {
                    Silence::NotAsked(why) => Left::Unasked(why),
                    Silence::Foreign => Left::Unknown(FOREIGN.into()),
                    Silence::Late => {
                        Left::Unknown("The machine did not say in time what became of it.".into())
                    }
                },
                told: false,
                escaped: None,
            };
        }
    };
    let escaped = match answer.escaped.all {
        0 => None,
        1 => Some(format!(
            "1 process left the script's session by setsid and goes on: {}.",
            answer.escaped.words()
        )),
        many => Some(format!(
            "{many} processes left the script's session by setsid and go on: {}.",
            answer.escaped.words()
        )),
    };
    Finding {
        left: left(&answer),
        told: answer.told,
        escaped,
    }
}

/// Why what a machine answers is not believed.
pub const FOREIGN: &str = "Something else than the question ran on the machine: a forced command (command= in authorized_keys, \
    ForceCommand in sshd_config), or a login shell that takes no commands.";

fn left(answer: &Answer) -> Left {
    let unknown = |why: &str| Left::Unknown(why.into());
    if answer.left.all > 0 {
        Left::Processes(answer.left.words())
    } else if answer.no_proc {
        unknown("The machine has no /proc, by which its sessions could be told.")
    } else if answer.none {
        unknown("Its processes were not found on the machine.")
    } else if answer.older.all > 0 {
        Left::Unknown(format!(
            "Processes that are older than it live in its session, and were left alone: {}.",
            answer.older.words()
        ))
    } else if answer.blind {
        unknown(
            "None of it is left that its user may see, but the machine hides the processes of other users (hidepid).",
        )
    } else if answer.gone {
        Left::Nothing
    } else {
        unknown("The machine's answer does not tell.")
    }
}
