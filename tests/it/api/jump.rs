//! Instances that are reached through others.

use super::assert_problem;
use crate::harness::app::{App, Builder};
use crate::harness::client::Client;
use crate::harness::door::Door;
use crate::harness::sshd::{Kind, Sshd, fingerprint, user};
use serde_json::{Value, json};

async fn declare(client: &Client, body: Value) -> i64 {
    let reply = client.post("/wsexec/instances", &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["instance"]["id"].as_i64().unwrap()
}

async fn through(app: &App, sshd: &Sshd, jump: i64) -> i64 {
    let body = json!({"ip": "127.0.0.1", "port": sshd.port(), "jump": jump});
    declare(&app.client(), body).await
}

async fn instance(app: &App, id: i64) -> Value {
    let reply = app.client().get(&format!("/wsexec/instances/{id}")).await;
    reply.json()["instance"].clone()
}

async fn put(app: &App, id: i64, body: Value) {
    let reply = app
        .client()
        .put(&format!("/wsexec/instances/{id}"), &body)
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Servers with one host key each, that all let the same key in.
fn servers<const N: usize>() -> [Sshd; N] {
    let servers = [(); N].map(|()| Sshd::builder().host_keys(&[Kind::Ed25519]).start());
    for server in &servers[1..] {
        server.authorize(&servers[0].identity());
    }
    servers
}

async fn app_for(sshd: &Sshd) -> App {
    with(App::builder(), sshd).await
}

async fn with(builder: Builder, sshd: &Sshd) -> App {
    builder.identity(sshd.identity()).start().await
}

#[tokio::test]
async fn a_script_runs_three_machines_away_and_the_first_key_of_each_is_recorded() {
    let servers: [Sshd; 3] = servers();
    let app = app_for(&servers[0]).await;
    let first = app.declare("127.0.0.1", servers[0].port()).await;
    let second = through(&app, &servers[1], first).await;
    let third = through(&app, &servers[2], second).await;
    let task = app.run(third, &user(), "echo there; exit 3").await;
    assert_eq!(
        (&task["stdout"], &task["rc"]),
        (&json!("there\n"), &json!(3)),
        "{task:#}"
    );
    for (id, server) in [first, second, third].into_iter().zip(&servers) {
        let now = instance(&app, id).await;
        let right = fingerprint(&server.host_key(Kind::Ed25519));
        assert_eq!(now["host_key"]["state"], "trusted", "{now:#}");
        assert_eq!(now["host_key"]["fingerprint"], json!(right));
        assert!(now["health"]["last_seen"].is_i64(), "{now:#}");
        assert!(
            server.log().contains("Accepted publickey"),
            "{}",
            server.log()
        );
    }
    assert_eq!(instance(&app, third).await["jump"], second);
    // Once more, with every key on record.
    let task = app.run(third, &user(), "echo again").await;
    assert_eq!(task["stdout"], "again\n", "{task:#}");
}

#[tokio::test]
async fn the_user_on_the_jump_is_the_tasks_own_unless_the_instance_says_otherwise() {
    let [jump, target] = servers();
    let app = app_for(&jump).await;
    let first = app.declare("127.0.0.1", jump.port()).await;
    let body = json!({
        "ip": "127.0.0.1", "port": target.port(), "jump": first, "jump_user": "no-such-user",
    });
    let second = declare(&app.client(), body).await;
    let task = app.run(second, &user(), "true").await;
    assert_eq!(task["outcome"], "auth_failed", "{task:#}");
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.contains("no-such-user") && reason.contains("jump"),
        "{reason}"
    );
    assert!(!target.log().contains("Accepted"), "{}", target.log());
    let error = instance(&app, first).await["health"]["last_error"].clone();
    assert!(error.as_str().unwrap().contains("no-such-user"), "{error}");
    put(&app, second, json!({"jump_user": user()})).await;
    assert_eq!(app.run(second, &user(), "true").await["state"], "DONE");
    put(&app, second, json!({"jump_user": null})).await;
    assert_eq!(app.run(second, &user(), "true").await["state"], "DONE");
}

#[tokio::test]
async fn a_jump_that_is_deactivate_ends_the_task_with_a_reason_that_names_it() {
    let [jump, target] = servers();
    let app = app_for(&jump).await;
    let first = app.declare("127.0.0.1", jump.port()).await;
    let second = through(&app, &target, first).await;
    put(&app, first, json!({"state": "DEACTIVATE"})).await;
    let task = app.run(second, &user(), "true").await;
    assert_eq!(task["outcome"], "unreachable", "{task:#}");
    let expected = format!(
        "Its jump, instance {first}, is DEACTIVATE. Set it ACTIVE, or give the instance another jump."
    );
    assert_eq!(task["reason"], json!(expected));
    // The rest goes on.
    put(&app, first, json!({"state": "ACTIVE"})).await;
    assert_eq!(app.run(second, &user(), "true").await["state"], "DONE");
}

#[tokio::test]
async fn a_jump_whose_key_has_changed_is_told_at_the_jump_and_the_target_is_never_reached() {
    let [first, other, target] = servers();
    let app = app_for(&first).await;
    let door = Door::to(first.address()).await;
    let jump = app.declare("127.0.0.1", door.port()).await;
    let second = through(&app, &target, jump).await;
    assert_eq!(app.run(second, &user(), "true").await["state"], "DONE");
    door.lead_to(other.address());
    let task = app.run(second, &user(), "true").await;
    assert_eq!(task["outcome"], "host_key_refused", "{task:#}");
    let shown = fingerprint(&other.host_key(Kind::Ed25519));
    assert!(
        task["reason"].as_str().unwrap().contains(&shown),
        "{task:#}"
    );
    let at_jump = instance(&app, jump).await;
    assert_eq!(at_jump["host_key"]["state"], "changed", "{at_jump:#}");
    assert_eq!(at_jump["host_key"]["shown"]["fingerprint"], json!(shown));
    let at_target = instance(&app, second).await;
    assert_eq!(at_target["host_key"]["state"], "trusted", "{at_target:#}");
    assert_eq!(at_target["host_key"]["shown"], json!(null));
}

#[tokio::test]
async fn in_strict_mode_the_key_of_each_machine_on_the_way_is_approved_by_itself() {
    let [jump, target] = servers();
    let strict = App::builder()
        .argument("--ssh-host-keys")
        .argument("strict");
    let app = with(strict, &jump).await;
    let first = app.declare("127.0.0.1", jump.port()).await;
    let second = through(&app, &target, first).await;
    for (id, server) in [(first, &jump), (second, &target)] {
        let task = app.run(second, &user(), "true").await;
        assert_eq!(task["outcome"], "host_key_refused", "{task:#}");
        let right = fingerprint(&server.host_key(Kind::Ed25519));
        let now = instance(&app, id).await;
        assert_eq!(
            now["host_key"]["shown"]["fingerprint"],
            json!(right),
            "{now:#}"
        );
        let path = format!("/wsexec/instances/{id}/host_key");
        let body = json!({"action": "approve", "fingerprint": right});
        assert_eq!(app.client().put(&path, &body).await.status, 200);
    }
    assert_eq!(app.run(second, &user(), "true").await["state"], "DONE");
}

#[tokio::test]
async fn a_way_that_comes_back_or_leads_nowhere_is_refused_at_once() {
    let app = App::start().await;
    let client = app.client();
    let one = declare(&client, json!({"ip": "192.0.2.1"})).await;
    let two = declare(&client, json!({"ip": "192.0.2.2", "jump": one})).await;
    let three = declare(&client, json!({"ip": "192.0.2.3", "jump": two.to_string()})).await;
    for (id, jump) in [(one, one), (one, two), (one, three), (two, three)] {
        let path = format!("/wsexec/instances/{id}");
        let reply = client.put(&path, &json!({"jump": jump})).await;
        assert_problem(&reply, 409, &[]);
        assert!(reply.text().contains("jump:"), "{}", reply.text());
    }
    let path = format!("/wsexec/instances/{one}");
    assert_problem(&client.put(&path, &json!({"jump": 99})).await, 404, &[]);
    let new = json!({"ip": "192.0.2.4", "jump": 99});
    assert_problem(&client.post("/wsexec/instances", &new).await, 404, &[]);
    let wrong = json!({"ip": "192.0.2.4", "jump": 0, "jump_user": "-x", "mode": "away"});
    let reply = client.post("/wsexec/instances", &wrong).await;
    assert_problem(&reply, 400, &["jump", "jump_user", "mode"]);
    // Those that others are reached through stay.
    let reply = client.delete(&path).await;
    assert_problem(&reply, 409, &[]);
    assert!(reply.text().contains(&two.to_string()), "{}", reply.text());
    put(&app, two, json!({"jump": null})).await;
    assert_eq!(client.delete(&path).await.status, 200);
}

#[tokio::test]
async fn a_way_has_at_most_eight_jumps_wherever_it_is_made_longer() {
    let app = App::start().await;
    let client = app.client();
    let mut ids = vec![declare(&client, json!({"ip": "192.0.2.1"})).await];
    for n in 0..8 {
        ids.push(declare(&client, json!({"ip": "192.0.2.2", "jump": ids[n]})).await);
    }
    let new = json!({"ip": "192.0.2.3", "jump": ids[8]});
    let reply = client.post("/wsexec/instances", &new).await;
    assert_problem(&reply, 409, &[]);
    let before = declare(&client, json!({"ip": "192.0.2.4"})).await;
    let path = format!("/wsexec/instances/{}", ids[0]);
    let reply = client.put(&path, &json!({"jump": before})).await;
    assert_problem(&reply, 409, &[]);
    assert!(reply.text().contains("more than 8"), "{}", reply.text());
    put(&app, ids[8], json!({"jump": null})).await;
    put(&app, ids[0], json!({"jump": before})).await;
}

#[tokio::test]
async fn tasks_take_the_mode_of_their_instance_unless_they_say_otherwise() {
    let app = App::start().await;
    let client = app.client();
    let new = json!({"ip": "192.0.2.1", "mode": "detached", "state": "ACTIVE"});
    let id = declare(&client, new).await;
    assert_eq!(instance(&app, id).await["mode"], "detached");
    let task = json!({"name": "n", "instance": id, "user": "u", "script": "true"});
    let mut attached = task.clone();
    attached["mode"] = json!("attached");
    assert_eq!(app.post_task(task).await["mode"], "detached");
    assert_eq!(app.post_task(attached).await["mode"], "attached");
    put(&app, id, json!({"mode": "attached"})).await;
    assert_eq!(instance(&app, id).await["mode"], "attached");
}
