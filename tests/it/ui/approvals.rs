//! The second person at the page of a task, in a browser.

use super::account::age_confirmations;
use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::client::Client;
use crate::harness::people::Person;
use crate::harness::sshd::{Sshd, user};
use serde_json::{Value, json};

async fn post(client: &Client, instance: i64, script: &str) -> i64 {
    let task = json!({"name": "test", "instance": instance, "user": user(), "script": script});
    let reply = client.post("/wsexec/tasks", &task).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["task"]["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn a_second_person_approves_and_refuses_in_a_browser_once_they_have_confirmed_who_they_are() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let admin = app.client();
    let new = json!({"ip": "127.0.0.1", "port": sshd.port(), "approval": true});
    let reply = admin.post("/wsexec/instances", &new).await;
    let instance = reply.json()["instance"]["id"].as_i64().expect("an id");
    let ann = Person::add(&app, "ann", json!({"role": "operator"})).await;
    let mark = |name: &str| sshd.dir().join(name);
    let script = |name: &str| format!("touch {}; echo ran", mark(name).display());
    let good = post(&ann.client(&app), instance, &script("good")).await;
    let bad = post(&ann.client(&app), instance, &script("bad")).await;

    // Nobody decides about their own, whatever they come by.
    let (_, by_token) = ann.token(&app, json!({"name": "t"})).await;
    let (_, in_session) = ann.session(&app).await;
    let approve = json!({"decision": "approve"});
    let path = format!("/wsexec/tasks/{good}/approval");
    for client in [&ann.client(&app), &by_token, &in_session] {
        let reply = client.put(&path, &approve).await;
        assert_eq!(reply.status, 403, "{}", reply.text());
    }
    let page = in_session.get(&format!("/tasks/{good}")).await.text();
    assert!(page.contains("id=\"approval\"") && !page.contains("value=\"approve\""));

    let browser = Browser::of(&app).await;
    browser.log_in(&app).await;
    let waiting = "section[aria-labelledby=for-you]";
    let heading = "Tasks that need a second person";
    browser.wait_text(waiting, heading).await;
    browser.wait_text(".tiles .call", "2").await;
    browser
        .click(&format!("{waiting} a[href='/tasks/{good}']"))
        .await;
    let where_to = format!("[127.0.0.1]:{}", sshd.port());
    browser.wait_text("#approval", &where_to).await;
    browser.wait_text("#approval", &user()).await;
    browser.wait_text("main", "touch ").await;
    age_confirmations(&app);
    browser.fill("#comment", "looked at it").await;
    browser.click("button[value=approve]").await;
    browser.wait_text("h1", "Confirm who you are").await;
    browser.wait_text("main", "Nothing was done yet").await;
    let still = admin.get(&path).await.json();
    assert_eq!(still["task"]["approval"]["state"], "waiting");
    browser.fill("#password", app.admin_password()).await;
    browser.click("main button").await;
    browser.wait_text("#approval", &where_to).await;
    assert_eq!(browser.path().await, format!("/tasks/{good}"));
    browser.fill("#comment", "looked at it").await;
    browser.click("button[value=approve]").await;
    browser.wait_text("#approval", "Approved").await;
    browser.wait_text("#stdout", "ran").await;
    browser.wait_text("#approval", "by admin").await;
    browser.wait_text("#approval", "looked at it").await;
    assert!(mark("good").exists());

    browser.open(&format!("/tasks/{bad}")).await;
    browser.fill("#comment", "not <b>this</b>").await;
    browser.click("button[value=refuse]").await;
    browser.wait_text("#approval", "Refused").await;
    browser.wait_text("#facts", "ABORT").await;
    browser
        .wait_text("#facts", "Refused by admin: not <b>this</b>")
        .await;
    assert!(!mark("bad").exists());

    // Who, what, where, and what they said.
    let trail = admin.get("/wsexec/audit?action=approval.*").await.json();
    let trail = trail["audit"].as_array().expect("records");
    let told: Vec<_> = trail
        .iter()
        .map(|it| (&it["action"], &it["object"], &it["detail"]["comment"]))
        .collect();
    assert_eq!(
        told,
        [
            (
                &json!("approval.approve"),
                &json!(format!("task/{good}")),
                &json!("looked at it")
            ),
            (
                &json!("approval.refuse"),
                &json!(format!("task/{bad}")),
                &json!("not <b>this</b>")
            ),
        ],
        "{trail:#?}"
    );
    for record in trail {
        assert_eq!(record["by"], "admin", "{record:#}");
        assert_eq!(record["from"], "127.0.0.1", "{record:#}");
        assert!(record["via"].as_str().unwrap().starts_with("session/"));
        let detail: &Value = &record["detail"];
        assert_eq!(detail["created_by"], "ann", "{record:#}");
        assert_eq!(detail["instance"], instance, "{record:#}");
        assert_eq!(detail["user"], user(), "{record:#}");
        assert_eq!(detail["address"], where_to, "{record:#}");
        let hash = detail["script_sha256"].as_str().unwrap_or_default();
        assert_eq!(hash.len(), 64, "{record:#}");
    }
}
