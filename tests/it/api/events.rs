//! Server-sent events.

use super::super::harness::client::Client;
use super::{Bench, assert_problem, get_with};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// One event as it was sent.
#[derive(Debug, Clone)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

fn parse(text: &str) -> Vec<Event> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty());
    let event = |block: &str| {
        let field = |name: &str| {
            let lines = block.lines();
            let found = lines.filter_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
            found.map(str::to_owned).collect::<Vec<_>>().join("\n")
        };
        Event {
            id: field("id"),
            name: field("event"),
            data: serde_json::from_str(&field("data")).expect("JSON"),
        }
    };
    blocks
        .filter(|block| !block.starts_with(':'))
        .map(event)
        .collect()
}

/// The text of one stream; its offsets join without a hole.
fn text(events: &[Event], stream: &str) -> String {
    let mut text = String::new();
    for event in events.iter().filter(|event| event.name == stream) {
        assert_eq!(event.data["offset"], text.len(), "{event:?}");
        text.push_str(event.data["text"].as_str().unwrap());
    }
    text
}

async fn follow(client: &Client, id: i64) -> Vec<Event> {
    let reply = client.get(&format!("/wsexec/tasks/{id}/events")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    parse(&reply.text())
}

#[tokio::test]
async fn a_task_is_told_from_its_first_byte_to_its_end() {
    let bench = Bench::start().await;
    let script =
        "echo one; sleep 0.5; echo zwei >&2; printf '\\303'; sleep 0.5; printf '\\251'; exit 4";
    let task = bench.app.post_task(bench.task(script)).await;
    let id = task["id"].as_i64().unwrap();
    let live = follow(&bench.client, id).await;
    let replayed = follow(&bench.client, id).await;
    for events in [&live, &replayed] {
        assert_eq!(text(events, "stdout"), "one\né");
        assert_eq!(text(events, "stderr"), "zwei\n");
        let end = events.last().unwrap();
        assert_eq!((end.name.as_str(), &end.data["rc"]), ("end", &json!(4)));
        assert!(end.data.get("stdout").is_none());
        assert_eq!(
            end.data["uri"],
            format!("{}/wsexec/tasks/{id}", bench.app.url())
        );
        assert!(events.iter().all(|event| !event.id.is_empty()));
    }
}

#[tokio::test]
async fn a_stream_resumes_after_any_event_without_a_byte_missing_or_doubled() {
    let mut bench = Bench::start().await;
    bench
        .run("for i in $(seq 1 2000); do echo line $i; done; echo done >&2")
        .await;
    let all = follow(&bench.client, 1).await;
    bench.app.restart().await;
    let client = bench.app.client();
    for (at, event) in all.iter().enumerate() {
        let path = "/wsexec/tasks/1/events";
        let reply = get_with(&client, path, ("Last-Event-ID", &event.id)).await;
        if event.name == "end" {
            assert_eq!((reply.status, reply.body.len()), (204, 0));
            continue;
        }
        let mut joined = all[..=at].to_vec();
        joined.extend(parse(&reply.text()));
        for stream in ["stdout", "stderr"] {
            assert!(
                text(&joined, stream) == text(&all, stream),
                "after {}",
                event.id
            );
        }
    }
    let bad = get_with(&client, "/wsexec/tasks/1/events", ("Last-Event-ID", "x")).await;
    assert_problem(&bad, 400, &["Last-Event-ID"]);
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_there() {
    let bench = Bench::start().await;
    let id = bench.running("sleep 60").await;
    let request = bench
        .client
        .request(Method::GET, &format!("/wsexec/tasks/{id}/events"));
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("x-accel-buffering"), "no");
    let begin = Instant::now();
    let first = response.bytes_stream().next().await.unwrap().unwrap();
    assert!(first.starts_with(b":"), "{first:?}");
    assert!(begin.elapsed() < Duration::from_secs(15));
    bench.cancel(id).await;
}

#[tokio::test]
async fn what_was_left_out_is_told_as_a_gap() {
    let config = "[engine]\noutput_limit = 65536";
    let bench = Bench::with(super::App::builder().config(config)).await;
    let task = bench.run("seq -w 1 100000").await;
    let events = follow(&bench.client, 1).await;
    let gaps: Vec<_> = events.iter().filter(|event| event.name == "gap").collect();
    let expected = json!({
        "stream": "stdout",
        "offset": task["stdout_gap"]["offset"],
        "length": task["stdout_gap"]["length"],
    });
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].data, expected);
}
