//! What a task's page says of how it ended, and how somebody amends that.

use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::people::Person;
use crate::harness::sshd::{self, Sshd};
use serde_json::{Value, json};

async fn machine() -> (Sshd, App, i64) {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    (sshd, app, instance)
}

async fn task(app: &App, id: i64) -> Value {
    let reply = app.client().get(&format!("/wsexec/tasks/{id}")).await;
    reply.json()["task"].clone()
}

async fn ran(app: &App, instance: i64, script: &str) -> i64 {
    let task = app.run(instance, &sshd::user(), script).await;
    task["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn an_exit_is_told_in_plain_words() {
    let (_sshd, app, instance) = machine().await;
    let visitor = Visitor::logged_in(&app).await;
    let good = ran(&app, instance, "true").await;
    let bad = ran(&app, instance, "exit 7").await;
    let good = visitor.read(&format!("/tasks/{good}")).await;
    assert!(good.contains("says that it succeeded"), "{good}");
    let bad = visitor.read(&format!("/tasks/{bad}")).await;
    assert!(
        bad.contains("says that something failed: exit code 7."),
        "{bad}"
    );
    assert!(!bad.contains("succeeded"), "{bad}");
}

#[tokio::test]
async fn tasks_are_listed_by_how_they_ended() {
    let (_sshd, app, instance) = machine().await;
    let visitor = Visitor::logged_in(&app).await;
    let good = ran(&app, instance, "true").await;
    let bad = ran(&app, instance, "exit 7").await;
    let lost = app.declare("host.invalid", 22).await;
    let lost = ran(&app, lost, "true").await;
    let stopped =
        json!({"name": "n", "instance": instance, "user": sshd::user(), "script": "sleep 600"});
    let stopped = app.post_task(stopped).await["id"].as_i64().expect("an id");
    let abort = json!({"state": "ABORT"});
    let path = format!("/wsexec/tasks/{stopped}");
    app.client().put(&path, &abort).await;
    app.wait_ended(stopped).await;
    for (fate, id) in [
        ("succeeded", good),
        ("failed", bad),
        ("aborted", lost),
        ("cancelled", stopped),
    ] {
        let path = format!("/wsexec/tasks?output=none&fate={fate}");
        let found = app.client().get(&path).await.json();
        let ids: Vec<_> = found["tasks"].as_array().expect("tasks").iter().collect();
        assert_eq!(ids.len(), 1, "{fate}: {found:#}");
        assert_eq!(ids[0]["id"], id, "{fate}");
        let page = visitor.read(&format!("/tasks?fate={fate}")).await;
        let (_, list) = page.split_once("<tbody>").expect("a list");
        assert_eq!(list.matches("<tr>").count(), 1, "{fate}: {list}");
        assert!(
            list.contains(&format!("href=\"/tasks/{id}\"")),
            "{fate}: {list}"
        );
        let chosen = format!("<option value=\"{fate}\" selected>");
        assert!(page.contains(&chosen), "{page}");
    }
    assert_eq!(visitor.get("/tasks?fate=sealed").await.status, 400);
}

#[tokio::test]
async fn attempts_that_could_not_begin_are_on_the_page_of_their_task() {
    let app = App::start().await;
    let instance = app.declare("host.invalid", 22).await;
    let visitor = Visitor::logged_in(&app).await;
    let task = json!({"name": "n", "instance": instance, "user": "deploy", "script": "true",
        "retries": 2, "retry_delay": 0});
    let id = app.post_task(task).await["id"].as_i64().expect("an id");
    assert_eq!(app.wait_ended(id).await["attempt"], 3);
    let page = visitor.read(&format!("/tasks/{id}")).await;
    let (_, list) = page.split_once("id=\"attempts\"").expect("the attempts");
    let list = list.split("</ol>").next().expect("a list");
    for part in [">#1<", ">#2<", "unreachable", "host.invalid"] {
        assert!(list.contains(part), "{part}: {list}");
    }
    assert!(!list.contains(">#3<"), "{list}");
    let once = json!({"name": "n", "instance": instance, "user": "deploy", "script": "true"});
    let id = app.post_task(once).await["id"].as_i64().expect("an id");
    app.wait_ended(id).await;
    let page = visitor.read(&format!("/tasks/{id}")).await;
    assert!(!page.contains("id=\"attempts\""), "{page}");
}

#[tokio::test]
async fn a_result_is_amended_on_a_page_and_the_second_of_two_tabs_overwrites_nothing() {
    let (_sshd, app, instance) = machine().await;
    let visitor = Visitor::logged_in(&app).await;
    let id = ran(&app, instance, "echo what ran; exit 3").await;
    let shown = visitor.read(&format!("/tasks/{id}")).await;
    let path = format!("/tasks/{id}/amend");
    assert!(shown.contains(&format!("href=\"{path}\"")), "{shown}");
    let form = visitor.read(&path).await;
    let version = hidden(&form, "version");
    assert!(form.contains("id=\"rc\" name=\"rc\" value=\"3\""), "{form}");
    let name = task(&app, id).await["name"].clone();
    let name = name.as_str().expect("a name");

    // What is wrong is said beside its field, and what was typed stays.
    let typed = |rc, stdout| {
        [
            ("version", version.as_str()),
            ("name", name),
            ("tag", "looked into\r\nby hand"),
            ("rc", rc),
            ("stdout", stdout),
        ]
    };
    let refused = visitor.submit(&path, &typed("none", "typed")).await;
    let page = refused.text();
    assert_eq!(refused.status, 400, "{page}");
    for part in ["id=\"rc-wrong\"", "href=\"#rc\"", "typed</textarea>"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(task(&app, id).await["amended"], false);

    let saved = visitor.submit(&path, &typed("0", "fixed\r\n")).await;
    assert_eq!(saved.status, 303, "{}", saved.text());
    let now = task(&app, id).await;
    assert_eq!(
        (&now["rc"], &now["stdout"], &now["tag"], &now["name"]),
        (
            &json!(0),
            &json!("fixed\n"),
            &json!("looked into\nby hand"),
            &json!(name)
        )
    );
    let raw = format!("/wsexec/tasks/{id}/stdout");
    assert_eq!(app.client().get(&raw).await.text(), "what ran\n");

    // The other tab has the version of before: it is told, and shown what is there now.
    let late = visitor.submit(&path, &typed("9", "too late")).await;
    let page = late.text();
    assert_eq!(late.status, 412, "{page}");
    assert!(page.contains("Somebody else changed this"), "{page}");
    assert!(page.contains("Exit code now</dt><dd>0</dd>"), "{page}");
    assert_eq!(task(&app, id).await["rc"], 0);
    // Saved again it is a decision; nothing that was left empty changes.
    let again = hidden(&page, "version");
    let fields = [("version", &*again), ("name", name), ("rc", "")];
    assert_eq!(visitor.submit(&path, &fields).await.status, 303);
    let now = task(&app, id).await;
    assert_eq!(
        (&now["rc"], &now["stdout"], &now["tag"]),
        (&Value::Null, &json!("fixed\n"), &json!(""))
    );
}

#[tokio::test]
async fn an_amendment_that_was_sent_after_the_login_was_over_is_kept() {
    let app = App::start().await;
    let instance = app.declare("127.0.0.1", 1).await;
    let id = ran(&app, instance, "true").await;
    let visitor = Visitor::logged_in(&app).await;
    let path = format!("/tasks/{id}/amend");
    let version = hidden(&visitor.read(&path).await, "version");
    Visitor::logged_in(&app)
        .await
        .submit("/account/end_others", &[])
        .await;
    let fields = [("version", &*version), ("name", "n"), ("stdout", "by hand")];
    let lost = visitor.submit(&path, &fields).await;
    assert_eq!(lost.status, 401, "{}", lost.text());
    assert!(lost.text().contains("by hand"), "{}", lost.text());
    let pin = visitor.submit(&format!("/tasks/{id}/pin"), &[]).await;
    let back = pin.header("location");
    assert!(back.ends_with(&format!("%2Ftasks%2F{id}")), "{back}");
}

#[tokio::test]
async fn nobody_is_offered_to_amend_what_runs_or_is_not_theirs() {
    let (_sshd, app, instance) = machine().await;
    let admin = Visitor::logged_in(&app).await;
    let id = ran(&app, instance, "true").await;
    let viewer = Person::add(&app, "vera", json!({"role": "viewer"})).await;
    let mut visitor = Visitor::of(&app);
    visitor.log_in("vera", &viewer.password, "/").await;
    let page = visitor.read(&format!("/tasks/{id}")).await;
    assert!(!page.contains("/amend"), "{page}");
    let path = format!("/tasks/{id}/amend");
    assert_eq!(visitor.get(&path).await.status, 403);

    let long =
        json!({"name": "n", "instance": instance, "user": sshd::user(), "script": "sleep 600"});
    let id = app.post_task(long).await["id"].as_i64().expect("an id");
    let page = admin.read(&format!("/tasks/{id}")).await;
    assert!(!page.contains("/amend"), "{page}");
    let early = admin.get(&format!("/tasks/{id}/amend")).await;
    assert_eq!(early.status, 409);
    assert!(early.text().contains("only after the task has ended"));
    admin.submit(&format!("/tasks/{id}/cancel"), &[]).await;
    app.wait_ended(id).await;
}

#[tokio::test]
async fn when_a_watched_task_ends_its_page_reads_as_it_does_on_reload() {
    let (sshd, app, instance) = machine().await;
    let go = sshd.dir().join("go");
    let script = format!("while [ ! -e {} ]; do sleep 0.1; done", go.display());
    let new = json!({"name": "n", "instance": instance, "user": sshd::user(), "script": script});
    let id = app.post_task(new).await["id"].as_i64().expect("an id");
    app.wait_until(id, |it| it["state"] == "CURRENT").await;
    let browser = Browser::of(&app).await;
    browser.log_in(&app).await;
    browser.open(&format!("/tasks/{id}")).await;
    browser.wait_text("#live", "Live").await;
    std::fs::write(&go, "").expect("a file");
    browser.wait_text("#live", "ended").await;
    browser.wait_text("#facts", "succeeded").await;
    // In the reader's zone and way of writing, with the exact instant at hand.
    let times = "return [...document.querySelectorAll('#facts time')].map(it => /^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d UTC$/.test(it.title) && it.textContent !== it.title)";
    assert_eq!(browser.eval(times).await, json!([true, true, true]));
    // Each says that nothing came, and no line of the page lies over another.
    let said = "return [...document.querySelectorAll('pre.output')].map(it => getComputedStyle(it, '::before').content)";
    assert_eq!(
        browser.eval(said).await,
        json!(["\"Nothing.\"", "\"Nothing.\""])
    );
    let apart = "const below = document.querySelector('.stream h3').getBoundingClientRect().top; return document.getElementById('live').getBoundingClientRect().bottom <= below;";
    assert_eq!(browser.eval(apart).await, true);
}
