//! Lists: order, filters, pages.

use super::super::harness::app::App;
use super::super::harness::client::{Client, Reply};
use super::Bench;
use serde_json::{Value, json};

fn ids(reply: &Reply, noun: &str) -> Vec<i64> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let rows = reply.json()[noun].as_array().unwrap().clone();
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

async fn listed(client: &Client, query: &str) -> Vec<i64> {
    ids(
        &client.get(&format!("/wsexec/tasks?{query}")).await,
        "tasks",
    )
}

/// The path and query that `Link: rel="next"` leads to.
fn next(app: &App, reply: &Reply) -> Option<String> {
    let (url, rel) = reply.header("link").split_once(">; ")?;
    assert_eq!(rel, "rel=\"next\"");
    let url = url.strip_prefix('<').unwrap();
    Some(
        url.strip_prefix(&app.url())
            .expect("an absolute URL")
            .to_owned(),
    )
}

#[tokio::test]
async fn an_empty_list_is_a_list() {
    let app = App::start().await;
    let client = app.client();
    assert_eq!(
        client.get("/wsexec/tasks").await.json(),
        json!({"tasks": []})
    );
    assert_eq!(
        client.get("/wsexec/instances").await.json(),
        json!({"instances": []})
    );
}

#[tokio::test]
async fn each_filter_narrows_the_list() {
    let bench = Bench::start().await;
    let other = bench.app.declare("127.0.0.1", bench.sshd.port()).await;
    let post = async |name: &str, tag: &str, instance: i64, script: &str| {
        let body = json!({"name": name, "tag": tag, "instance": instance, "script": script,
            "user": bench.user});
        let reply = bench.client.post("/wsexec/tasks?wait=30", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    };
    post("one", "a", bench.instance, "true").await;
    post("two", "b&c=d", other, "false # 100%_x").await;
    post("Three", "a", other, "kill -9 $$").await;
    let client = &bench.client;
    assert_eq!(listed(client, "").await, [1, 2, 3]);
    assert_eq!(listed(client, "order=desc").await, [3, 2, 1]);
    assert_eq!(listed(client, "after=1").await, [2, 3]);
    assert_eq!(listed(client, "before=3&order=desc").await, [2, 1]);
    assert_eq!(listed(client, "state=DONE").await, [1, 2]);
    assert_eq!(listed(client, "state=ABORT").await, [3]);
    assert_eq!(listed(client, &format!("instance={other}")).await, [2, 3]);
    assert_eq!(listed(client, "tag=a").await, [1, 3]);
    assert_eq!(listed(client, "tag=b%26c%3Dd").await, [2]);
    assert_eq!(listed(client, "name=two").await, [2]);
    assert_eq!(listed(client, "name=tw").await, Vec::<i64>::new());
    assert_eq!(listed(client, "user=nobody").await, Vec::<i64>::new());
    assert_eq!(listed(client, "q=three").await, [3]);
    assert_eq!(listed(client, "q=100%25_").await, [2]);
    assert_eq!(listed(client, "q=%25").await, [2], "no wildcard");
    assert_eq!(listed(client, "q=r&order=desc&limit=2").await, [3, 1]);
    assert_eq!(
        listed(client, "q=r&after=1&before=3").await,
        Vec::<i64>::new()
    );
    assert_eq!(
        listed(client, "q=true&before=9223372036854775807").await,
        [1]
    );
    assert_eq!(
        listed(client, "q=true&after=9223372036854775807").await,
        Vec::<i64>::new()
    );
    assert_eq!(listed(client, "tag=a&state=DONE").await, [1]);
    let narrow = format!(
        "instance={other}&state=DONE&tag=b%26c%3Dd&user={}",
        bench.user
    );
    assert_eq!(listed(client, &narrow).await, [2]);
}

#[tokio::test]
async fn pages_follow_each_other_by_their_links() {
    let app = App::start().await;
    let client = app.client();
    for n in 1..=200 {
        let body = json!({"ip": "127.0.0.1", "tag": if n % 2 == 0 { "even" } else { "odd" }});
        assert_eq!(client.post("/wsexec/instances", &body).await.status, 201);
    }
    let all = client.get("/wsexec/instances").await;
    assert_eq!(ids(&all, "instances"), (1..=200).collect::<Vec<_>>());
    assert_eq!(all.header("link"), "");
    for (query, expected) in [
        ("limit=50", (1..=200).collect::<Vec<_>>()),
        ("limit=70&order=desc", (1..=200).rev().collect()),
        (
            "limit=64&tag=even&after=10&before=190",
            (12..190).step_by(2).collect(),
        ),
        ("limit=200", (1..=200).collect()),
    ] {
        let mut path = format!("/wsexec/instances?{query}");
        let mut seen = Vec::new();
        loop {
            let reply = client.get(&path).await;
            seen.extend(ids(&reply, "instances"));
            match next(&app, &reply) {
                Some(more) => path = more,
                None => break,
            }
        }
        assert_eq!(seen, expected, "{query}");
    }
    let one = client
        .get("/wsexec/instances?ip=127.0.0.1&q=EVE&limit=1")
        .await;
    assert_eq!(ids(&one, "instances"), [2]);
    assert_eq!(
        client.get("/wsexec/instances?state=DEACTIVE").await.json(),
        json!({"instances": []})
    );
}

#[tokio::test]
async fn a_list_of_tasks_has_its_pages_too() {
    let bench = Bench::start().await;
    for _ in 0..3 {
        bench.run("echo x").await;
    }
    let first = bench.client.get("/wsexec/tasks?limit=2&output=none").await;
    assert_eq!(ids(&first, "tasks"), [1, 2]);
    let path = next(&bench.app, &first).unwrap();
    assert!(path.contains("output=none"), "{path}");
    let second = bench.client.get(&path).await;
    assert_eq!(ids(&second, "tasks"), [3]);
    assert_eq!(next(&bench.app, &second), None);
    assert!(
        second.json()["tasks"][0]
            .get("stdout")
            .is_none_or(Value::is_null)
    );
}
