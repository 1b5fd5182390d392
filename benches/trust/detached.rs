//! (b) Detached scripts that print numbered lines while the server is killed again and again.

use crate::harness::app::App;
use crate::harness::sshd::{Sshd, user};
use crate::report::Row;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use wsexec::domain::random_bytes;

const SCRIPTS: usize = 20;
const KILLS: usize = 100;
/// The longest that a server lives.
const LIFE: Duration = Duration::from_millis(1500);
/// A few scripts begin in each of the first lives, so that starts are cut off too.
const AT_ONCE: usize = 2;

pub async fn measure() -> Vec<Row> {
    let sshd = Sshd::start();
    let config = format!("[engine]\nmax_per_instance = {SCRIPTS}");
    let builder = App::builder().config(&config).identity(sshd.identity());
    let mut app = builder.start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let begun = Instant::now();
    let mut ids: Vec<i64> = Vec::new();
    for kill in 0..KILLS {
        for _ in 0..AT_ONCE.min(SCRIPTS - ids.len()) {
            let script = script(sshd.dir(), ids.len());
            let task = json!({
                "name": "figure", "instance": instance, "user": user(), "script": script, "mode": "detached",
            });
            ids.push(app.post_task(task).await["id"].as_i64().expect("an id"));
        }
        let [byte] = random_bytes::<1>();
        sleep(LIFE * u32::from(byte) / 255).await;
        app.kill9().await;
        app.restart().await;
        if kill % 10 == 9 {
            println!(
                "  {} kills after {:.0} s",
                kill + 1,
                begun.elapsed().as_secs_f32()
            );
        }
    }
    fs::write(sshd.dir().join("gate"), "").expect("the gate");
    let mut seen = Seen::default();
    for (number, id) in ids.iter().enumerate() {
        let task = app.wait_ended(*id).await;
        seen.look_at(number, &task, sshd.dir());
    }
    let left = fs::read_dir(sshd.dir().join(".local/state/wsexec")).map_or(0, Iterator::count);
    println!("  {} lines in all; directories left: {left}", seen.lines);
    vec![
        row(
            "b  lines missing or twice, of 20 scripts over 100 kills",
            seen.wrong_lines,
        ),
        row("b  scripts that ran twice, or never", seen.wrong_runs),
        row("b  wrong exit codes", seen.wrong_codes),
    ]
}

fn row(figure: &'static str, wrong: usize) -> Row {
    Row {
        figure,
        goal: "0",
        seen: wrong.to_string(),
        met: wrong == 0,
    }
}

/// Prints numbers on both streams until it is let go, notes how far it came, and exits with a code
/// of its own.
fn script(dir: &Path, number: usize) -> String {
    let dir = dir.display();
    format!(
        "echo ran >> {dir}/ran.{number}; n=0; until test -e {dir}/gate; do for i in 1 2 3 4 5; do n=$((n + 1)); \
         echo $n; echo e$n >&2; done; sleep 0.2; done; echo $n > {dir}/last.{number}; exit {number}"
    )
}

#[derive(Default)]
struct Seen {
    lines: usize,
    wrong_lines: usize,
    wrong_runs: usize,
    wrong_codes: usize,
}

impl Seen {
    fn look_at(&mut self, number: usize, task: &Value, dir: &Path) {
        let read = |name: &str| {
            fs::read_to_string(dir.join(format!("{name}.{number}"))).unwrap_or_default()
        };
        if read("ran") != "ran\n" {
            self.wrong_runs += 1;
        }
        if task["rc"] != json!(number) || task["state"] != "DONE" {
            println!("  script {number}: {} {}", task["outcome"], task["reason"]);
            self.wrong_codes += 1;
        }
        let last: usize = read("last").trim_end().parse().unwrap_or(0);
        self.lines += 2 * last;
        self.wrong_lines += wrong(&task["stdout"], "", last) + wrong(&task["stderr"], "e", last);
    }
}

/// How many lines are not in their places.
fn wrong(text: &Value, prefix: &str, last: usize) -> usize {
    let lines: Vec<&str> = text.as_str().unwrap_or_default().lines().collect();
    let places = lines.len().max(last);
    let is_right = |n: usize| {
        n <= last
            && lines
                .get(n - 1)
                .is_some_and(|line| *line == format!("{prefix}{n}"))
    };
    (1..=places).filter(|n| !is_right(*n)).count()
}
