//! `/metrics`, as Prometheus reads it.

use crate::harness::app::App;
use crate::harness::client::Client;
use crate::harness::people::Person;
use crate::harness::sshd::{self, Sshd};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The series, each with its value; the text has to be what the format says (Prometheus, exposition
/// formats, text-based format).
async fn figures(client: &Client) -> BTreeMap<String, f64> {
    let reply = client.get("/metrics").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        reply.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = reply.text();
    let mut typed = BTreeSet::new();
    let mut series = BTreeMap::new();
    for line in text.lines().filter(|it| !it.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(typed.insert(name.to_owned()), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let value: f64 = value.parse().expect("a number");
            assert!(name.starts_with("wsexec_"), "{line}");
            assert!(
                series.insert(name.to_owned(), value).is_none(),
                "{line} is there twice"
            );
        }
    }
    assert!(typed.contains("wsexec_tasks"), "{typed:?}");
    series
}

#[tokio::test]
async fn what_happens_is_counted_and_prometheus_can_read_it() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    app.run(instance, &sshd::user(), "printf 12345; printf 123 >&2")
        .await;
    let lost = app.declare("192.0.2.1", 22).await;
    let reply = app
        .client()
        .put(
            &format!("/wsexec/instances/{lost}"),
            &json!({"state": "DEACTIVATE"}),
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    app.run(instance, &sshd::user(), "exit 3").await;
    let seen = figures(&app.client()).await;
    for (name, value) in [
        ("wsexec_tasks{state=\"INIT\"}", 0.0),
        ("wsexec_tasks{state=\"CURRENT\"}", 0.0),
        (
            "wsexec_tasks_ended_total{state=\"DONE\",outcome=\"exited\"}",
            2.0,
        ),
        ("wsexec_output_bytes_total{stream=\"stdout\"}", 5.0),
        ("wsexec_output_bytes_total{stream=\"stderr\"}", 3.0),
        ("wsexec_task_waiting_seconds_count", 2.0),
        ("wsexec_task_seconds_count", 2.0),
        ("wsexec_ssh_connects_total{outcome=\"connected\"}", 1.0),
        ("wsexec_ssh_connect_seconds_count", 1.0),
        ("wsexec_ssh_idle_connections", 1.0),
        ("wsexec_acts_total{action=\"task.create\"}", 2.0),
        ("wsexec_acts_total{action=\"instance.create\"}", 2.0),
        (
            "wsexec_http_requests_total{method=\"POST\",route=\"/wsexec/tasks\",status=\"201\"}",
            2.0,
        ),
    ] {
        assert_eq!(seen.get(name), Some(&value), "{name}: {seen:#?}");
    }
    assert!(seen["wsexec_store_commit_seconds_count"] >= 4.0);
    assert!(seen["wsexec_task_waiting_seconds_bucket{le=\"+Inf\"}"] >= 2.0);
    let again = figures(&app.client()).await;
    let own = "wsexec_http_requests_total{method=\"GET\",route=\"/metrics\",status=\"200\"}";
    assert_eq!(again.get(own), Some(&1.0), "the one before");
}

#[tokio::test]
async fn figures_are_for_who_may_see_everything() {
    let app = App::start().await;
    assert_eq!(app.anonymous().get("/metrics").await.status, 401);
    for (role, scope, status) in [
        ("viewer", None, 200),
        ("operator", None, 200),
        ("runner", None, 403),
        ("viewer", Some("deploy@web-*"), 403),
    ] {
        let name = format!("{role}{}", status + u16::from(scope.is_some()));
        let mut more = json!({"role": role});
        if let Some(scope) = scope {
            more["scope"] = json!([scope]);
        }
        let person = Person::add(&app, &name, more).await;
        let reply = person.client(&app).get("/metrics").await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        if status == 200 {
            let (_, token) = person
                .token(&app, json!({"name": "prometheus", "role": role}))
                .await;
            assert_eq!(token.get("/metrics").await.status, 200, "by a token");
        }
    }
    let posted = app.client().post("/metrics", &json!({})).await;
    assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn whatever_is_asked_for_makes_no_series_of_its_own() {
    let app = App::start().await;
    let client = app.client();
    figures(&client).await;
    for n in 0..150 {
        client.get(&format!("/wsexec/tasks/{n}")).await;
        client.get(&format!("/odd-{n}/{n}")).await;
        client.get(&format!("/wsexec/{n}-tasks?q={n}")).await;
    }
    let seen = figures(&client).await;
    assert!(seen.len() < 200, "{} series", seen.len());
    assert!(
        seen.keys().any(|it| it.contains("route=\"other\"")),
        "{seen:#?}"
    );
    assert!(!seen.keys().any(|it| it.contains("odd")), "{seen:#?}");
}
