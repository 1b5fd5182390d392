//! What becomes of scripts whose sshd is killed, is stopped, or is cut off, in the middle of them.

use crate::engine::detached::end_those_with;
use crate::engine::{cancel, is_current, on, reason, runs};
use crate::harness::app::App;
use crate::harness::effort::effort;
use crate::harness::namespace::Namespace;
use crate::harness::sshd::{Sshd, user};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Stopped,
    CutOff,
}

/// A machine that something happens to.
struct Machine {
    // Before its network.
    sshd: Sshd,
    network: Option<Namespace>,
    fault: Fault,
}

impl Machine {
    /// None where it cannot be made; says so.
    fn start(fault: Fault) -> Option<Self> {
        let network = match fault {
            Fault::CutOff => Some(Namespace::make()?),
            Fault::Killed | Fault::Stopped => None,
        };
        let sshd = match &network {
            Some(it) => Sshd::builder().elsewhere(it.address(), it.command()),
            None => Sshd::builder(),
        };
        Some(Self {
            sshd: sshd.start(),
            network,
            fault,
        })
    }

    fn strike(&mut self) {
        match (self.fault, &self.network) {
            (Fault::Killed, _) => self.sshd.crash(),
            (Fault::Stopped, _) => self.sshd.signal_all(Signal::STOP),
            (Fault::CutOff, network) => network.as_ref().expect("it has one").pull(),
        }
    }

    fn mend(&mut self) {
        match (self.fault, &self.network) {
            (Fault::Killed, _) => self.sshd.start_again(),
            (Fault::Stopped, _) => self.sshd.signal_all(Signal::CONT),
            (Fault::CutOff, network) => network.as_ref().expect("it has one").plug(),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.fault == Fault::Stopped {
            self.sshd.signal_all(Signal::CONT);
        }
    }
}

/// What runs on such a machine, each attached and detached.
struct Scripts {
    /// Say a number again and again, until there is a file.
    ticking: [i64; 2],
    /// Have a deadline.
    timed: [i64; 2],
    /// Are cancelled while the machine does not answer.
    cancelled: [i64; 2],
    /// How the processes of the last two are called, and of no other.
    markers: Vec<String>,
}

const MODES: [&str; 2] = ["attached", "detached"];
const DEADLINE: Duration = Duration::from_secs(6);

impl Scripts {
    async fn start(app: &App, instance: i64, machine: &Machine) -> Self {
        let mut markers = Vec::new();
        let mut sleep = || {
            static MADE: AtomicU32 = AtomicU32::new(0);
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let marker = format!("86{}{number:02}", std::process::id());
            markers.push(format!("sleep\0{marker}"));
            format!("exec sleep {marker}")
        };
        let tick = format!(
            "n=0; until test -e {}; do n=$((n+1)); echo $n; sleep 0.1; done; echo over",
            machine.sshd.dir().join("gate").display()
        );
        let post = async |mode: &str, script: &str, more: Value| {
            let mut task = json!({
                "name": "test", "instance": instance, "user": user(), "script": script, "mode": mode,
            });
            let fields = task.as_object_mut().expect("an object");
            fields.extend(more.as_object().cloned().unwrap_or_default());
            app.post_task(task).await["id"].as_i64().expect("an id")
        };
        let (mut ticking, mut timed, mut cancelled) = ([0; 2], [0; 2], [0; 2]);
        for (at, mode) in MODES.into_iter().enumerate() {
            ticking[at] = post(mode, &tick, json!({})).await;
            cancelled[at] = post(mode, &sleep(), json!({})).await;
        }
        for (at, mode) in MODES.into_iter().enumerate() {
            timed[at] = post(mode, &sleep(), json!({"timeout": DEADLINE.as_secs()})).await;
        }
        for id in ticking {
            app.wait_until(id, |task| task["stdout_bytes"].as_u64() > Some(4))
                .await;
        }
        for marker in &markers {
            crate::engine::wait_for(|| runs(marker), "a script").await;
        }
        Self {
            ticking,
            timed,
            cancelled,
            markers,
        }
    }

    fn assert_none_is_left(&self) {
        for marker in &self.markers {
            assert!(!runs(marker), "{marker} is left");
        }
    }
}

/// Whether what a ticking script wrote is whole: no number is missing or twice.
fn assert_whole(task: &Value, ended: bool) {
    let text = task["stdout"].as_str().expect("text");
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last() == Some(&"over"), ended, "{task:#}");
    if ended {
        lines.pop();
    }
    let expected: Vec<String> = (1..=lines.len()).map(|n| n.to_string()).collect();
    assert_eq!(lines, expected, "{task:#}");
}

/// A server with this machine, and with another one to which nothing happens: its instances.
async fn between(machine: &Machine, config: &str) -> (App, i64, i64, Sshd) {
    let other = Sshd::start();
    other.authorize(&machine.sshd.identity());
    let builder = App::builder()
        .config(config)
        .identity(machine.sshd.identity());
    let (app, elsewhere) = on(&other, builder).await;
    let at = machine.sshd.address();
    let instance = app.declare(&at.ip().to_string(), at.port()).await;
    (app, instance, elsewhere, other)
}

/// Runs on the machine to which nothing happens: how long the slowest took.
async fn slowest_elsewhere(app: &App, instance: i64) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let began = Instant::now();
        let task = app.run(instance, &user(), "echo here").await;
        assert_eq!(task["stdout"], "here\n", "{task:#}");
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

/// A fault that is over before anything gives up.
async fn passes(fault: Fault) {
    let Some(mut machine) = Machine::start(fault) else {
        return;
    };
    let (app, instance, elsewhere, _other) = between(&machine, "[engine]\ncancel_grace = 1").await;
    let scripts = Scripts::start(&app, instance, &machine).await;
    machine.strike();
    // Until the deadlines are over, at least.
    let long = effort(DEADLINE + Duration::from_secs(2), Duration::from_secs(12));
    let over = tokio::time::Instant::now() + long;
    for id in scripts.cancelled {
        assert_eq!(cancel(&app, id).await.0, 200);
    }
    let slowest = slowest_elsewhere(&app, elsewhere).await;
    assert!(
        tokio::time::Instant::now() < over,
        "{slowest:?} on a machine that has nothing to do with it"
    );
    sleep_until(over).await;
    machine.mend();
    let mended = Instant::now();
    for (ids, outcome) in [
        (scripts.timed, "timed_out"),
        (scripts.cancelled, "cancelled"),
    ] {
        for id in ids {
            let task = app.wait_ended(id).await;
            assert_eq!(task["outcome"], outcome, "{task:#}");
            let told = "Nothing of its session is left on the instance.";
            assert!(reason(&task).ends_with(told), "{task:#}");
        }
    }
    scripts.assert_none_is_left();
    println!(
        "figure: {fault:?} for {long:?}: all that was to end had ended {:?} after it was over; another machine's \
         scripts took at most {slowest:?}",
        mended.elapsed()
    );
    let [attached, detached] = scripts.ticking;
    if fault == Fault::Killed {
        let task = app.wait_ended(attached).await;
        assert_eq!(task["outcome"], "lost", "{task:#}");
        assert!(
            reason(&task).contains("Nothing of it runs there any more"),
            "{task:#}"
        );
        assert_whole(&task, false);
    }
    std::fs::write(machine.sshd.dir().join("gate"), "").expect("our own directory");
    let task = app.wait_ended(detached).await;
    assert_eq!(task["outcome"], "exited", "{task:#}");
    assert_whole(&task, true);
    if fault != Fault::Killed {
        let task = app.wait_ended(attached).await;
        assert_eq!(task["outcome"], "exited", "{task:#}");
        assert_whole(&task, true);
    }
}

#[tokio::test]
async fn an_sshd_that_was_killed_costs_its_attached_scripts_alone_and_they_say_so() {
    passes(Fault::Killed).await;
}

#[tokio::test]
async fn an_sshd_that_stands_still_for_a_while_costs_nothing() {
    passes(Fault::Stopped).await;
}

#[tokio::test]
async fn a_network_that_is_cut_for_a_while_costs_nothing() {
    passes(Fault::CutOff).await;
}

/// A fault that is not over before everything has given up.
async fn stays(fault: Fault) {
    let Some(mut machine) = Machine::start(fault) else {
        return;
    };
    // Where nothing else ends a script, that it says nothing does.
    let config = "[engine]\ncancel_grace = 1\nreconnect_timeout = 1\nsilence_timeout = 10";
    let (app, instance, elsewhere, _other) = between(&machine, config).await;
    let scripts = Scripts::start(&app, instance, &machine).await;
    machine.strike();
    let struck = Instant::now();
    for id in scripts.cancelled {
        assert_eq!(cancel(&app, id).await.0, 200);
    }
    let slowest = slowest_elsewhere(&app, elsewhere).await;
    let silent = match fault {
        // Its connection is known to be gone.
        Fault::Killed => "lost",
        Fault::Stopped | Fault::CutOff => "timed_out",
    };
    for (id, outcome) in [
        (scripts.cancelled[0], "cancelled"),
        (
            scripts.timed[0],
            if fault == Fault::Killed {
                "lost"
            } else {
                "timed_out"
            },
        ),
        (scripts.ticking[0], silent),
    ] {
        let task = app.wait_ended(id).await;
        assert_eq!(task["outcome"], outcome, "{task:#}");
        let why = reason(&task);
        let unknown = ["It is not confirmed", "The machine could not be asked"];
        assert!(unknown.iter().any(|it| why.contains(it)), "{task:#}");
        assert!(task["end"].as_i64() >= task["start"].as_i64(), "{task:#}");
    }
    println!(
        "figure: {fault:?} for good: the attached scripts had ended {:?} after it; another machine's scripts took at \
         most {slowest:?}",
        struck.elapsed()
    );
    for ids in [scripts.cancelled, scripts.timed, scripts.ticking] {
        // An answer is waited for longer than CI should.
        let told = |task: &Value| effort(true, !task["reason"].is_null());
        let task = app.wait_until(ids[1], told).await;
        assert!(is_current(&task), "{task:#}");
        let why = reason(&task);
        assert!(
            why.is_empty() || why.starts_with("The instance does not answer since"),
            "{task:#}"
        );
    }
    machine.mend();
    for (id, outcome) in [
        (scripts.cancelled[1], "cancelled"),
        (scripts.timed[1], "timed_out"),
    ] {
        let task = app.wait_ended(id).await;
        assert_eq!(task["outcome"], outcome, "{task:#}");
    }
    std::fs::write(machine.sshd.dir().join("gate"), "").expect("our own directory");
    let task = app.wait_ended(scripts.ticking[1]).await;
    assert_eq!(task["outcome"], "exited", "{task:#}");
    assert_whole(&task, true);
    // What nobody could end.
    for marker in &scripts.markers {
        end_those_with(marker);
    }
}

#[tokio::test]
async fn what_is_cut_off_for_good_ends_in_time_and_says_that_nothing_is_confirmed() {
    stays(Fault::CutOff).await;
}

#[tokio::test]
async fn what_does_not_come_back_ends_in_time_whatever_it_was() {
    if effort(false, true) {
        stays(Fault::Killed).await;
        stays(Fault::Stopped).await;
    }
}

/// What is acknowledged by nobody for a minute is a connection no more.
#[tokio::test]
async fn a_script_without_any_deadline_ends_when_its_machine_is_gone_for_a_minute() {
    if effort(true, false) {
        return;
    }
    let Some(mut machine) = Machine::start(Fault::CutOff) else {
        return;
    };
    let config = "[engine]\nreconnect_timeout = 1";
    let (app, instance, _, _other) = between(&machine, config).await;
    let scripts = Scripts::start(&app, instance, &machine).await;
    machine.strike();
    let struck = Instant::now();
    app.wait_ended(scripts.timed[0]).await;
    let task = app.wait_ended(scripts.ticking[0]).await;
    assert_eq!(task["outcome"], "lost", "{task:#}");
    println!(
        "figure: a connection without an answer was given up after {:?}",
        struck.elapsed()
    );
    for marker in &scripts.markers {
        end_those_with(marker);
    }
    std::fs::write(machine.sshd.dir().join("gate"), "").expect("our own directory");
}
