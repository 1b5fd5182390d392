//! (a) A store that grows to a million tasks: start, lists, and all of it in one answer.

use super::Found;
use super::harness::client::Client;
use super::harness::sshd::Sshd;
use super::harness::{self, past};
use super::lists::{self, IN_A_SCOPE, PAGE, PAGES, Seen};
use super::memory::{MIB, Memory, forget_peak};
use super::plot::Plot;
use super::report::{Row, median};
use super::server::{self, Server, wait_for};
use reqwest::Method;
use serde_json::json;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const SIZES: [i64; 4] = [1_000, 10_000, 100_000, 1_000_000];
const INSTANCES: i64 = 2_000;
const STARTS: usize = 5;
/// The longest that a whole list may take.
const STREAM: Duration = Duration::from_secs(240);

/// What was seen at one size.
struct Step {
    tasks: i64,
    start: f64,
    slowest: f64,
    growth: f64,
    seconds: f64,
    file: f64,
    seen: Vec<Seen>,
}

pub async fn measure() -> Found {
    let sshd = harness::sshd().start();
    let mut server = Server::start("", Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, &sshd).await;
    let id = server::post(&client, instance, "seq 200").await;
    wait_for(&client, id, &["DONE"]).await;
    let password = wsexec::domain::random_token();
    for (name, scope) in [("few", "*@#7"), ("none", "nobody@nowhere.invalid")] {
        let user = json!({
            "name": name, "role": "viewer", "password": password.expose(), "scope": [scope],
        });
        let reply = client.post("/wsexec/users", &user).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    drop(client);
    past::instances(&server, INSTANCES);
    println!(
        "(a) tasks; start to ready, ms; slowest list, ms; whole list, MiB more and s; store, MB"
    );
    let mut steps = Vec::new();
    let mut filled = 0;
    for size in SIZES {
        past::tasks(&server, id, filled, size);
        filled = size;
        let step = step(&mut server, &sshd, size, password.expose()).await;
        println!(
            "    {:9} {:6.0} {:6.1} {:6.1} {:6.1} {:6.0}",
            step.tasks, step.start, step.slowest, step.growth, step.seconds, step.file
        );
        steps.push(step);
    }
    told(&steps)
}

async fn step(server: &mut Server, sshd: &Sshd, tasks: i64, password: &str) -> Step {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        server.restart(Some(&sshd.identity()));
        starts.push(server.start.as_secs_f64() * 1e3);
    }
    let admin = server.client();
    let last = admin
        .get("/wsexec/tasks?limit=1&order=desc&output=none")
        .await;
    let last = last.json()["tasks"][0]["id"].as_i64().expect("an id");
    let mut seen = lists::look(&admin, "admin", &lists::of_the_api(last)).await;
    let paths = |all: &[&str]| -> Vec<String> { all.iter().map(|it| (*it).to_owned()).collect() };
    for who in ["few", "none"] {
        let reader = server.client().with_login(who, password);
        seen.extend(lists::look(&reader, who, &paths(&IN_A_SCOPE)).await);
    }
    let cookie = server.session("admin", &server.password()).await;
    seen.extend(lists::look(&server.browser(&cookie), PAGE, &paths(&PAGES)).await);
    let slowest = seen.iter().map(|it| it.middle).fold(0.0, f64::max);
    let (growth, seconds) = stream(server, &admin, tasks).await;
    let file = server
        .path("data/wsexec.db")
        .metadata()
        .expect("the store")
        .len();
    Step {
        tasks,
        start: median(starts),
        slowest,
        growth,
        seconds,
        file: file as f64 / 1e6,
        seen,
    }
}

/// Everything in one answer: MiB by which the server's peak was above what it had before, and
/// seconds.
async fn stream(server: &Server, client: &Client, tasks: i64) -> (f64, f64) {
    let before = Memory::of(server.pid()).resident;
    forget_peak(server.pid());
    let began = Instant::now();
    let request = client.request(Method::GET, "/wsexec/tasks").timeout(STREAM);
    let mut reply = request.send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    // Each task has one `uri`, and nothing that the scripts or names hold reads like it.
    let mark = memchr::memmem::Finder::new(b"\"uri\":");
    let (mut count, mut end) = (0, Vec::new());
    while let Some(chunk) = reply.chunk().await.expect("it goes on to its end") {
        // What lies over the edge of two pieces is counted with the second.
        let mut piece = std::mem::take(&mut end);
        piece.extend_from_slice(&chunk);
        count += mark.find_iter(&piece).count();
        end = piece.split_off(piece.len().saturating_sub(5));
    }
    assert!(
        count as i64 > tasks,
        "{count} of more than {tasks} tasks came"
    );
    assert!(end.trim_ascii_end().ends_with(b"]}"), "it came to its end");
    let peak = Memory::of(server.pid()).peak;
    let growth = peak.saturating_sub(before) as f64 / MIB;
    (growth, began.elapsed().as_secs_f64())
}

fn told(steps: &[Step]) -> Found {
    let last = steps.last().expect("some");
    let slowest = last
        .seen
        .iter()
        .max_by(|a, b| a.middle.total_cmp(&b.middle));
    let slowest = slowest.expect("lists");
    let rows = vec![
        Row {
            figure: "a  start to ready, 1,000,000 tasks",
            goal: "under 2 s",
            seen: format!("{:.0} ms", last.start),
            met: last.start < 2_000.0,
        },
        Row {
            figure: "a  the slowest list, filter or page",
            goal: "under 50 ms",
            seen: format!(
                "{:.1} ms (at most {:.1}): {} ({}); of {}",
                slowest.middle,
                slowest.most,
                slowest.path,
                slowest.who,
                last.seen.len()
            ),
            met: slowest.middle < 50.0,
        },
        Row {
            figure: "a  the whole list in one answer, memory",
            goal: "within 64 MiB",
            seen: format!("{:.1} MiB more, {:.0} s", last.growth, last.seconds),
            met: last.growth <= 64.0,
        },
    ];
    let plot = |title, unit, goal, of: fn(&Step) -> f64| Plot {
        title,
        x: "tasks in the store",
        unit,
        points: steps.iter().map(|it| (it.tasks as f64, of(it))).collect(),
        goal,
    };
    let plots = vec![
        plot("Start to ready", "ms", Some(2_000.0), |it| it.start),
        plot("Slowest list, filter or page", "ms", Some(50.0), |it| {
            it.slowest
        }),
        plot("Memory for the whole list", "MiB", Some(64.0), |it| {
            it.growth
        }),
        plot("The store", "MB", None, |it| it.file),
    ];
    Found {
        rows,
        plots,
        text: table(steps, last),
    }
}

fn table(steps: &[Step], last: &Step) -> String {
    let mut text = String::from(
        "## Tasks\n\n| tasks | start to ready | slowest list | memory for the whole list | whole list | store |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for it in steps {
        let _ = writeln!(
            text,
            "| {} | {:.0} ms | {:.1} ms | {:.1} MiB | {:.1} s | {:.0} MB |",
            it.tasks, it.start, it.slowest, it.growth, it.seconds, it.file
        );
    }
    text.push_str(
        "\nEach list beside 1,000,000 tasks, over HTTPS with a login, in ms. `few` sees one instance of \
         2,000, `none` nothing.\n\n| who | list | middle | most |\n| --- | --- | ---: | ---: |\n",
    );
    for it in &last.seen {
        let _ = writeln!(
            text,
            "| {} | `{}` | {:.1} | {:.1} |",
            it.who, it.path, it.middle, it.most
        );
    }
    text.push('\n');
    text
}
