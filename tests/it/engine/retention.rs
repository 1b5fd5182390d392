//! What goes by itself, what stays, and what the disk gets back.

use super::wait_for;
use crate::harness::app::App;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("a clock").as_secs()).expect("a time")
}

fn store(app: &App) -> Connection {
    let store = Connection::open(app.data().join("wsexec.db")).expect("the store");
    store
        .busy_timeout(std::time::Duration::from_secs(10))
        .expect("it waits");
    store
}

/// Puts a task into the store that has ended then, with so many bytes of output.
fn ended(app: &App, instance: i64, end: i64, bytes: usize) -> i64 {
    let store = store(app);
    let whole = store.unchecked_transaction().expect("a transaction");
    whole
        .execute(
            "INSERT INTO tasks (name, tag, instance, script, user, state, outcome, rc, created, created_by,
                                start, \"end\", stdout_bytes)
             VALUES ('kept', '', ?1, 'true', 'deploy', 'DONE', 'exited', 0, ?2, 'admin', ?2, ?2, ?3)",
            params![instance, end, bytes],
        )
        .expect("a task");
    let id = whole.last_insert_rowid();
    for offset in (0..bytes).step_by(200_000) {
        let length = (bytes - offset).min(200_000);
        whole
            .execute(
                "INSERT INTO output (task, stream, \"offset\", length, at, data)
                 VALUES (?1, 1, ?2, ?3, ?2, randomblob(?3))",
                params![id, offset, length],
            )
            .expect("output");
    }
    whole.commit().expect("a commit");
    id
}

async fn declare(app: &App, more: Value) -> i64 {
    let mut new = json!({"ip": "192.0.2.1"});
    for (name, value) in more.as_object().expect("members") {
        new[name] = value.clone();
    }
    let reply = app.client().post("/wsexec/instances", &new).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["instance"]["id"].as_i64().expect("an id")
}

async fn pin(app: &App, id: i64, pinned: bool) {
    let path = format!("/wsexec/tasks/{id}");
    let reply = app.client().put(&path, &json!({"pinned": pinned})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["task"]["pinned"], pinned);
}

async fn left(app: &App) -> Vec<i64> {
    let reply = app.client().get("/wsexec/tasks?output=none").await;
    let all = reply.json()["tasks"].as_array().expect("a list").clone();
    all.iter()
        .map(|it| it["id"].as_i64().expect("an id"))
        .collect()
}

/// Waits until these are left and no others.
async fn wait_left(app: &App, wanted: &[i64]) {
    let begin = std::time::Instant::now();
    while left(app).await != wanted {
        let found = left(app).await;
        assert!(begin.elapsed().as_secs() < 30, "{found:?}, not {wanted:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// What the audit trail says went by which limit of which rule, and how many bytes that was.
async fn expired(app: &App) -> BTreeMap<String, (Vec<i64>, i64)> {
    let path = "/wsexec/audit?action=task.expire";
    let trail = app.client().get(path).await.json();
    let mut found: BTreeMap<String, (Vec<i64>, i64)> = BTreeMap::new();
    for record in trail["audit"].as_array().expect("a list") {
        let told = [&record["by"], &record["object"]];
        assert_eq!(told, [&json!("wsexec"), &json!("tasks")]);
        let it = &record["detail"];
        let limit = it["limit"].as_str().expect("a word");
        let (tasks, bytes) = found
            .entry(format!("{limit} of {}", it["label"]))
            .or_default();
        let gone = it["tasks"].as_array().expect("a list");
        assert_eq!(record["count"], gone.len());
        tasks.extend(gone.iter().map(|id| id.as_i64().expect("an id")));
        *bytes += it["bytes"].as_i64().expect("a number");
    }
    found
}

#[tokio::test]
async fn the_oldest_go_past_a_count_and_what_is_pinned_or_has_not_ended_stays() {
    let mut app = App::start().await;
    let instance = declare(&app, json!({})).await;
    let other = declare(&app, json!({"ip": "192.0.2.2", "approval": true})).await;
    // By their ends and not by their ids, on whichever instance.
    let ids: Vec<i64> = [109, 100, 101, 108, 102, 103, 107, 104]
        .into_iter()
        .enumerate()
        .map(|(n, end)| {
            let on = if n % 2 == 0 { instance } else { other };
            ended(&app, on, now() - 1000 + end, 10)
        })
        .collect();
    let waits = json!({"name": "waits", "instance": other, "user": "deploy", "script": "true"});
    let waits = app.post_task(waits).await["id"].as_i64().expect("an id");
    for id in [ids[1], ids[2]] {
        pin(&app, id, true).await;
    }
    app.configure("[retention]\nmax_tasks = 3\ninterval = 1");
    app.restart().await;
    let stay = [ids[0], ids[1], ids[2], ids[3], ids[6], waits];
    wait_left(&app, &stay).await;

    let gone = app.client().get(&format!("/wsexec/tasks/{}", ids[4])).await;
    assert_eq!(gone.status, 404);
    let orphans: i64 = store(&app)
        .query_row(
            "SELECT count(*) FROM output WHERE task NOT IN (SELECT id FROM tasks)",
            [],
            |row| row.get(0),
        )
        .expect("a count");
    assert_eq!(orphans, 0);
    let gone = vec![ids[4], ids[5], ids[7]];
    let wanted = BTreeMap::from([("max_tasks of null".to_owned(), (gone, 30))]);
    assert_eq!(expired(&app).await, wanted);
    let figures = app.client().get("/metrics").await.text();
    let counted = "wsexec_tasks_expired_total{limit=\"max_tasks\"} 3";
    assert!(figures.contains(counted), "{figures}");
    assert!(app.stderr().contains("not to be kept any longer"));

    // What is unpinned is one too many.
    pin(&app, ids[1], false).await;
    wait_left(&app, &[stay[0], stay[2], stay[3], stay[4], waits]).await;
}

#[tokio::test]
async fn age_and_bytes_have_limits_and_a_rule_for_a_label_stands_in_their_place() {
    let mut app = App::start().await;
    let plain = declare(&app, json!({})).await;
    let prod = declare(&app, json!({"labels": {"env": "prod"}})).await;
    let team = declare(&app, json!({"ip": "192.0.2.2", "labels": {"team": "a"}})).await;
    let at = now();
    let young = at - 100;
    // A minute to spare on either side of the hour.
    let old = [at - 3660, at - 3700].map(|end| ended(&app, plain, end, 10));
    let kept_by_age = ended(&app, plain, at - 3540, 10);
    let kept_by_rule = ended(&app, prod, at - 90_000_000, 300_000);
    let by_bytes: Vec<i64> = (0..4)
        .map(|n| ended(&app, team, young + n, 100_000))
        .collect();
    app.configure(
        "[retention]\nmax_age = 3600\ninterval = 1\n\
         [[retention.rules]]\nlabel = \"env=prod\"\n\
         [[retention.rules]]\nlabel = \"team\"\nmax_bytes = 200000",
    );
    // What a removed instance was labelled with goes on counting.
    let reply = app
        .client()
        .delete(&format!("/wsexec/instances/{prod}"))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    app.restart().await;
    // 200,000 are not past the limit.
    wait_left(&app, &[kept_by_age, kept_by_rule, by_bytes[2], by_bytes[3]]).await;
    let wanted = BTreeMap::from([
        ("max_age of null".to_owned(), (vec![old[1], old[0]], 20)),
        (
            "max_bytes of \"team\"".to_owned(),
            (by_bytes[..2].to_vec(), 200_000),
        ),
    ]);
    assert_eq!(expired(&app).await, wanted);
    let checked = app.command().arg("check").output().expect("it runs");
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    let line = "ok   retention: env=prod: everything is kept; team: max_bytes 200000; all else: max_age 3600";
    assert!(told.contains(line), "{told}");
}

#[tokio::test]
async fn what_is_removed_makes_the_file_smaller_while_the_server_goes_on() {
    const TASKS: usize = 100;
    const BYTES: usize = 400_000;
    let mut app = App::start().await;
    let instance = declare(&app, json!({"approval": true})).await;
    let file = app.data().join("wsexec.db");
    let length = || fs::metadata(&file).expect("the store").len();
    let wal = app.data().join("wsexec.db-wal");
    let log = || fs::metadata(&wal).map_or(0, |it| it.len());
    let ids: Vec<i64> = (0..TASKS)
        .map(|_| ended(&app, instance, now(), BYTES))
        .collect();
    // By hand, too, and where everything is kept.
    app.configure("[retention]\ninterval = 1");
    app.restart().await;
    let before = length();
    assert!(before > (TASKS * BYTES) as u64);
    for id in &ids[..20] {
        let reply = app.client().delete(&format!("/wsexec/tasks/{id}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    // What is spared for the next writes is a mebibyte.
    let spared = |bytes: usize| bytes as u64 - (1 << 20) - 64 * 1024;
    wait_for(|| length() <= before - spared(20 * BYTES), "a smaller file").await;

    app.configure("[retention]\ninterval = 1\nmax_tasks = 1");
    app.restart().await;
    let task =
        json!({"name": "meanwhile", "instance": instance, "user": "deploy", "script": "true"});
    let all_but_one = spared((TASKS - 1) * BYTES);
    let begin = std::time::Instant::now();
    while length() > before - all_but_one || log() > 1 << 20 {
        app.post_task(task.clone()).await;
        assert!(begin.elapsed().as_secs() < 30, "{} + {}", length(), log());
    }
    let whole: String = store(&app)
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .expect("a look");
    assert_eq!(whole, "ok");
    let kept = app
        .client()
        .get(&format!("/wsexec/tasks/{}", ids[TASKS - 1]))
        .await;
    assert_eq!(kept.json()["task"]["stdout_bytes"], BYTES);
}

#[tokio::test]
async fn the_figures_of_what_may_go_are_right_however_a_task_came_to_where_it_is() {
    let app = App::start().await;
    let instance = declare(&app, json!({})).await;
    let ids: Vec<i64> = (0..4)
        .map(|n| ended(&app, instance, now(), 10 * n))
        .collect();
    pin(&app, ids[3], true).await;
    pin(&app, ids[2], true).await;
    pin(&app, ids[2], false).await;
    let reply = app
        .client()
        .delete(&format!("/wsexec/tasks/{}", ids[1]))
        .await;
    assert_eq!(reply.status, 200);
    let waits = json!({"name": "ends", "instance": instance, "user": "deploy", "script": "true"});
    let id = app.post_task(waits).await["id"].as_i64().expect("an id");
    app.client()
        .put(&format!("/wsexec/tasks/{id}"), &json!({"state": "ABORT"}))
        .await;
    app.wait_ended(id).await;
    let figures: (i64, i64) = store(&app)
        .query_row("SELECT tasks, bytes FROM expendable", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("a row");
    assert_eq!(figures, (3, 20));
}
