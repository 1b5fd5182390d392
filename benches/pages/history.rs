//! (a) Every page beside a million tasks.

use super::harness::client::{Client, send};
use super::harness::{self, past};
use super::report::{Row, median};
use super::server::{self, Server, wait_for};
use reqwest::Method;
use serde_json::json;
use std::time::Instant;

const TASKS: i64 = 1_000_000;
const INSTANCES: i64 = 2_000;
const TIMES: usize = 200;

/// A page, and whether the output of a script is on it.
struct Page {
    name: &'static str,
    path: String,
    output: bool,
}

fn page(name: &'static str, path: impl Into<String>) -> Page {
    Page {
        name,
        path: path.into(),
        output: false,
    }
}

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let server = Server::start("", Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, &sshd).await;
    let mut ended = Vec::new();
    for script in ["seq 2000", "seq 2000; exit 3"] {
        let id = server::post(&client, instance, script).await;
        wait_for(&client, id, &["DONE"]).await;
        ended.push(id);
    }
    let password = wsexec::domain::random_token();
    let narrow = json!({
        "name": "narrow", "role": "viewer", "password": password.expose(),
        "scope": ["nobody@nowhere.invalid"],
    });
    let reply = client.post("/wsexec/users", &narrow).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let began = Instant::now();
    past::instances(&server, INSTANCES);
    past::tasks(&server, ended[0], 0, TASKS);
    println!(
        "(a) {TASKS} tasks on {INSTANCES} instances, made in {:.0} s; {TIMES} GETs of each page over HTTPS: median ms, p99, bytes",
        began.elapsed().as_secs_f64()
    );
    let pages = [
        page("overview", "/"),
        page("tasks", "/tasks"),
        page("tasks, far back", "/tasks?before=300000"),
        page("tasks that failed", "/tasks?state=ABORT"),
        page("tasks of an instance", "/tasks?instance=7"),
        page("tasks by name", "/tasks?name=Nightly+backup+12"),
        page("tasks with a text", "/tasks?q=backup+77"),
        page("tasks with a text that none has", "/tasks?q=zzz-not-there"),
        page("tasks with a text that few have", "/tasks?q=figure"),
        Page {
            output: true,
            ..page("a task", format!("/tasks/{}", ended[1]))
        },
        page(
            "a task without its output",
            format!("/tasks/{}?output=none", ended[1]),
        ),
        page(
            "a diff",
            format!("/tasks/{}/diff?with={}", ended[1], ended[0]),
        ),
        page("the form of a task", "/tasks/new"),
        page(
            "the form of a task again",
            format!("/tasks/new?from={}", ended[1]),
        ),
        page("instances", "/instances"),
        page("instances with a text", "/instances?q=rack"),
        page("an instance", format!("/instances/{instance}")),
        page("an instance of many tasks", "/instances/7"),
        page(
            "the form of an instance",
            format!("/instances/{instance}/edit"),
        ),
        page("users", "/users"),
        page("identities", "/identities"),
        page("audit", "/audit"),
        page("account", "/account"),
    ];
    let cookie = server.session("admin", &server.password()).await;
    let mut seen = look(&server.browser(&cookie), &pages).await;
    println!("    to a reader whose scope holds nothing:");
    let cookie = server.session("narrow", password.expose()).await;
    let few = [
        page("overview", "/"),
        page("tasks", "/tasks"),
        page("tasks with a text", "/tasks?q=backup"),
        page("tasks of an instance", "/tasks?instance=7"),
        page("instances", "/instances"),
    ];
    seen.extend(look(&server.browser(&cookie), &few).await);
    let slowest = seen
        .iter()
        .max_by(|a, b| a.middle.total_cmp(&b.middle))
        .expect("pages");
    let worst = seen
        .iter()
        .max_by(|a, b| a.p99.total_cmp(&b.p99))
        .expect("pages");
    let bare = seen.iter().filter(|it| !it.output);
    let largest = bare.max_by_key(|it| it.bytes).expect("pages");
    vec![
        Row {
            figure: "a  the slowest page with 1,000,000 tasks",
            goal: "under 20 ms",
            seen: format!(
                "{:.1} ms: {}; p99 at most {:.1} ms: {}",
                slowest.middle, slowest.name, worst.p99, worst.name
            ),
            met: slowest.middle < 20.0,
        },
        Row {
            figure: "a  the largest page, without output",
            goal: "under 50 KB",
            seen: format!("{:.1} KB: {}", largest.bytes as f64 / 1e3, largest.name),
            met: largest.bytes < 50_000,
        },
    ]
}

struct Seen {
    name: &'static str,
    middle: f64,
    p99: f64,
    bytes: usize,
    output: bool,
}

async fn look(client: &Client, pages: &[Page]) -> Vec<Seen> {
    let mut all = Vec::new();
    for page in pages {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..TIMES {
            let request = client.request(Method::GET, &page.path);
            let began = Instant::now();
            let reply = send(request.header("accept", "text/html")).await;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(reply.status, 200, "{}: {}", page.path, reply.text());
            bytes = reply.body.len();
        }
        times.sort_by(f64::total_cmp);
        let p99 = times[TIMES - 1 - TIMES / 100];
        let middle = median(times);
        println!("    {:34} {middle:6.1} {p99:6.1} {bytes:7}", page.name);
        all.push(Seen {
            name: page.name,
            middle,
            p99,
            bytes,
            output: page.output,
        });
    }
    all
}
