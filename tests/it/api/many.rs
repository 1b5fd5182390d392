//! Lists beside a history that is longer than what one look takes: each gives what a look at every
//! task would.

use super::super::harness::people::Person;
use super::Bench;
use crate::harness::client::Client;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::time::Duration;

/// More than are looked at before the shortest way is searched for.
const TASKS: i64 = 9_000;

/// Tasks beside the first one. What is asked for lies where a list does not come by first.
fn fill(bench: &Bench, from: i64, to: i64) {
    let store = Connection::open(bench.app.data().join("wsexec.db")).unwrap();
    store.busy_timeout(Duration::from_secs(30)).unwrap();
    let sql = "WITH RECURSIVE n (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)
        INSERT INTO tasks (name, tag, instance, script, user, state, outcome, created, created_by, start, \"end\", attempt)
        SELECT 'Backup ' || (n % 100), iif(n % 3 = 0, 'night', 'DAY'), iif(n BETWEEN 4500 AND 4600, 900, 1 + n % 7),
            iif(n % 1000 = 500, 'echo Über ~' || n, iif(n = 4511, 'echo A', 'echo \"x\" ' || n)), iif(n % 2 = 0, 'even', 'odd'),
            iif(n BETWEEN 4000 AND 4700 AND n % 2 = 1, 'ABORT', 'DONE'), 'exited', n, 'it', n, n, 1
        FROM n";
    store.execute(sql, params![from, to]).unwrap();
}

/// What the query asks for, by looking at each task.
fn expected(all: &[Value], query: &str) -> Vec<i64> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let of = |name: &str| pairs.iter().find(|it| it.0 == name).map(|it| &it.1[..]);
    let number = |name: &str| of(name).map(|it| it.parse::<i64>().unwrap());
    let fits = |task: &&Value| {
        let text = |field: &str| task[field].as_str().unwrap().to_ascii_lowercase();
        let id = task["id"].as_i64().unwrap();
        let exact = ["state", "user", "tag", "name"];
        exact
            .iter()
            .all(|it| of(it).is_none_or(|value| task[*it] == value))
            && number("instance").is_none_or(|it| task["instance"] == it)
            && number("after").is_none_or(|it| id > it)
            && number("before").is_none_or(|it| id < it)
            && of("q").is_none_or(|q| {
                let q = q.to_ascii_lowercase();
                ["name", "tag", "script"]
                    .iter()
                    .any(|it| text(it).contains(&q))
            })
    };
    let mut ids: Vec<i64> = all
        .iter()
        .filter(fits)
        .map(|it| it["id"].as_i64().unwrap())
        .collect();
    if of("order") == Some("desc") {
        ids.reverse();
    }
    ids.truncate(number("limit").map_or(usize::MAX, |it| it as usize));
    ids
}

async fn tasks(client: &Client, query: &str) -> Vec<Value> {
    let reply = client
        .get(&format!("/wsexec/tasks?output=none&{query}"))
        .await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    reply.json()["tasks"].as_array().unwrap().clone()
}

async fn check(client: &Client, all: &[Value]) {
    let narrow = [
        "q=backup+77",
        "q=BACKUP",
        "q=%22x%22+8000",
        "q=x%22+4511",
        "q=echo+A%0A",
        "q=nothing-has-it",
        "q=renamed",
        "q=Zz",
        "q=~",
        "q=~4",
        "q=%C3%9Cb",
        "q=%C3%BCber",
        "q=_",
        "q=%25",
        "q=backup&state=ABORT",
        "q=night&instance=900&user=even",
        "state=ABORT&user=even",
        "state=ABORT&user=odd&tag=night",
        "state=DONE&instance=900",
        "instance=900&name=Backup+11",
        "user=nobody&tag=night",
        "name=Backup+11&tag=night&state=ABORT",
        "user=odd&tag=DAY",
        "instance=12345&state=DONE",
    ];
    let parts = [
        "limit=5",
        "limit=5&order=desc",
        "limit=70&after=4490&order=desc",
        "limit=3&before=4605",
        "order=desc&before=8999&after=10&limit=200",
    ];
    for narrow in narrow {
        for part in parts {
            let query = format!("{narrow}&{part}");
            let found = tasks(client, &query).await;
            let ids: Vec<i64> = found.iter().map(|it| it["id"].as_i64().unwrap()).collect();
            assert_eq!(ids, expected(all, &query), "{query}");
        }
    }
}

#[tokio::test]
async fn a_list_beside_a_long_history_holds_what_a_look_at_each_task_would_find() {
    let bench = Bench::start().await;
    let client = &bench.client;
    fill(&bench, 1, TASKS);
    for (id, change) in [
        (5, json!({"name": "Renamed once"})),
        (4_444, json!({"tag": "renamed"})),
        (8_900, json!({"name": "renamed", "tag": "ZZ"})),
    ] {
        let reply = client.put(&format!("/wsexec/tasks/{id}"), &change).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let reply = client
        .put("/wsexec/tasks/4444", &json!({"tag": "renamed again"}))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for id in [8_901, 78].into_iter().chain(6_401..=6_464) {
        let reply = client.delete(&format!("/wsexec/tasks/{id}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    check(client, &tasks(client, "").await).await;

    // Scopes: of few, of many, of none; what is out of them is nowhere.
    for (name, scope) in [
        ("few", json!(["*@#900", "!odd@*"])),
        ("half", json!(["odd@*"])),
        ("none", json!(["nobody@nowhere.invalid"])),
    ] {
        let person = Person::add(&bench.app, name, json!({"role": "viewer", "scope": scope})).await;
        let reader = person.client(&bench.app);
        let all = tasks(&reader, "").await;
        let seen = |it: &Value| match name {
            "few" => it["instance"] == 900 && it["user"] == "even",
            "half" => it["user"] == "odd",
            _ => false,
        };
        assert_eq!(
            all,
            tasks(client, "")
                .await
                .into_iter()
                .filter(seen)
                .collect::<Vec<_>>()
        );
        check(&reader, &all).await;
    }
}
