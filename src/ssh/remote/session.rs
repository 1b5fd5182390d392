//! The question about the sessions of a script: which they are, what is left of them, and their
//! end. One program asks it all (session.sh), in the login shell of whoever is asked.

use super::deliver::Program;
use super::unguessable;
use crate::domain::{Become, Outcome, RemoteProcess};
use crate::ssh::{Event, Password, Running, Session};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::timeout;

/// The most that is taken of an answer, in bytes: a login shell may say something of its own.
const ANSWER: usize = 128 * 1024;
/// For KILL to work, on top of what a machine has to start a program.
const SLACK: Duration = Duration::from_secs(6);
/// How long a question may take to be over once it is answered.
const END: Duration = Duration::from_secs(1);
/// How much longer ago than we know a script may have begun.
const YOUNGER: Duration = Duration::from_secs(2);
/// The longest name of a process that a reason repeats, in characters.
const NAME: usize = 16;

/// session.sh on one line.
static PROGRAM: LazyLock<String> = LazyLock::new(|| {
    let lines = include_str!("session.sh").lines().map(str::trim);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    lines.join(" ")
});

/// Where a script runs, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct Whereabouts {
    /// The leaders of its sessions; none before they were told or located.
    pub processes: Vec<RemoteProcess>,
    /// `SSH_CONNECTION` (ssh(1)) of the connection that started it.
    pub connection: Option<String>,
    /// How long ago it was started.
    pub age: Duration,
    /// Whether the connection that asks is the one that started it.
    pub here: bool,
}

impl Whereabouts {
    /// What the connection that asks has started, and nothing else known of it.
    pub fn here(age: Duration) -> Self {
        Self {
            age,
            here: true,
            ..Self::default()
        }
    }
}

/// As which other user than the login's a script runs.
#[derive(Debug, Clone, Copy)]
pub struct Other<'a> {
    /// How it was become.
    pub become_user: &'a Become,
    /// What sudo may ask for.
    pub password: Option<&'a Password>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Which session it is.
    Find,
    /// And what is left of it.
    Look,
    /// And that it ends first, with so much time between TERM and KILL.
    End(Duration),
}

impl Act {
    fn grace(self) -> Duration {
        match self {
            Self::End(grace) => grace,
            Self::Find | Self::Look => Duration::ZERO,
        }
    }
}

/// A process, and the begin of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pid: u32,
    name: String,
}

/// Some processes with their names, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Processes {
    named: Vec<Named>,
    pub all: usize,
}

impl Processes {
    /// `12 (sleep), 13 (cat) and 4 more`.
    pub fn words(&self) -> String {
        let named = self.named.iter();
        let named: Vec<_> = named
            .map(|it| format!("{} ({})", it.pid, it.name))
            .collect();
        match self.all.saturating_sub(named.len()) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }
}

/// What a machine answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The leaders that were found by the connection that started them.
    pub found: Vec<RemoteProcess>,
    /// It has no /proc.
    pub no_proc: bool,
    /// It hides the processes of other users.
    pub blind: bool,
    /// Nothing of the connection was found.
    pub none: bool,
    pub gone: bool,
    /// Something lived that was told to end.
    pub told: bool,
    pub left: Processes,
    pub escaped: Processes,
    /// What lives in a session whose leader is gone, and is older than the script.
    pub older: Processes,
    whole: bool,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// The question did not arrive: another connection may bring it.
    NotAsked(String),
    /// Something else answered.
    Foreign,
    /// The machine took the question and did not answer in time.
    Late,
}

impl Session {
    /// Asks as the login's user, or as the one that the script became.
    pub(super) async fn ask(
        &mut self,
        act: Act,
        script: &Whereabouts,
        other: Option<Other<'_>>,
    ) -> Result<Answer, Silence> {
        let nonce = unguessable();
        let text = text(&nonce, act, script);
        let limit = act.grace() + self.start_timeout + SLACK;
        let asked = match other {
            None => self.aside(&format!("exec /bin/sh -c '{text}'")).await,
            Some(Other {
                become_user,
                password,
            }) => {
                let program = Program {
                    text: &text,
                    become_user: Some(become_user),
                    password,
                    terminal: false,
                };
                let delivered = self.deliver(program).await;
                delivered.map(|(running, input)| {
                    input.finish();
                    running
                })
            }
        };
        let mut running = asked.map_err(|refused| {
            // `lost` speaks of a script that may run: here that is only the question.
            Silence::NotAsked(match refused.outcome {
                Outcome::Lost => "The connection gave no answer.".into(),
                _ => refused.reason,
            })
        })?;
        answer(&mut running, &nonce, limit).await
    }
}

async fn answer(running: &mut Running, nonce: &str, limit: Duration) -> Result<Answer, Silence> {
    let mut said = Vec::new();
    let heard = timeout(limit, async {
        while said.len() < ANSWER {
            match running.next().await {
                Event::Stdout(data) => said.extend_from_slice(&data),
                Event::Stderr(_) => {}
                Event::Exited(_) | Event::Signalled(_) => return false,
                Event::Disconnected(_) => return true,
            }
            if parse(&said, nonce).whole {
                return false;
            }
        }
        false
    });
    let heard = heard.await;
    let answer = parse(&said, nonce);
    if answer.whole {
        // Dropbear closes a channel that is opened while another command of its connection ends.
        let ended =
            async { while let Event::Stdout(_) | Event::Stderr(_) = running.next().await {} };
        let _ = timeout(END, ended).await;
    }
    match heard {
        _ if answer.whole => Ok(answer),
        Ok(true) => Err(Silence::NotAsked(
            "The connection was lost while the machine was asked.".into(),
        )),
        Ok(false) => Err(Silence::Foreign),
        Err(_) if answer == Answer::default() && !said.is_empty() => Err(Silence::Foreign),
        Err(_) => Err(Silence::Late),
    }
}

fn text(nonce: &str, act: Act, script: &Whereabouts) -> String {
    let centiseconds = |time: Duration| time.as_millis().div_ceil(10);
    let word = match act {
        Act::Find => "find",
        Act::Look => "look",
        Act::End(_) => "end",
    };
    let place = if script.here { "here" } else { "there" };
    let known = script.processes.iter().filter(|it| is_id(&it.boot));
    let leaders: Vec<_> = known
        .clone()
        .map(|it| format!("{}:{}", it.pid, it.started))
        .collect();
    let boot = known.clone().next().map_or("", |it| &it.boot);
    let connection = script.connection.as_deref().filter(|it| is_connection(it));
    format!(
        "N={nonce}; A={word}; K={place}; W=\"{}\"; B={boot}; C=\"{}\"; O={}; G={}; {}",
        leaders.join(" "),
        connection.unwrap_or_default(),
        centiseconds(script.age + YOUNGER),
        centiseconds(act.grace()),
        *PROGRAM
    )
}

/// A boot_id.
fn is_id(text: &str) -> bool {
    text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Two addresses, each with a port.
fn is_connection(text: &str) -> bool {
    let plain = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".:%-_".contains(c))
    };
    text.len() <= 256 && text.split(' ').count() == 4 && text.split(' ').all(plain)
}

/// Takes what is said between the nonce and the end of its line; what others say is passed over.
fn parse(said: &[u8], nonce: &str) -> Answer {
    let said = String::from_utf8_lossy(said);
    let mut answer = Answer::default();
    for line in said.split(&format!("wsexec {nonce} ")).skip(1) {
        let Some((line, _)) = line.split_once('\n') else {
            continue;
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "process" => answer.found.extend(process(rest.trim_end())),
            "noproc" => answer.no_proc = true,
            "blind" => answer.blind = true,
            "none" => answer.none = true,
            "gone" => answer.gone = true,
            "told" => answer.told = true,
            "left" => answer.left.named.extend(named(rest)),
            "left-all" => answer.left.all = rest.trim_end().parse().unwrap_or_default(),
            "out" => answer.escaped.named.extend(named(rest)),
            "older" => answer.older.named.extend(named(rest)),
            "older-all" => answer.older.all = rest.trim_end().parse().unwrap_or_default(),
            "out-all" => answer.escaped.all = rest.trim_end().parse().unwrap_or_default(),
            "end" => answer.whole = true,
            _ => {}
        }
    }
    answer
}

/// `PID START BOOT`, and perhaps `SSH_CONNECTION`.
fn process(text: &str) -> Option<RemoteProcess> {
    let mut words = text.splitn(4, ' ');
    let mut next = || words.next().unwrap_or_default();
    let (pid, started, boot, connection) = (next(), next(), next(), next());
    Some(RemoteProcess {
        pid: pid.parse().ok().filter(|pid| *pid > 1)?,
        started: started.parse().ok()?,
        boot: Some(boot).filter(|boot| is_id(boot))?.to_owned(),
        connection: is_connection(connection).then(|| connection.to_owned()),
    })
}

fn named(text: &str) -> Option<Named> {
    let (pid, name) = text.split_once(' ')?;
    let visible = name.trim_end().chars().filter(|c| !c.is_control());
    Some(Named {
        pid: pid.parse().ok()?,
        name: visible.take(NAME).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn any_login_shell_takes_the_program_as_one_word() {
        let script = Whereabouts {
            processes: vec![RemoteProcess {
                pid: 7,
                started: 8,
                boot: "x'; reboot; '".into(),
                connection: None,
            }],
            connection: Some("::1 1 ::1 '2'".into()),
            ..Whereabouts::default()
        };
        let text = text(&unguessable(), Act::End(Duration::from_secs(5)), &script);
        for (character, why) in [
            ('\'', "ends the word"),
            ('!', "is history to tcsh"),
            ('\\', "is an escape to fish"),
            ('\n', "ends the line"),
        ] {
            assert!(!text.contains(character), "{character:?} {why}");
        }
    }

    #[test]
    fn whichever_shell_is_the_machines_the_program_finds_and_ends_a_session() {
        for shell in ["dash", "bash", "busybox sh"] {
            let mut script = Command::new("setsid")
                .args(["sh", "-c", "sleep 300 & sleep 300"])
                .spawn()
                .unwrap();
            let stat = format!("/proc/{}/stat", script.id());
            let deadline = Instant::now() + Duration::from_secs(10);
            let started = loop {
                let stat = std::fs::read_to_string(&stat).unwrap();
                let behind = stat.rsplit(") ").next().unwrap();
                let fields: Vec<u64> = behind
                    .split_whitespace()
                    .map(|field| field.parse().unwrap_or_default())
                    .collect();
                if fields[3] == u64::from(script.id()) {
                    break fields[19];
                }
                assert!(Instant::now() < deadline, "setsid makes no session");
                std::thread::sleep(Duration::from_millis(5));
            };
            let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            let whereabouts = Whereabouts {
                processes: vec![RemoteProcess {
                    pid: script.id(),
                    started,
                    boot: boot.trim().into(),
                    connection: None,
                }],
                age: Duration::from_secs(60),
                ..Whereabouts::default()
            };
            for act in [Act::Look, Act::End(Duration::from_secs(5)), Act::Look] {
                let text = text("n", act, &whereabouts);
                let mut words = shell.split(' ');
                let asked = Command::new(words.next().unwrap())
                    .args(words)
                    .args(["-c", &text])
                    .output()
                    .unwrap();
                let answer = parse(&asked.stdout, "n");
                assert!(answer.whole, "{shell}: {asked:?}");
                assert_eq!(answer.told, act != Act::Look, "{shell}: {asked:?}");
                assert_eq!(answer.gone, answer.left.all == 0, "{shell}: {asked:?}");
                if act != Act::Look {
                    assert!(answer.gone, "{shell}: {asked:?}");
                    assert!(script.try_wait().unwrap().is_some(), "{shell}");
                }
            }
            script.wait().unwrap();
        }
    }

    #[test]
    fn an_answer_is_read_strictly() {
        let said = "welcome wsexec n process 12 34 528cf7f7-2b52-42ce-bf7f-ae8700ea354a ::1 1 ::1 22 \n\
            wsexec n process 1 34 528cf7f7-2b52-42ce-bf7f-ae8700ea354a \n\
            wsexec n left 12 a \u{1b}[31mvery long name of a process \nwsexec n left-all 9 \n\
            wsexec other gone \nwsexec n end \nwsexec n gone";
        let answer = parse(said.as_bytes(), "n");
        let pids: Vec<_> = answer.found.iter().map(|it| it.pid).collect();
        assert_eq!(pids, [12]);
        assert_eq!(answer.found[0].connection.as_deref(), Some("::1 1 ::1 22"));
        assert_eq!(answer.left.words(), "12 (a [31mvery long ) and 8 more");
        assert!(answer.whole && !answer.gone);
    }
}
