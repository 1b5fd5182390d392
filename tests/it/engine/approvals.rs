//! Tasks that need a second person.

use super::on;
use crate::harness::app::App;
use crate::harness::client::Client;
use crate::harness::sshd::{Sshd, user};
use serde_json::{Value, json};

async fn post(client: &Client, instance: i64, script: &str) -> Value {
    let task = json!({"name": "test", "instance": instance, "user": user(), "script": script});
    let reply = client.post("/wsexec/tasks", &task).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["task"].clone()
}

fn id(task: &Value) -> i64 {
    task["id"].as_i64().expect("an id")
}

async fn decide(client: &Client, id: i64, decision: &str) -> (u16, Value) {
    let path = format!("/wsexec/tasks/{id}/approval");
    let body = json!({"decision": decision, "comment": "seen"});
    let reply = client.put(&path, &body).await;
    (reply.status, reply.json())
}

async fn change(client: &Client, instance: i64, change: Value) -> u16 {
    let path = format!("/wsexec/instances/{instance}");
    client.put(&path, &change).await.status
}

#[tokio::test]
async fn a_task_waits_for_a_second_person_and_runs_when_that_one_approves() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let admin = app.client();
    assert_eq!(
        change(&admin, instance, json!({"approval": true})).await,
        200
    );
    let (ann, _) = app.add_user("ann", "operator", &[]).await;
    let (run, _) = app.add_user("run", "runner", &[]).await;

    let task = post(&ann, instance, "echo ran").await;
    assert_eq!(task["state"], "INIT");
    assert_eq!(task["approval"]["state"], "waiting");
    assert!(
        task["reason"].as_str().unwrap().contains("second person"),
        "{task}"
    );
    let address = task["approval"]["address"].as_str().unwrap();
    assert_eq!(address, format!("[127.0.0.1]:{}", sshd.port()));
    let listed = admin
        .get("/wsexec/tasks?approval=waiting&output=none")
        .await;
    assert_eq!(listed.json()["tasks"].as_array().unwrap().len(), 1);

    // What another one posted there meanwhile neither overtakes it nor is held up by it.
    let other = post(&run, instance, "echo other").await;
    assert_eq!(other["approval"]["state"], "waiting");
    assert_eq!(decide(&ann, id(&task), "approve").await.0, 403, "her own");
    assert_eq!(decide(&run, id(&task), "approve").await.0, 403, "a runner");
    let waiting = ann
        .get(&format!("/wsexec/tasks/{}/approval", id(&task)))
        .await;
    assert_eq!(waiting.json()["task"]["state"], "INIT");

    let (status, decided) = decide(&admin, id(&task), "approve").await;
    assert_eq!(status, 200, "{decided}");
    let ended = app.wait_ended(id(&task)).await;
    assert_eq!(
        (&ended["state"], &ended["stdout"]),
        (&json!("DONE"), &json!("ran\n"))
    );
    assert_eq!(ended["approval"]["state"], "approved");
    assert_eq!(ended["approval"]["by"], "admin");
    assert_eq!(ended["approval"]["comment"], "seen");
    assert_eq!(
        decide(&admin, id(&task), "refuse").await.0,
        409,
        "once only"
    );

    let (status, refused) = decide(&ann, id(&other), "refuse").await;
    assert_eq!(status, 200);
    let refused = &refused["task"];
    assert_eq!(
        (&refused["state"], &refused["outcome"]),
        (&json!("ABORT"), &json!("cancelled"))
    );
    assert_eq!(refused["reason"], "Refused by ann: seen");
    assert!(refused["start"].is_null());
}

#[tokio::test]
async fn a_rerun_is_whose_who_reran_it() {
    let sshd = Sshd::start();
    let config = format!("[approvals]\nrequired = ['{}@*']", user());
    let (app, instance) = on(&sshd, App::builder().config(&config)).await;
    let (ann, _) = app.add_user("ann", "operator", &[]).await;
    let task = post(&app.client(), instance, "true").await;
    assert_eq!(decide(&app.client(), id(&task), "approve").await.0, 403);
    assert_eq!(decide(&ann, id(&task), "approve").await.0, 200);
    app.wait_ended(id(&task)).await;
    let again = post(&ann, instance, "true").await;
    assert_eq!(decide(&ann, id(&again), "approve").await.0, 403);
    let cancelled = ann
        .put(
            &format!("/wsexec/tasks/{}", id(&again)),
            &json!({"state": "ABORT"}),
        )
        .await
        .json();
    assert_eq!(cancelled["task"]["approval"]["state"], "withdrawn");
    assert_eq!(decide(&app.client(), id(&again), "approve").await.0, 409);
}

#[tokio::test]
async fn what_nobody_decides_about_ends_in_time_and_who_waits_is_told() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[approvals]\nexpire = 2")).await;
    let admin = app.client();
    assert_eq!(
        change(&admin, instance, json!({"approval": true})).await,
        200
    );
    let task = post(&admin, instance, "true").await;
    let waited = admin
        .get(&format!("/wsexec/tasks/{}?wait=30", id(&task)))
        .await;
    let ended = &waited.json()["task"];
    assert_eq!(
        (&ended["state"], &ended["outcome"]),
        (&json!("ABORT"), &json!("cancelled"))
    );
    assert_eq!(ended["approval"]["state"], "expired");
    assert!(ended["reason"].as_str().unwrap().contains("Nobody decided"));
}

#[tokio::test]
async fn an_approved_task_runs_on_the_machine_that_it_was_posted_for_or_nowhere() {
    let sshd = Sshd::start();
    let other = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let admin = app.client();
    let (ann, _) = app.add_user("ann", "operator", &[]).await;
    assert_eq!(
        change(&admin, instance, json!({"approval": true})).await,
        200
    );
    let task = post(&ann, instance, "true").await;
    let before = post(&ann, instance, "true").await;
    // Approved, and the machine is exchanged before it can begin.
    assert_eq!(
        change(&admin, instance, json!({"state": "DEACTIVATE"})).await,
        200
    );
    assert_eq!(decide(&admin, id(&task), "approve").await.0, 200);
    assert_eq!(
        change(&admin, instance, json!({"port": other.port()})).await,
        200
    );
    assert_eq!(decide(&admin, id(&before), "approve").await.0, 409);
    assert_eq!(
        change(&admin, instance, json!({"state": "ACTIVE"})).await,
        200
    );
    let ended = app.wait_ended(id(&task)).await;
    assert_eq!(
        (&ended["outcome"], &ended["start"]),
        (&json!("start_failed"), &Value::Null)
    );
    assert!(
        ended["reason"].as_str().unwrap().contains("posted for"),
        "{ended}"
    );
}

#[tokio::test]
async fn an_operator_does_not_get_round_the_second_person() {
    let sshd = Sshd::start();
    let config = "[approvals]\nrequired = ['*@env=prod']";
    let (app, plain) = on(&sshd, App::builder().config(config)).await;
    let admin = app.client();
    let (ann, _) = app.add_user("ann", "operator", &[]).await;
    let task = post(&ann, plain, "true").await;
    assert!(task["approval"].is_null(), "nothing asks for it yet");
    app.wait_ended(id(&task)).await;

    assert_eq!(
        change(&ann, plain, json!({"labels": {"env": "prod"}})).await,
        200
    );
    let task = post(&ann, plain, "true").await;
    assert_eq!(task["approval"]["state"], "waiting");
    for loosening in [
        json!({"labels": {}}),
        json!({"labels": {"env": "test"}}),
        json!({"port": 1}),
        json!({"ip": "127.0.0.2"}),
    ] {
        assert_eq!(
            change(&ann, plain, loosening.clone()).await,
            403,
            "{loosening}"
        );
    }
    let path = format!("/wsexec/instances/{plain}");
    assert_eq!(ann.delete(&path).await.status, 403);
    assert_eq!(
        change(&ann, plain, json!({"labels": {"env": "prod", "a": "b"}})).await,
        200
    );
    assert_eq!(change(&ann, plain, json!({"approval": true})).await, 200);
    assert_eq!(change(&ann, plain, json!({"approval": false})).await, 403);

    // Another instance for the same machine, directly and behind its own sshd.
    for jump in [Value::Null, json!(plain)] {
        let new = json!({"ip": "127.0.0.1", "port": sshd.port(), "jump": jump});
        let reply = ann.post("/wsexec/instances", &new).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let twin = reply.json()["instance"]["id"].as_i64().unwrap();
        assert_eq!(
            post(&ann, twin, "true").await["approval"]["state"],
            "waiting"
        );
    }

    // An administrator may; what waits goes on waiting.
    let loosened = json!({"approval": false, "labels": {}});
    assert_eq!(change(&admin, plain, loosened).await, 200);
    let still = ann
        .get(&format!("/wsexec/tasks/{}", id(&task)))
        .await
        .json();
    assert_eq!(still["task"]["approval"]["state"], "waiting");
    assert_eq!(decide(&admin, id(&task), "approve").await.0, 200);
    assert_eq!(app.wait_ended(id(&task)).await["state"], "DONE");
}

#[tokio::test]
async fn a_task_that_waits_for_approval_still_does_after_a_restart() {
    let sshd = Sshd::start();
    let (mut app, instance) = on(&sshd, App::builder()).await;
    let (_, password) = app.add_user("ann", "operator", &[]).await;
    assert_eq!(
        change(&app.client(), instance, json!({"approval": true})).await,
        200
    );
    let task = post(&app.client(), instance, "echo ran").await;
    app.restart().await;
    let ann = app.as_user("ann", &password);
    let still = ann
        .get(&format!("/wsexec/tasks/{}", id(&task)))
        .await
        .json();
    assert_eq!(still["task"]["state"], "INIT");
    assert_eq!(decide(&ann, id(&task), "approve").await.0, 200);
    assert_eq!(app.wait_ended(id(&task)).await["stdout"], "ran\n");
}
