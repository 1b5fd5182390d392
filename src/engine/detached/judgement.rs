//! How a detached run has ended, from what its machine knows of it.

use crate::domain::{Ending, Outcome, Stream};
use crate::engine::remains::after_the_end;
use crate::ssh::Finding;
use crate::ssh::remote::detached::State;

/// A run that was to end before its script did.
pub struct Stop {
    pub outcome: Outcome,
    /// Why, as a sentence.
    pub what: String,
    pub stopped: Stopped,
    /// Whether a server before this one may have told it to.
    pub earlier: bool,
}

/// What became of a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Whether the script had exited by itself before it was told.
    pub exited: bool,
    /// What was found and ended of it then.
    pub found: Finding,
}

pub fn judge(state: &State, stop: Option<Stop>) -> Ending {
    let own = state.exit.map(|(code, _)| exited(code));
    let told = state.exit.is_some_and(|(code, _)| is_told(code));
    let ending = match (stop, own) {
        (Some(stop), Some(_)) if stop.earlier && told => {
            Ending::aborted(stop.outcome, stop.reason())
        }
        // Where nothing lived that could be told, the script's own end stands.
        (Some(stop), Some(own)) if stop.stopped.exited || !stop.stopped.found.told => {
            match stop.stopped.found.told {
                true => own.with_reason(format!(
                    "The script had exited by itself. {}",
                    stop.reason()
                )),
                false => own,
            }
        }
        (Some(stop), _) => Ending::aborted(stop.outcome, stop.reason()),
        (None, Some(own)) => own,
        (None, None) => Ending::aborted(Outcome::Lost, unknown(state)),
    };
    let mut reasons: Vec<String> = ending.reason().map(str::to_owned).into_iter().collect();
    if state.cut {
        reasons.push(
            "Something that the script left behind still held its output open; what that writes from now on is not \
             kept."
                .into(),
        );
    }
    reasons.extend(
        Stream::ALL
            .into_iter()
            .filter_map(|stream| not_kept(state, stream)),
    );
    match reasons.is_empty() {
        true => ending,
        false => ending.with_reason(reasons.join(" ")),
    }
}

impl Stop {
    fn reason(&self) -> String {
        after_the_end(&self.what, &self.stopped.found)
    }
}

/// Whether this is the exit code of a script that was ended as a stop ends it, by TERM or KILL.
fn is_told(code: u32) -> bool {
    [128, 256]
        .into_iter()
        .any(|by_signal| [by_signal + 15, by_signal + 9].contains(&code))
}

/// A POSIX shell tells a signal by 128 and its number, as a script can say by itself. ksh adds 256,
/// which no script can.
fn exited(code: u32) -> Ending {
    match code {
        257.. => Ending::signalled(signal(code - 256).map_or_else(|| (code - 256).to_string(), Into::into)),
        129..=255 => match signal(code - 128) {
            Some(name) => Ending::exited(code).with_reason(format!(
                "Exit code {code}: the script gave it by itself, or signal {name} ended it; a detached run does not \
                 tell which."
            )),
            None => Ending::exited(code),
        },
        code => Ending::exited(code),
    }
}

/// Names of the signals that have the same number on every Linux machine (signal(7)).
fn signal(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        5 => "TRAP",
        6 => "ABRT",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        _ => return None,
    })
}

fn unknown(state: &State) -> String {
    if !state.same_boot {
        return "The machine was restarted while the script ran, and ended it. It is not started again by itself."
            .into();
    }
    let script = match state.alive {
        true => "the script itself still runs there",
        false => "the script runs no more",
    };
    format!(
        "What watched over the script on the instance was ended from outside (by a kill, or by systemd's \
         KillUserProcesses at a logout), so that its exit code is not known; {script}."
    )
}

/// Where the machine kept less than it was to.
fn not_kept(state: &State, stream: Stream) -> Option<String> {
    let kept = state.streams[stream as usize];
    let total = kept.total?;
    let short = total > kept.head && (kept.head < state.cap || kept.tail == 0);
    short.then(|| {
        format!(
            "The instance kept {} of {total} bytes of {}: its disk was full, or a quota or a limit on the size of \
             files was reached.",
            kept.head + kept.tail,
            stream.as_str()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::Left;
    use crate::ssh::remote::detached::Kept;

    fn state(exit: Option<(u32, i64)>) -> State {
        let kept = Kept {
            head: 10,
            total: Some(10),
            tail: 0,
        };
        State {
            over: exit.is_some(),
            alive: false,
            watched: false,
            same_boot: true,
            cut: false,
            exit,
            now: 100,
            cap: 512,
            streams: [kept; 2],
        }
    }

    #[test]
    fn an_exit_is_the_scripts_own_and_a_signal_is_told_where_it_may_be_one() {
        assert_eq!(judge(&state(Some((3, 1))), None), Ending::exited(3));
        assert_eq!(judge(&state(Some((200, 1))), None), Ending::exited(200));
        let killed = judge(&state(Some((143, 1))), None);
        assert_eq!(
            (killed.outcome(), killed.rc()),
            (Outcome::Exited, Some(143))
        );
        assert!(killed.reason().unwrap().contains("signal TERM"));
        let by_ksh = judge(&state(Some((256 + 9, 1))), None);
        assert_eq!(by_ksh.signal(), Some("KILL"));
    }

    #[test]
    fn without_an_exit_it_is_lost_and_the_reason_says_how() {
        let mut it = state(None);
        assert!(judge(&it, None).reason().unwrap().contains("from outside"));
        it.same_boot = false;
        let ending = judge(&it, None);
        assert_eq!(ending.outcome(), Outcome::Lost);
        assert!(
            ending
                .reason()
                .unwrap()
                .starts_with("The machine was restarted")
        );
    }

    #[test]
    fn a_full_disk_is_told_and_a_capped_stream_is_not() {
        let mut it = state(Some((0, 1)));
        it.streams[0] = Kept {
            head: 512,
            total: Some(5000),
            tail: 100,
        };
        assert_eq!(judge(&it, None), Ending::exited(0));
        it.streams[0] = Kept {
            head: 200,
            total: Some(5000),
            tail: 0,
        };
        let ending = judge(&it, None);
        assert_eq!(ending.rc(), Some(0));
        assert!(
            ending
                .reason()
                .unwrap()
                .contains("kept 200 of 5000 bytes of stdout: its disk was full")
        );
    }

    #[test]
    fn a_stop_that_came_too_late_changes_nothing() {
        let stop = |exited, told| {
            let found = Finding {
                left: Left::Nothing,
                told,
                escaped: None,
            };
            Some(Stop {
                outcome: Outcome::Cancelled,
                what: "Cancelled on request.".into(),
                stopped: Stopped { exited, found },
                earlier: false,
            })
        };
        let exited = state(Some((4, 1)));
        assert_eq!(judge(&exited, stop(false, false)), Ending::exited(4));
        let left_behind = judge(&exited, stop(true, true));
        assert_eq!(left_behind.rc(), Some(4));
        assert!(
            left_behind
                .reason()
                .unwrap()
                .starts_with("The script had exited by itself.")
        );
        let ended = judge(&state(Some((143, 1))), stop(false, true));
        assert_eq!((ended.outcome(), ended.rc()), (Outcome::Cancelled, None));
    }

    #[test]
    fn what_a_server_before_this_one_has_ended_was_not_an_exit_of_its_own() {
        let judged = |code, earlier| {
            let found = Finding {
                left: Left::Nothing,
                told: false,
                escaped: None,
            };
            let stop = Stop {
                outcome: Outcome::Cancelled,
                what: "Cancelled on request.".into(),
                stopped: Stopped {
                    exited: true,
                    found,
                },
                earlier,
            };
            judge(&state(Some((code, 1))), Some(stop)).outcome()
        };
        for code in [143, 137, 256 + 15, 256 + 9] {
            assert_eq!(judged(code, true), Outcome::Cancelled);
        }
        assert_eq!(judged(143, false), Outcome::Exited);
        assert_eq!(judged(3, true), Outcome::Exited);
    }
}
