//! What a machine says of itself to whoever wants to run scripts there.

use super::deliver::Program;
use super::{unguessable, words};
use crate::domain::{Become, Outcome};
use crate::ssh::{Event, Failure, Input, Password, Running, Session};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, timeout_at};

/// Each line of it begins with `MARK`, which nobody else can print. The last part waits for a line,
/// so that the time between that line and the answer holds the clock's reading and little else.
const PROGRAM: &str = r#"say() { printf '%s %s\n' MARK "$*"; }
say shell "${SHELL:-unknown}"
d=${XDG_STATE_HOME:-${HOME:+$HOME/.local/state}}
case $d in
/*) d=$d/wsexec; t=$d/check-$$
    if e=$( (umask 077 && mkdir -p "$d" && echo wsexec > "$t" && rm -f "$t") 2>&1 ); then
        say writable "$d"
    else
        say unwritable "$d"; say because "$e"; rm -f "$t" 2>/dev/null
    fi;;
*) say unwritable; say because "neither HOME nor XDG_STATE_HOME names a directory";;
esac
say ask
IFS= read -r x
say now "$(date +%s.%N)"
"#;

/// The most of the program's output that is looked at, in bytes.
const ANSWER: usize = 64 * 1024;

/// What a machine has said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// The user's login shell.
    pub shell: String,
    /// The directory for detached runs, or why it cannot be written.
    pub state_directory: Result<String, String>,
    /// Its clock; none where it cannot be read.
    pub clock: Option<RemoteClock>,
}

/// A machine's clock beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteClock {
    /// How far it is ahead, in milliseconds, with half the round trip taken off.
    pub ahead_ms: i64,
    /// How far off that may be, in milliseconds.
    pub within_ms: i64,
}

impl Session {
    /// Asks the machine for what a script needs there.
    ///
    /// # Errors
    /// Where the login shell does not run the program, or the machine does not answer in time.
    pub async fn findings(&mut self) -> Result<Findings, Failure> {
        let mark = unguessable();
        let program = Program {
            text: &PROGRAM.replace("MARK", &mark),
            become_user: None,
            password: None,
            terminal: false,
        };
        let deadline = Instant::now() + self.start_timeout;
        let (running, input) = self.deliver(program).await?;
        let mut answer = Answer {
            running,
            input,
            mark,
            lines: String::new(),
            printed: Vec::new(),
            asked: None,
            clock: None,
        };
        match timeout_at(deadline, answer.whole()).await {
            Ok(()) => answer.findings(),
            Err(_) => Err(answer.not_understood("did not answer in time")),
        }
    }

    /// Whether the login's user can become another one.
    ///
    /// # Errors
    /// With the reason that a task would get.
    pub async fn try_become(
        &mut self,
        become_user: &Become,
        password: Option<&Password>,
    ) -> Result<(), Failure> {
        let program = Program {
            text: "exit 0\n",
            become_user: Some(become_user),
            password,
            terminal: false,
        };
        let deadline = Instant::now() + self.start_timeout;
        let (mut running, input) = self.deliver(program).await?;
        input.finish();
        // It has begun as the other user: what is left is its end.
        let end =
            async { while matches!(running.next().await, Event::Stdout(_) | Event::Stderr(_)) {} };
        let _ = timeout_at(deadline, end).await;
        Ok(())
    }
}

struct Answer {
    running: Running,
    input: Input,
    mark: String,
    /// The program's lines, each without the mark.
    lines: String,
    /// What has come and is no whole line yet.
    printed: Vec<u8>,
    /// When the clock was asked for: by ours, and by what cannot be set.
    asked: Option<(SystemTime, Instant)>,
    clock: Option<RemoteClock>,
}

impl Answer {
    /// Takes what the program says, to its end.
    async fn whole(&mut self) {
        let mut taken = 0;
        while taken < ANSWER {
            match self.running.next().await {
                Event::Stdout(data) => {
                    taken += data.len();
                    self.printed.extend_from_slice(&data);
                }
                Event::Stderr(data) => taken += data.len(),
                Event::Exited(_) | Event::Signalled(_) | Event::Disconnected(_) => return,
            }
            while let Some(end) = self.printed.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.printed.drain(..=end).collect();
                self.hear(String::from_utf8_lossy(&line).trim_end()).await;
            }
        }
    }

    async fn hear(&mut self, line: &str) {
        let Some(said) = line.strip_prefix(&self.mark) else {
            return;
        };
        let said = said.trim_start();
        if said == "ask" {
            self.asked = Some((SystemTime::now(), Instant::now()));
            // Where it cannot be asked there is no answer, and that is said.
            let _ = self.input.write("\n".into()).await;
        } else if let Some(now) = said.strip_prefix("now ") {
            self.clock = self.asked.and_then(|asked| read_clock(now, asked));
        } else {
            self.lines.push_str(said);
            self.lines.push('\n');
        }
    }

    fn said(&self, word: &str) -> Option<String> {
        let said = |line: &str| Some(line.strip_prefix(word)?.strip_prefix(' ')?.to_owned());
        self.lines.lines().find_map(said)
    }

    fn findings(self) -> Result<Findings, Failure> {
        let Some(shell) = self.said("shell") else {
            return Err(self.not_understood("said nothing that can be understood"));
        };
        let because = || {
            let why = self.said("because").unwrap_or_default();
            words(why.as_bytes())
        };
        Ok(Findings {
            state_directory: match self.said("writable") {
                Some(directory) => Ok(words(directory.as_bytes())),
                None => Err(because()),
            },
            shell: words(shell.as_bytes()),
            clock: self.clock,
        })
    }

    fn not_understood(&self, how: &str) -> Failure {
        Failure::new(
            Outcome::StartFailed,
            format!(
                "The machine's /bin/sh {how}. It may be overloaded, or not a POSIX shell; it \
                 printed: {}",
                words(&self.printed)
            ),
        )
    }
}

/// Reads `SECONDS.NANOSECONDS`; a date(1) that knows no nanoseconds prints something else there.
fn read_clock(text: &str, (wall, asked): (SystemTime, Instant)) -> Option<RemoteClock> {
    let round_trip = asked.elapsed();
    let middle = wall.duration_since(UNIX_EPOCH).ok()? + round_trip / 2;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let seconds: i64 = seconds.parse().ok().filter(|_| is_number(seconds))?;
    let (fraction_ms, unsure_ms) = match fraction.get(..3) {
        Some(ms) if fraction.len() == 9 && is_number(fraction) => (ms.parse().ok()?, 0),
        _ => (500, 500),
    };
    let remote = seconds.checked_mul(1000)?.checked_add(fraction_ms)?;
    Some(RemoteClock {
        ahead_ms: remote.checked_sub(millis(middle))?,
        within_ms: unsure_ms + millis(round_trip / 2),
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_read_with_or_without_nanoseconds_and_nothing_else_is() {
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let read = |text: String| read_clock(&text, (now, Instant::now()));
        let exact = read(format!("{}.000000000", seconds + 10)).unwrap();
        assert!((8_999..=10_000).contains(&exact.ahead_ms), "{exact:?}");
        for whole in [
            format!("{seconds}.%N"),
            format!("{seconds}.N"),
            format!("{seconds}"),
        ] {
            let clock = read(whole).unwrap();
            assert!(clock.ahead_ms.abs() <= 500 && clock.within_ms >= 500);
        }
        for bad in [
            "",
            "-5.0",
            "x",
            "99999999999999999999.1",
            "9223372036854775807.1",
            " 1",
        ] {
            assert_eq!(read(bad.into()), None, "{bad}");
        }
    }
}
