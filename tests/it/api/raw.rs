//! Raw output: exact bytes, ranges, gaps.

use super::super::harness::app::App;
use super::super::harness::client::send;
use super::{Bench, assert_problem, get_with};
use reqwest::Method;

#[tokio::test]
async fn raw_output_is_exact_and_cannot_be_taken_for_a_page() {
    let bench = Bench::start().await;
    bench
        .run(r"printf '<script>alert(1)</script>\000\377'; printf err >&2")
        .await;
    let stdout = bench.client.get("/wsexec/tasks/1/stdout").await;
    assert_eq!(stdout.body, b"<script>alert(1)</script>\0\xff");
    assert_eq!(stdout.header("content-type"), "application/octet-stream");
    assert_eq!(stdout.header("x-content-type-options"), "nosniff");
    assert!(
        stdout
            .header("content-disposition")
            .starts_with("attachment;")
    );
    assert_eq!(stdout.header("accept-ranges"), "bytes");
    assert_eq!(stdout.header("content-length"), "27");
    assert_eq!(stdout.header("wsexec-gap"), "");
    assert_eq!(
        bench.client.get("/wsexec/tasks/1/stderr").await.body,
        b"err"
    );
}

#[tokio::test]
async fn both_streams_come_in_the_order_they_came() {
    let bench = Bench::start().await;
    let script = "for i in 1 2 3; do echo o$i; sleep 0.3; echo e$i >&2; sleep 0.3; done";
    bench.run(script).await;
    let output = bench.client.get("/wsexec/tasks/1/output").await;
    assert_eq!(output.text(), "o1\ne1\no2\ne2\no3\ne3\n");
}

#[tokio::test]
async fn one_range_is_served() {
    let bench = Bench::start().await;
    bench.run("seq -w 1 100000; printf 0123456789 >&2").await;
    let whole = bench.client.get("/wsexec/tasks/1/stdout").await.body;
    assert_eq!(whole.len(), 700_000);
    for (view, range, expected, content_range) in [
        ("stderr", "bytes=0-3", &b"0123"[..], "bytes 0-3/10"),
        ("stderr", "bytes=4-", b"456789", "bytes 4-9/10"),
        ("stderr", "bytes=-2", b"89", "bytes 8-9/10"),
        ("stderr", "bytes=-99", b"0123456789", "bytes 0-9/10"),
        (
            "stdout",
            "bytes=300000-699998",
            &whole[300_000..=699_998],
            "bytes 300000-699998/700000",
        ),
        ("output", "bytes=-1", &whole[..0], ""),
    ] {
        let path = format!("/wsexec/tasks/1/{view}");
        let reply = get_with(&bench.client, &path, ("Range", range)).await;
        assert_eq!(reply.status, 206, "{view} {range}");
        if !content_range.is_empty() {
            assert_eq!(reply.header("content-range"), content_range);
            assert!(reply.body == expected, "{view} {range}");
        }
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    }
    for whole in ["bytes=0-1,3-4", "lines=0-1", "bytes=3-1", "bytes=x"] {
        let reply = get_with(&bench.client, "/wsexec/tasks/1/stderr", ("Range", whole)).await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (200, "0123456789"),
            "{whole}"
        );
    }
    for none in ["bytes=10-", "bytes=-0", "bytes=99-100"] {
        let reply = get_with(&bench.client, "/wsexec/tasks/1/stderr", ("Range", none)).await;
        assert_problem(&reply, 416, &[]);
        assert_eq!(reply.header("content-range"), "bytes */10");
    }
}

#[tokio::test]
async fn a_range_counts_only_while_if_range_is_the_present_tag() {
    let bench = Bench::start().await;
    bench.run("printf 0123456789").await;
    let path = "/wsexec/tasks/1/stdout";
    let tag = bench.client.get(path).await.header("etag").to_owned();
    let weak = format!("W/{tag}");
    for (if_range, status) in [(tag.as_str(), 206), (weak.as_str(), 200), ("\"x\"", 200)] {
        let request = bench.client.request(Method::GET, path);
        let request = request
            .header("Range", "bytes=1-2")
            .header("If-Range", if_range);
        assert_eq!(send(request).await.status, status, "{if_range}");
    }
}

#[tokio::test]
async fn a_gap_is_told_in_the_task_and_in_a_header() {
    let bench = Bench::with(App::builder().config("[engine]\noutput_limit = 65536")).await;
    let task = bench.run("seq -w 1 100000; printf short >&2").await;
    assert_eq!(task["stdout_bytes"], 700_000);
    let gap = &task["stdout_gap"];
    let (offset, length) = (
        gap["offset"].as_u64().unwrap(),
        gap["length"].as_u64().unwrap(),
    );
    let stdout = bench.client.get("/wsexec/tasks/1/stdout").await;
    assert_eq!(stdout.header("wsexec-gap"), format!("{offset},{length}"));
    assert_eq!(stdout.body.len() as u64, 700_000 - length);
    let all: String = (1..=100_000).map(|n| format!("{n:06}\n")).collect();
    let (head, tail) = (&all[..offset as usize], &all[(offset + length) as usize..]);
    assert!(stdout.text() == format!("{head}{tail}"));
    let output = bench.client.get("/wsexec/tasks/1/output").await;
    // Where the gap lies in the body depends on when the word on stderr arrived.
    let before = output.text().find("short").unwrap() as u64;
    let place = if before < offset { offset + 5 } else { offset };
    assert_eq!(output.header("wsexec-gap"), format!("{place},{length}"));
    assert!(output.text().contains("short"));
}

#[tokio::test]
async fn output_can_be_read_while_it_comes() {
    let bench = Bench::start().await;
    let id = bench.running("printf begun; sleep 60").await;
    let has_output = |task: &serde_json::Value| task["stdout_bytes"] == 5;
    bench.app.wait_until(id, has_output).await;
    let path = format!("/wsexec/tasks/{id}/stdout");
    assert_eq!(bench.client.get(&path).await.text(), "begun");
    let tail = get_with(&bench.client, &path, ("Range", "bytes=3-")).await;
    assert_eq!((tail.status, tail.text().as_str()), (206, "un"));
    bench.cancel(id).await;
}
