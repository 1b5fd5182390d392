//! Traces, as a collector of OpenTelemetry gets them.

use super::{App, Bench, get_with};
use crate::harness::app::{Builder, Process, program};
use crate::harness::certificates::Authority;
use crate::harness::client::send;
use crate::harness::collector::{Collector, Sent};
use crate::harness::planted::{Planted, assert_none};
use reqwest::Method;
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn traced(collector: &Collector, more: &str) -> Builder {
    let config = format!("{}{more}", collector.config());
    App::builder()
        .config(&config)
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
}

fn named<'a>(spans: &'a [Sent], name: &str) -> Option<&'a Sent> {
    spans.iter().find(|it| it.name == name)
}

#[tokio::test]
async fn a_posted_task_is_part_of_its_callers_trace_and_tells_nothing_that_people_wrote() {
    let collector = Collector::start().await;
    let bench = Bench::with(traced(&collector, "service_name = \"runner\"")).await;
    let secrets = [
        ("the script", "planted-script-8c1f"),
        ("the output", "PLANTED-SCRIPT-8C1F"),
        ("the name", "planted-name-77aa"),
        ("the tag", "planted-tag-90bd"),
        ("the environment", "planted-env-5e21"),
        ("the input", "planted-input-f00d"),
        ("the state of the trace", "planted-state-1b2c"),
        ("the query", "planted-query-3d4e"),
        ("a path", "planted-path-6f70"),
        ("the password", bench.app.admin_password()),
    ];
    let planted: Vec<_> = secrets
        .iter()
        .map(|(name, it)| Planted::new(name, it))
        .collect();
    let mut task = bench.task("echo planted-script-8c1f | tr a-z A-Z; cat >&2; exit 3");
    task["name"] = json!("planted-name-77aa");
    task["tag"] = json!("planted-tag-90bd");
    task["env"] = json!({"SECRET": "planted-env-5e21"});
    task["stdin"] = json!("planted-input-f00d");
    let request = bench
        .client
        .request(Method::POST, "/wsexec/tasks?wait=60")
        .header("traceparent", format!("00-{TRACE}-{SPAN}-01"))
        .header("tracestate", "vendor=planted-state-1b2c");
    let reply = send(request.json(&task)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let task = &reply.json()["task"];
    assert_eq!(task["rc"], 3, "{task:#}");
    for path in ["/wsexec/tasks?q=planted-query-3d4e", "/planted-path-6f70/x"] {
        bench.client.get(path).await;
    }

    let spans = collector.wait(|spans| {
        [
            "POST /wsexec/tasks",
            "task",
            "GET /wsexec/tasks",
            "GET other",
        ]
        .iter()
        .all(|name| named(spans, name).is_some())
    });
    let spans = spans.await;
    assert_none(&planted, "the traces", &collector.bytes());
    assert!(collector.services().iter().all(|it| it == "runner"));

    let post = spans
        .iter()
        .find(|it| it.name == "POST /wsexec/tasks" && it.trace == TRACE);
    let post = post.unwrap_or_else(|| panic!("{spans:#?}"));
    assert_eq!(
        (post.parent.as_str(), post.kind, post.is_error),
        (SPAN, 2, false)
    );
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/wsexec/tasks"),
        ("http.response.status_code", "201"),
        ("wsexec.request.id", reply.header("x-request-id")),
    ] {
        assert_eq!(
            post.attributes.get(name).map(String::as_str),
            Some(value),
            "{post:#?}"
        );
    }
    let run = named(&spans, "task").expect("the task");
    assert_eq!((run.trace.as_str(), &run.parent), (TRACE, &post.id));
    for (name, value) in [
        ("wsexec.task.id", task["id"].to_string()),
        ("wsexec.instance.id", bench.instance.to_string()),
        ("wsexec.task.outcome", "exited".into()),
        ("wsexec.task.rc", "3".into()),
        ("wsexec.task.attempt", "1".into()),
    ] {
        assert_eq!(run.attributes.get(name), Some(&value), "{run:#?}");
    }
    let below = |id: &str| {
        let found = spans
            .iter()
            .filter(|it| it.parent == id && it.trace == TRACE);
        let mut names: Vec<_> = found.map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(
        below(&run.id),
        ["connect", "login", "record", "run", "start"]
    );
    assert_eq!(below(&post.id), ["commit", "task"]);
    let other = spans
        .iter()
        .find(|it| it.name == "GET /wsexec/tasks")
        .unwrap();
    assert_ne!(other.trace, TRACE, "of nobody's trace");
}

#[tokio::test]
async fn a_detached_run_and_one_that_cannot_begin_are_traced_to_their_ends() {
    let collector = Collector::start().await;
    let bench = Bench::with(traced(&collector, "")).await;
    let mut detached = bench.task("exit 0");
    detached["mode"] = json!("detached");
    let id = bench.app.post_task(detached).await["id"].as_i64().unwrap();
    bench.app.wait_ended(id).await;
    let nowhere = bench.app.declare("127.0.0.1", 1).await;
    let task = bench.app.run(nowhere, &bench.user, "exit 0").await;
    assert_eq!(task["outcome"], "unreachable");
    let spans = collector.wait(|spans| spans.iter().filter(|it| it.name == "task").count() == 2);
    let spans = spans.await;
    let of = |outcome: &str| {
        let mut tasks = spans.iter().filter(|it| it.name == "task");
        tasks
            .find(|it| it.attributes["wsexec.task.outcome"] == outcome)
            .unwrap_or_else(|| panic!("no {outcome}: {spans:#?}"))
    };
    assert!(of("unreachable").is_error);
    let run = of("exited");
    assert!(!run.is_error);
    assert_eq!(run.attributes["wsexec.task.mode"], "detached");
    for step in ["connect", "login", "start", "run", "record"] {
        let mut steps = spans.iter().filter(|it| it.parent == run.id);
        assert!(steps.any(|it| it.name == step), "{step}: {spans:#?}");
    }
}

#[tokio::test]
async fn what_is_kept_is_decided_by_the_caller_then_by_the_ratio() {
    let collector = Collector::start().await;
    let app = traced(&collector, "sample_ratio = 0.0").start().await;
    let client = app.client();
    for (last, kept) in [("1", "00"), ("2", "01")] {
        let parent = format!("00-{}{last}-{SPAN}-{kept}", &TRACE[1..]);
        get_with(&client, "/wsexec/tasks", ("traceparent", &parent)).await;
        client.get("/wsexec/tasks").await;
        // What is no traceparent begins a trace of its own.
        get_with(&client, "/wsexec/tasks", ("traceparent", "00-zz-zz-01")).await;
    }
    let spans = collector.wait(|spans| !spans.is_empty()).await;
    // What was decided before it was sent along with it, or earlier.
    let traces: Vec<_> = spans.iter().map(|it| it.trace.as_str()).collect();
    assert_eq!(traces, [format!("{}2", &TRACE[1..])], "{spans:#?}");
}

#[tokio::test]
async fn a_collector_is_told_over_tls_once_its_issuer_is_trusted() {
    let authority = Authority::new("Of the collector");
    let collector = Collector::secured(&authority.server(|_| {})).await;
    let mut app = traced(&collector, "").start().await;
    app.client().get("/wsexec/tasks").await;
    app.wait_stderr("traces do not reach their collector").await;
    assert!(collector.bytes().is_empty());
    fs::write(app.path("collector.pem"), authority.pem()).expect("a file");
    app.configure(&format!(
        "{}ca_file = \"collector.pem\"",
        collector.config()
    ));
    app.restart().await;
    app.client().get("/wsexec/tasks").await;
    collector
        .wait(|spans| named(spans, "GET /wsexec/tasks").is_some())
        .await;
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_no_request_and_no_stop_and_is_told_once() {
    let collector = Collector::hanging().await;
    let mut app = traced(&collector, "").start().await;
    let client = app.client();
    let mut slowest = Duration::ZERO;
    // More than the queue holds, and until two batches were given up.
    let mut asked = 0;
    while asked < 2600 || collector.connections() < 3 {
        let began = Instant::now();
        assert_eq!(client.get("/wsexec/tasks").await.status, 200);
        slowest = slowest.max(began.elapsed());
        asked += 1;
    }
    println!("{asked} requests beside a collector that hangs, the slowest in {slowest:?}");
    assert!(
        slowest < Duration::from_secs(4),
        "a batch takes 5 s: {slowest:?}"
    );
    let told = app
        .stderr()
        .matches("traces do not reach their collector")
        .count();
    assert_eq!(told, 1);
    let began = Instant::now();
    assert!(app.stop().await.success());
    let stop = began.elapsed();
    println!("stopped in {stop:?}");
    assert!(
        stop < Duration::from_secs(8),
        "its queue takes 20 s: {stop:?}"
    );
}

#[tokio::test]
async fn a_collector_that_cannot_be_told_is_refused_with_its_key() {
    for (more, key) in [
        (
            "endpoint = \"http://collector.example:4318/v1/traces\"",
            "traces.endpoint",
        ),
        (
            "endpoint = \"https://127.0.0.1:1/\"\nca_file = \"none.pem\"",
            "traces.ca_file",
        ),
    ] {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(
            home.path().join("wsexec.toml"),
            format!("[traces]\n{more}\n"),
        )
        .expect("a file");
        for command in ["serve", "check"] {
            let mut program = program(home.path());
            let said = Process::spawn(program.arg(command)).said().await;
            assert_eq!(said.code, Some(1));
            let told = format!("{}{}", said.stderr, said.text());
            assert!(told.contains(key), "{command}: {told}");
        }
    }
}
