//! The audit trail against whoever can write the store, and against a flood.

use crate::harness::app::{App, Process};
use crate::harness::client::send;
use crate::harness::dice::Dice;
use crate::harness::sshd::{self, Sshd};
use reqwest::Method;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use wsexec::config::Config;

const COLUMNS: &str = r#"at, by, via, "from", action, object, count, detail, mac"#;

/// Changes a trail of so many records as somebody would who can write the store and has no key.
/// Gives what was done.
fn edit(store: &Path, records: i64, dice: &mut Dice) -> String {
    let c = Connection::open(store).unwrap();
    c.execute_batch(
        "PRAGMA synchronous = OFF; DROP TRIGGER audit_never_changes; DROP TRIGGER audit_never_goes;",
    )
    .unwrap();
    let n = dice.below(records) + 1;
    let other = (n + dice.below(records - 1)) % records + 1;
    let copy = |to: &str, from: i64| {
        let sql = format!("INSERT INTO audit SELECT {to}, {COLUMNS} FROM audit WHERE n = ?1");
        c.execute(&sql, [from]).unwrap()
    };
    let (done, rows) = match dice.below(9) {
        0 => {
            let column = ["at", "count"][dice.below(2) as usize];
            let sql = format!("UPDATE audit SET {column} = {column} + ?2 WHERE n = ?1");
            let by = 1 + dice.below(1000);
            (
                format!("{column} of {n} + {by}"),
                c.execute(&sql, params![n, by]).unwrap(),
            )
        }
        1 => {
            let columns = ["by", "via", "\"from\"", "action", "object", "detail"];
            let column = columns[dice.below(6) as usize];
            // Also where that is another text that means the same.
            let value = ["'x' || ", "' ' || ", "char(0) || "][dice.below(3) as usize];
            let sql = format!("UPDATE audit SET {column} = {value}{column} WHERE n = ?1");
            (format!("{column} of {n}"), c.execute(&sql, [n]).unwrap())
        }
        2 => {
            let sql = "UPDATE audit SET mac = randomblob(32) WHERE n = ?1";
            (format!("mac of {n}"), c.execute(sql, [n]).unwrap())
        }
        3 => {
            let rows = c.execute("DELETE FROM audit WHERE n = ?1", [n]).unwrap();
            if dice.below(2) == 0 {
                // The numbers close up.
                c.execute("UPDATE audit SET n = -n WHERE n > ?1", [n])
                    .unwrap();
                c.execute("UPDATE audit SET n = -n - 1 WHERE n < 0", [])
                    .unwrap();
            }
            (format!("{n} removed"), rows)
        }
        4 => {
            c.execute("UPDATE audit SET n = -1 WHERE n = ?1", [n])
                .unwrap();
            c.execute("UPDATE audit SET n = ?1 WHERE n = ?2", [n, other])
                .unwrap();
            let rows = c
                .execute("UPDATE audit SET n = ?1 WHERE n = -1", [other])
                .unwrap();
            (format!("{n} and {other} swapped"), rows)
        }
        5 => {
            c.execute("UPDATE audit SET n = -n WHERE n >= ?1", [n])
                .unwrap();
            c.execute("UPDATE audit SET n = 1 - n WHERE n < 0", [])
                .unwrap();
            let from = if other < n { other } else { other + 1 };
            (format!("{other} put in at {n}"), copy(&n.to_string(), from))
        }
        6 => {
            let rows = c.execute("DELETE FROM audit WHERE n >= ?1", [n]).unwrap();
            (format!("cut off from {n}"), rows)
        }
        7 => (
            format!("{n} repeated at the end"),
            copy(&(records + 1).to_string(), n),
        ),
        _ => (format!("{n} put before the first"), copy("0 - ?1", n)),
    };
    assert_eq!(i64::from(rows > 0), 1, "{done}");
    done
}

#[tokio::test]
async fn a_thousand_edits_of_the_trail_are_a_thousand_found() {
    let mut app = App::start().await;
    let client = app.client();
    for port in 1..40 {
        let id = app.declare("127.0.0.1", port).await;
        let path = format!("/wsexec/instances/{id}");
        let reply = client
            .put(&path, &json!({"tag": format!("tag {port}")}))
            .await;
        assert_eq!(reply.status, 200);
    }
    app.stop().await;
    let store = app.data().join("wsexec.db");
    let whole = fs::read(&store).unwrap();
    let config = Config {
        data: app.data(),
        ..Config::default()
    };
    let verdict = wsexec::app::verify_audit(&config).unwrap();
    assert_eq!(verdict.faults, []);
    let records = verdict.records;
    assert!(records > 80, "{records}");

    let seed = 20_261_123;
    let mut missed = Vec::new();
    for number in 0..1000 {
        fs::write(&store, &whole).unwrap();
        let mut dice = Dice::new(seed + number);
        let done = edit(&store, records, &mut dice);
        let found = if number % 100 == 0 {
            let mut command = app.command();
            let said = Process::spawn(command.args(["audit", "verify"]))
                .said()
                .await;
            assert_eq!(said.text().contains("FAIL"), said.code == Some(1));
            said.code == Some(1)
        } else {
            !wsexec::app::verify_audit(&config)
                .unwrap()
                .faults
                .is_empty()
        };
        if !found {
            missed.push(format!("{number}: {done}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

async fn acts(app: &App, filter: &str) -> Vec<Value> {
    let mut command = app.command();
    command.args(["audit", "export", "--action", filter]);
    let said = Process::spawn(&mut command).said().await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    said.text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn counted(records: &[Value]) -> i64 {
    records.iter().map(|it| it["count"].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_not_done_and_reading_goes_on() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let client = app.client();
    // Its key is on record by now: a first one could not be recorded later.
    app.run(instance, &sshd::user(), "true").await;
    let waits = app.path("waits");
    let marks = app.path("marks");
    let script = format!(
        "while [ ! -e {0} ]; do sleep 0.1; done; touch {1}",
        waits.display(),
        marks.display()
    );
    let task = json!({
        "name": "n", "instance": instance, "user": sshd::user(), "script": script,
    });
    // One that runs already: its end is kept whatever becomes of the trail.
    let running = app.post_task(task.clone()).await["id"].as_i64().unwrap();
    app.wait_until(running, |task| task["state"] == "CURRENT")
        .await;
    // And one that waits: it is not begun.
    let reply = client
        .put(
            &format!("/wsexec/instances/{instance}"),
            &json!({"state": "DEACTIVATE"}),
        )
        .await;
    assert_eq!(reply.status, 200);

    let c = Connection::open(app.data().join("wsexec.db")).unwrap();
    c.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let count = || -> i64 {
        c.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))
            .unwrap()
    };
    c.execute_batch(
        "CREATE TRIGGER audit_is_full BEFORE INSERT ON audit
         BEGIN SELECT RAISE (ABORT, 'the disk of the trail is full'); END;",
    )
    .unwrap();
    let before = count();
    let changes = [
        (
            Method::POST,
            "/wsexec/instances".to_owned(),
            json!({"ip": "127.0.0.1"}),
        ),
        (
            Method::PUT,
            format!("/wsexec/instances/{instance}"),
            json!({"state": "ACTIVE"}),
        ),
        (Method::DELETE, "/wsexec/tasks/99".to_owned(), Value::Null),
        (
            Method::PUT,
            format!("/wsexec/tasks/{running}"),
            json!({"state": "ABORT"}),
        ),
        (
            Method::POST,
            format!("/wsexec/instances/{instance}/check"),
            json!({"user": sshd::user()}),
        ),
    ];
    for (method, path, body) in changes {
        let reply = send(client.request(method.clone(), &path).json(&body)).await;
        let expected = if path.ends_with("99") { 404 } else { 503 };
        assert_eq!(reply.status, expected, "{method} {path}: {}", reply.text());
    }
    for path in [
        "/wsexec/tasks",
        "/wsexec/instances",
        "/wsexec/audit",
        "/healthz",
    ] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let stranger = app.as_user("admin", "wrong");
    assert_eq!(stranger.get("/wsexec/tasks").await.status, 401);
    fs::write(&waits, "").unwrap();
    let ended = app.wait_ended(running).await;
    assert_eq!(ended["state"], "DONE", "{ended:#}");
    assert!(marks.exists());
    assert_eq!(count(), before);
    c.execute_batch("DROP TRIGGER audit_is_full").unwrap();
    let reply = client
        .put(
            &format!("/wsexec/instances/{instance}"),
            &json!({"state": "ACTIVE"}),
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn what_waits_is_not_run_while_that_cannot_be_put_on_record() {
    let sshd = Sshd::start();
    let app = App::builder()
        .identity(sshd.identity())
        .config("[engine]\nmax_per_instance = 1")
        .start()
        .await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    app.run(instance, &sshd::user(), "true").await;
    let (waits, marks) = (app.path("waits"), app.path("marks"));
    let task = |script: String| {
        json!({
            "name": "n", "instance": instance, "user": sshd::user(), "script": script,
        })
    };
    let first = format!("while [ ! -e {} ]; do sleep 0.1; done", waits.display());
    let first = app.post_task(task(first)).await["id"].as_i64().unwrap();
    app.wait_until(first, |task| task["state"] == "CURRENT")
        .await;
    let second = app
        .post_task(task(format!("touch {}", marks.display())))
        .await;
    let second = second["id"].as_i64().unwrap();

    let c = Connection::open(app.data().join("wsexec.db")).unwrap();
    c.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    c.execute_batch(
        "CREATE TRIGGER audit_is_full BEFORE INSERT ON audit
         BEGIN SELECT RAISE (ABORT, 'the disk of the trail is full'); END;",
    )
    .unwrap();
    fs::write(&waits, "").unwrap();
    app.wait_ended(first).await;
    app.wait_stderr("cannot claim tasks").await;
    let reply = app.client().get(&format!("/wsexec/tasks/{second}")).await;
    assert_eq!(reply.json()["task"]["state"], "INIT", "{}", reply.text());
    assert!(!marks.exists());
    c.execute_batch("DROP TRIGGER audit_is_full").unwrap();
    let ended = app.wait_ended(second).await;
    assert_eq!(ended["rc"], 0, "{ended:#}");
    assert!(marks.exists());
}

#[tokio::test]
async fn a_trail_that_loses_records_while_the_server_runs_is_not_gone_on_with() {
    let app = App::start().await;
    app.declare("127.0.0.1", 1).await;
    let c = Connection::open(app.data().join("wsexec.db")).unwrap();
    c.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    c.execute_batch(
        "DROP TRIGGER audit_never_goes; DELETE FROM audit WHERE n = (SELECT max(n) FROM audit);",
    )
    .unwrap();
    let reply = app
        .client()
        .post("/wsexec/instances", &json!({"ip": "127.0.0.1"}))
        .await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(
        reply.text().contains("wsexec audit verify"),
        "{}",
        reply.text()
    );
    assert_eq!(app.client().get("/wsexec/instances").await.status, 200);
    let said = Process::spawn(app.command().args(["audit", "verify"]))
        .said()
        .await;
    assert_eq!(said.code, Some(1), "{}", said.text());
}

#[tokio::test]
async fn each_kind_of_refusal_is_on_record_and_what_was_typed_for_a_name_is_not() {
    let mut app = App::start().await;
    let mut add = app.command();
    add.args(["user", "add", "eve", "--role", "viewer", "--password-stdin"]);
    let said = Process::spawn_with(&mut add, b"a long enough passphrase 18")
        .said()
        .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let eve = app.as_user("eve", "a long enough passphrase 18");
    assert_eq!(
        eve.post("/wsexec/instances", &json!({"ip": "h"}))
            .await
            .status,
        403
    );
    assert_eq!(
        app.as_user("eve", "x").get("/wsexec/tasks").await.status,
        401
    );
    let typed = "typed-my-password-here";
    assert_eq!(
        app.as_user(typed, "x").get("/wsexec/tasks").await.status,
        401
    );
    assert_eq!(app.anonymous().get("/wsexec/tasks").await.status, 401);
    let request = app.anonymous().request(Method::GET, "/wsexec/tasks");
    assert_eq!(
        send(request.header("Authorization", "Bearer wsx_nonsense"))
            .await
            .status,
        401
    );
    let request = app
        .client()
        .request(Method::POST, "/wsexec/tasks")
        .json(&json!({}));
    assert_eq!(
        send(request.header("Origin", "https://evil.example"))
            .await
            .status,
        403
    );
    let request = app
        .anonymous()
        .request(Method::POST, "/login")
        .header("Origin", app.url())
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("name=admin&password=x&next=/");
    assert_eq!(send(request).await.status, 401);
    // Somebody who is logged in and guesses at the password that they want to change.
    let guess = json!({"old": "guessed", "new": "a long enough passphrase 19"});
    let reply = eve.put("/wsexec/users/me/password", &guess).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    app.stop().await;

    let found = acts(&app, "refusal.*").await;
    let told: Vec<_> = found
        .iter()
        .map(|it| {
            let word = |name: &str| it[name].as_str().unwrap().to_owned();
            (word("action"), word("by"), word("object"))
        })
        .collect();
    let row = |action: &str, by: &str, object: &str| {
        (
            format!("refusal.{action}"),
            by.to_owned(),
            object.to_owned(),
        )
    };
    for expected in [
        row("forbidden", "eve", ""),
        row("login", "", "user/2"),
        row("login", "eve", "user/2"),
        row("login", "", ""),
        row("unauthenticated", "", ""),
        row("token", "", ""),
        row("origin", "", ""),
        row("login", "", "user/1"),
    ] {
        assert!(told.contains(&expected), "{expected:?} in {told:#?}");
    }
    assert!(
        found.iter().all(|it| it["from"] == "127.0.0.1"),
        "{found:#?}"
    );
    assert!(!format!("{found:?}").contains(typed), "{found:#?}");
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_and_does_not_fill_the_store() {
    let mut app = App::start().await;
    let client = app.anonymous();
    let mut sent = 0;
    for _ in 0..20 {
        let flood = (0..50).map(|_| client.get("/wsexec/tasks"));
        for reply in futures_util::future::join_all(flood).await {
            assert_eq!(reply.status, 401);
            sent += 1;
        }
    }
    app.stop().await;
    let found = acts(&app, "refusal.*").await;
    assert_eq!(counted(&found), sent);
    assert!(found.len() <= 4, "{found:#?}");
    assert_eq!(acts(&app, "server.stop").await.len(), 1);
    app.wait_stderr("audit trail").await;
}

#[tokio::test]
async fn a_login_is_one_record_for_each_real_check_of_a_password() {
    let app = App::start().await;
    let client = app.client();
    for _ in 0..5 {
        assert_eq!(client.get("/wsexec/tasks").await.status, 200);
    }
    let found = acts(&app, "login").await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["by"], "admin");
    assert_eq!(found[0]["detail"]["method"], "basic");
}

#[tokio::test]
async fn unknown_tokens_are_refused_on_record_counted_together_and_never_shown() {
    let mut app = App::start().await;
    let token = wsexec::domain::random_token();
    let shown = format!("Bearer wsx_{}", token.expose());
    app.plant("an unknown token", token.expose());
    let client = app.with_header("Authorization", &shown);
    // Fewer than make the guessing slow.
    for _ in 0..10 {
        assert_eq!(client.get("/wsexec/tasks").await.status, 401);
    }
    // One that was good until now is one of them.
    let reply = app
        .client()
        .post("/wsexec/tokens", &json!({"name": "t"}))
        .await;
    let made = reply.json()["token"].clone();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let good = app.with_header("Authorization", &bearer);
    assert_eq!(good.get("/wsexec/tasks").await.status, 200);
    let path = format!("/wsexec/tokens/{}", made["id"]);
    assert_eq!(app.client().delete(&path).await.status, 200);
    for _ in 0..5 {
        assert_eq!(good.get("/wsexec/instances").await.status, 401);
    }
    app.stop().await;
    let found = acts(&app, "refusal.token").await;
    assert_eq!(counted(&found), 15, "{found:#?}");
    assert!(found.len() <= 3, "{found:#?}");
    for it in &found {
        assert_eq!((&it["by"], &it["via"]), (&json!(""), &json!("")), "{it:#}");
        assert_eq!(it["from"], "127.0.0.1", "{it:#}");
        assert_eq!(it["detail"]["status"], 401, "{it:#}");
    }
    assert_eq!(acts(&app, "refusal.*").await.len(), found.len());
}
