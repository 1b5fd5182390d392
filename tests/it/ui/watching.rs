//! Watching a task where the way to it, the server, the login or the task itself does not last.

use super::visitor::Visitor;
use crate::harness::app::{App, DEADLINE};
use crate::harness::browser::Browser;
use crate::harness::door::Door;
use crate::harness::sshd::{self, Sshd};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A server with a machine, and a way to it that can be cut.
struct World {
    _sshd: Sshd,
    app: App,
    door: Door,
    instance: i64,
}

impl World {
    async fn new() -> Self {
        let sshd = Sshd::start();
        let app = App::builder().identity(sshd.identity()).start().await;
        let door = Door::to(app.address()).await;
        let instance = app.declare("127.0.0.1", sshd.port()).await;
        Self {
            _sshd: sshd,
            app,
            door,
            instance,
        }
    }

    async fn post(&self, script: &str, mode: &str) -> i64 {
        let task = json!({
            "name": "watched", "instance": self.instance, "user": sshd::user(), "script": script,
            "mode": mode,
        });
        self.app.post_task(task).await["id"]
            .as_i64()
            .expect("an id")
    }

    /// A browser behind the door that looks at a task.
    async fn watch(&self, id: i64) -> Browser {
        let base = format!("https://127.0.0.1:{}", self.door.port());
        let browser = Browser::at(&self.app, base).await;
        browser.log_in(&self.app).await;
        browser.open(&format!("/tasks/{id}")).await;
        browser.wait_text("#live", "Live").await;
        browser
    }

    fn cut(&self) {
        self.door.lead_to(self.app.address());
    }

    /// From here on nothing gets through.
    fn shut(&self) {
        // Reserved and free: nobody listens there.
        self.door.lead_to("127.0.0.1:1".parse().unwrap());
    }

    async fn cancel(&self, id: i64) {
        let path = format!("/wsexec/tasks/{id}");
        let abort = json!({"state": "ABORT"});
        assert_eq!(self.app.client().put(&path, &abort).await.status, 200);
        self.app.wait_ended(id).await;
    }

    /// The output of an ended task by the API.
    async fn output(&self, id: i64) -> String {
        let task = self.app.wait_ended(id).await;
        task["stdout"].as_str().expect("a text").to_owned()
    }
}

/// Lines with colours and letters of several bytes, some of them in parts.
fn lines(count: u32) -> String {
    format!(
        "for i in $(seq {count}); do printf '\\033[3%dmligne ' $((i % 8)); echo \"été $i\"; echo $i >&2; sleep 0.02; done"
    )
}

/// What is left where colours are not shown.
fn plain(output: &str) -> String {
    let mut parts = output.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        all + part.split_once('m').expect("a colour").1
    })
}

async fn lines_in(browser: &Browser, pane: &str) -> u64 {
    let script = format!("return document.querySelectorAll('#{pane} .l').length");
    browser.eval(&script).await.as_u64().expect("a number")
}

#[tokio::test]
async fn a_page_behind_a_proxy_that_cuts_the_stream_has_each_line_once() {
    let world = World::new().await;
    let id = world.post(&lines(200), "attached").await;
    let browser = world.watch(id).await;
    for seen in [20, 60, 100, 140] {
        browser
            .wait_for("more lines", async || {
                lines_in(&browser, "stdout").await >= seen
            })
            .await;
        world.cut();
    }
    let output = world.output(id).await;
    browser.wait_text("#facts", "DONE").await;
    // The state is asked for by itself, and may come before the last lines.
    browser.wait_text("#live", "The task has ended").await;
    assert_eq!(browser.content("#stdout").await, plain(&output));
    let numbers: String = (1..=200).map(|n| format!("{n}\n")).collect();
    assert_eq!(browser.content("#stderr").await, numbers);
    assert_eq!(browser.text("#live").await, "The task has ended");
}

#[tokio::test]
async fn a_page_of_a_detached_run_has_each_line_once_over_restarts_of_the_server() {
    let mut world = World::new().await;
    let id = world.post(&lines(300), "detached").await;
    let browser = world.watch(id).await;
    for (seen, crash) in [(20, true), (100, false)] {
        browser
            .wait_for("more lines", async || {
                lines_in(&browser, "stdout").await >= seen
            })
            .await;
        if crash {
            world.app.kill9().await;
            browser.wait_text("#live", "trying again").await;
            world.app.start_again().await;
        } else {
            world.app.restart().await;
        }
        world.cut();
    }
    let output = world.output(id).await;
    browser.wait_text("#facts", "DONE").await;
    // The state is asked for by itself, and may come before the last lines.
    browser.wait_text("#live", "The task has ended").await;
    assert_eq!(browser.content("#stdout").await, plain(&output));
    assert_eq!(lines_in(&browser, "stdout").await, 300);
    assert_eq!(lines_in(&browser, "stderr").await, 300);
}

#[tokio::test]
async fn a_task_that_vanishes_while_it_is_watched_is_told_to_be_deleted() {
    let world = World::new().await;
    let id = world.post("echo begun; sleep 600", "attached").await;
    let browser = world.watch(id).await;
    browser.wait_text("#stdout", "begun").await;
    browser.wait_text("#facts", "Cancel").await;
    world.shut();
    browser.wait_text("#live", "trying again").await;
    world.cancel(id).await;
    let path = format!("/wsexec/tasks/{id}");
    assert_eq!(world.app.client().delete(&path).await.status, 200);
    world.cut();
    browser.wait_text("#live", "This task was deleted").await;
    // What was read stays readable; nothing can be done to it any more.
    assert_eq!(browser.content("#stdout").await, "begun\n");
    assert!(!browser.text("#facts").await.contains("Cancel"));
    // It asks no more.
    let asked = "return performance.getEntriesByType('resource').length";
    let before = browser.eval(asked).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(browser.eval(asked).await, before);
}

#[tokio::test]
async fn a_page_whose_session_ends_says_so_and_leads_back_to_where_it_was() {
    let world = World::new().await;
    let app = &world.app;
    let id = world.post("echo begun; sleep 600", "attached").await;
    let browser = world.watch(id).await;
    browser.open(&format!("/tasks/{id}?view=together")).await;
    browser.wait_text("#live", "Live").await;
    let sessions = app.client().get("/wsexec/sessions").await.json();
    for session in sessions["sessions"].as_array().expect("sessions") {
        let path = format!("/wsexec/sessions/{}", session["id"]);
        assert_eq!(app.client().delete(&path).await.status, 200);
    }
    browser.wait_text("#live", "You are logged out").await;
    assert_eq!(browser.content("#output pre").await, "begun\n");
    browser.click("#live a").await;
    browser.fill("#name", "admin").await;
    browser.fill("#password", app.admin_password()).await;
    browser.click("main button").await;
    browser.wait_text("#live", "Live").await;
    let view = "return location.pathname + location.search";
    assert_eq!(
        browser.eval(view).await,
        format!("/tasks/{id}?view=together")
    );
    world.cancel(id).await;
}

/// The events of a task's page, as the page asks for them.
async fn events(visitor: &Visitor, id: i64, last: &str) -> Response {
    let request = visitor
        .request(Method::GET, &format!("/tasks/{id}/events?view=apart"))
        .header("Last-Event-ID", last);
    timeout(DEADLINE, request.send())
        .await
        .expect("in time")
        .expect("an answer")
}

/// One event: its id, its name, its data.
type Event = (String, String, Value);

fn parse(text: &str) -> Vec<Event> {
    let blocks = text.split("\n\n").filter(|it| it.starts_with("id: "));
    let event = |block: &str| {
        let mut fields = block
            .lines()
            .map(|line| line.split_once(": ").expect("a field").1);
        let mut next = || fields.next().expect("three of them").to_owned();
        let (id, name, data) = (next(), next(), next());
        (id, name, serde_json::from_str(&data).expect("JSON"))
    };
    blocks.map(event).collect()
}

/// The rows that a page has after these events, as it puts them together.
fn rows(events: &[Event]) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for (_, _, data) in events.iter().filter(|it| it.1 == "rows") {
        let html = data["html"].as_str().expect("rows");
        for row in html.split_inclusive("\n</span>") {
            let id = row.split_once(" id=\"").expect("a name").1;
            rows.insert(
                id.split('"').next().expect("an end").to_owned(),
                row.to_owned(),
            );
        }
    }
    rows
}

#[tokio::test]
async fn events_resume_after_any_of_them_and_are_over_after_the_last() {
    let mut world = World::new().await;
    let script = lines(60) + "; printf 'no end'; head -c 9000 /dev/zero | tr '\\0' x";
    let id = world.post(&script, "attached").await;
    let mut visitor = Visitor::logged_in(&world.app).await;
    let response = events(&visitor, id, "0-0").await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let told = timeout(DEADLINE, response.text()).await.expect("in time");
    let all = parse(&told.expect("it ends as it should"));
    assert!(all.len() > 10, "live, and not at once: {}", all.len());
    assert_eq!(all.last().expect("events").1, "end");
    let whole = rows(&all);
    assert_eq!(whole.len(), 60 + 2 + 60, "{:?}", whole.keys());
    world.app.restart().await;
    visitor.move_to(&world.app);
    for (at, (last, ..)) in all.iter().enumerate() {
        let response = events(&visitor, id, last).await;
        if last == "end" {
            assert_eq!(response.status(), 204);
            continue;
        }
        let mut joined = all[..=at].to_vec();
        joined.extend(parse(&response.text().await.expect("the rest")));
        assert!(rows(&joined) == whole, "after {last}");
    }
    // What is no place begins anew; nobody was told more than there is.
    for (odd, expected) in [
        ("x", whole.len()),
        ("9-9-9", whole.len()),
        ("99999999-99999999", 2),
    ] {
        let response = events(&visitor, id, odd).await;
        assert_eq!(response.status(), 200, "{odd}");
        let rows = rows(&parse(&response.text().await.expect("a text")));
        assert!(rows.len() <= expected, "{odd}: {}", rows.len());
    }
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_there_before_a_proxy_loses_patience() {
    let world = World::new().await;
    let id = world.post("sleep 600", "attached").await;
    let visitor = Visitor::logged_in(&world.app).await;
    let mut response = events(&visitor, id, "0-0").await;
    let begin = Instant::now();
    let chunk = timeout(Duration::from_secs(15), response.chunk()).await;
    let chunk = chunk.expect("in time").expect("no error").expect("a chunk");
    assert!(chunk.starts_with(b":"), "{chunk:?}");
    assert!(begin.elapsed() > Duration::from_secs(5), "not all the time");
    world.cancel(id).await;
}

#[tokio::test]
async fn watchers_that_do_not_read_cost_little_and_hold_up_nobody() {
    let world = World::new().await;
    let app = &world.app;
    let gate = app.path("gate");
    let script = format!(
        "until test -e '{}'; do sleep 0.1; done; seq 300000; echo last",
        gate.display()
    );
    let id = world.post(&script, "attached").await;
    let mut visitor = Visitor::logged_in(app).await;
    let mut idle = Vec::new();
    for _ in 0..30 {
        idle.push(events(&visitor, id, "0-0").await);
    }
    // On a connection of its own: what is not read there is in nobody else's way.
    visitor.move_to(app);
    let reading = events(&visitor, id, "0-0").await;
    let before = app.rss_kib();
    std::fs::write(&gate, "").unwrap();
    let told = timeout(DEADLINE, reading.text()).await.expect("in time");
    let last = parse(&told.expect("a text"));
    assert_eq!(last.last().expect("events").1, "end");
    let grown = app.rss_kib().saturating_sub(before) / 1024;
    assert!(grown < 100, "{grown} MiB for 30 that do not read");
    // Whoever reads at last is led to the end all the same, once the others on their connection
    // have gone.
    idle.truncate(1);
    let late = timeout(DEADLINE, idle.remove(0).text())
        .await
        .expect("in time");
    let late = parse(&late.expect("a text"));
    let (_, _, data) = &late[late.len() - 2];
    assert!(data["html"].as_str().expect("rows").contains("></a>last\n"));
}

#[tokio::test]
async fn what_comes_live_is_in_the_language_of_its_reader() {
    let world = World::new().await;
    let script = "echo begun; read -r _ < \"$GO\"; head -c 2300 /dev/zero | tr '\\0' x; echo";
    let home = tempfile::TempDir::new().expect("a directory");
    let go = home.path().join("go");
    let made = std::process::Command::new("mkfifo").arg(&go).status();
    assert!(made.expect("mkfifo").success());
    let task = json!({
        "name": "watched", "instance": world.instance, "user": sshd::user(), "script": script,
        "env": {"GO": go},
    });
    let id = world.app.post_task(task).await["id"]
        .as_i64()
        .expect("an id");
    let browser = world.watch(id).await;
    browser.press("footer button[value=fr]").await;
    browser.wait_text("#stdout", "begun").await;
    browser.wait_text("#live", "En direct").await;
    let write = move || std::fs::write(go, "on\n");
    tokio::task::spawn_blocking(write)
        .await
        .expect("it ends")
        .expect("the script reads");
    browser.wait_text("#live", "La tâche est terminée").await;
    let total =
        browser.eval("return document.querySelector('[data-pane=stdout] .total').textContent");
    assert_eq!(total.await, "2,2 Kio");
}
