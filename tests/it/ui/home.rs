//! The overview: what is to be seen at a glance, by whom.

use super::visitor::Visitor;
use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::sshd::{self, Sshd};
use rusqlite::{Connection, params};
use serde_json::json;

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs().cast_signed()
}

fn store(app: &App) -> Connection {
    let store = Connection::open(app.data().join("wsexec.db")).expect("the store");
    store
        .busy_timeout(std::time::Duration::from_secs(10))
        .unwrap();
    store
}

/// A task that ended so long ago, as the server would have left it.
fn ended(
    store: &Connection,
    instance: i64,
    user: &str,
    (ago, took): (i64, i64),
    how: (&str, &str, Option<i64>),
) -> i64 {
    let end = now() - ago;
    let (state, outcome, rc) = how;
    store
        .prepare_cached(
            "INSERT INTO tasks (name, tag, instance, script, user, state, outcome, rc, created, created_by, start, \"end\")
             VALUES (?1, '', ?2, 'true', ?3, ?4, ?5, ?6, ?7, 'admin', ?7, ?8)",
        )
        .unwrap()
        .execute(params![format!("{outcome} for {took}"), instance, user, state, outcome, rc, end - took, end])
        .unwrap();
    store.last_insert_rowid()
}

const GOOD: (&str, &str, Option<i64>) = ("DONE", "exited", Some(0));
const BAD: (&str, &str, Option<i64>) = ("DONE", "exited", Some(3));
const LOST: (&str, &str, Option<i64>) = ("ABORT", "unreachable", None);
const CANCELLED: (&str, &str, Option<i64>) = ("ABORT", "cancelled", None);

/// What the legend says of this fate.
fn counted(page: &str, fate: &str) -> u64 {
    let (before, _) = page
        .split_once(&format!("</strong> {fate}</li>"))
        .expect("a legend");
    let number = before.rsplit('>').next().unwrap();
    number.parse().expect("a number")
}

#[tokio::test]
async fn an_empty_server_says_what_to_do_first_and_crosses_off_what_is_done() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let visitor = Visitor::logged_in(&app).await;
    let done = |page: &str| page.matches("<li class=\"done\">").count();
    let page = visitor.read("/").await;
    assert!(page.contains("href=\"/instances/new\"") && page.contains("To begin with"));
    assert_eq!(done(&page), 0);
    assert!(
        !page.contains("href=\"/tasks/new\""),
        "nowhere to run it yet"
    );

    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let page = visitor.read("/").await;
    assert_eq!(done(&page), 1);
    assert!(page.contains(&format!("href=\"/instances/{instance}#host-key\"")));
    assert!(page.contains("href=\"/tasks/new\""));
    let user = sshd::user();
    let check = [("user", user.as_str())];
    let checked = visitor
        .submit(&format!("/instances/{instance}/check"), &check)
        .await;
    assert_eq!(checked.status, 200, "{}", checked.text());
    assert_eq!(done(&visitor.read("/").await), 2);
    app.run(instance, &sshd::user(), "true").await;
    let page = visitor.read("/").await;
    assert!(!page.contains("To begin with"));
    assert_eq!(counted(&page, "succeeded"), 1);
}

#[tokio::test]
async fn the_last_day_is_counted_by_fate_whatever_is_amended_or_removed_since() {
    let app = App::start().await;
    let instance = app.declare("web-1.invalid", 1).await;
    let visitor = Visitor::logged_in(&app).await;
    assert!(
        visitor
            .read("/")
            .await
            .contains("No task ended in the last 24 hours.")
    );
    let store = store(&app);
    for took in [2, 4, 250] {
        ended(&store, instance, "deploy", (5, took), GOOD);
    }
    let bad = ended(&store, instance, "deploy", (3_700, 9), BAD);
    let lost = ended(&store, instance, "deploy", (7_300, 9), LOST);
    ended(&store, instance, "deploy", (7_300, 9), CANCELLED);
    ended(&store, instance, "deploy", (90_000, 77), LOST);
    let page = visitor.read("/").await;
    let all =
        |page: &str| ["succeeded", "failed", "aborted", "cancelled"].map(|it| counted(page, it));
    assert_eq!(all(&page), [3, 1, 1, 1]);
    assert!(
        page.contains("<td>4 s</td><td>4 min 10 s</td>"),
        "median and p95"
    );
    assert!(page.contains("exited for 9") && page.contains("unreachable for 9"));
    assert!(!page.contains("cancelled for 9") && !page.contains("unreachable for 77"));
    assert!(page.contains("role=\"img\" aria-labelledby=\"ended-title ended-text\""));
    assert!(page.len() < 50_000, "{} bytes", page.len());

    let client = app.client();
    let amended = client
        .put(&format!("/wsexec/tasks/{bad}"), &json!({"rc": 0}))
        .await;
    assert_eq!(amended.status, 200, "{}", amended.text());
    let removed = client.delete(&format!("/wsexec/tasks/{lost}")).await;
    assert_eq!(removed.status, 200, "{}", removed.text());
    assert_eq!(all(&visitor.read("/").await), [4, 0, 0, 1]);
}

#[tokio::test]
async fn everybody_sees_what_is_in_their_scope_and_what_waits_for_them() {
    let app = App::builder()
        .config("[approvals]\nrequired = [\"root@*\"]")
        .start()
        .await;
    let ours = app.declare("web-1.invalid", 1).await;
    let theirs = app.declare("db-1.invalid", 1).await;
    let (_, password) = app.add_user("ann", "operator", &["*@web-*"]).await;
    let (runner, runs) = app.add_user("rob", "runner", &[]).await;
    let store = store(&app);
    ended(&store, ours, "deploy", (5, 1), BAD);
    for _ in 0..3 {
        ended(&store, theirs, "deploy", (5, 1), LOST);
    }
    let fail =
        "INSERT INTO instance_health (instance, error, error_at) VALUES (?1, ?2, unixepoch())";
    store
        .execute(fail, params![ours, "no route to ours"])
        .unwrap();
    store
        .execute(fail, params![theirs, "no route to theirs"])
        .unwrap();
    let shown = "UPDATE instances SET shown_algorithm = 'ssh-ed25519', shown_base64 = 'AAAA', shown_fingerprint = 'SHA256:x', shown_at = unixepoch()";
    store.execute(shown, []).unwrap();
    for instance in [ours, theirs] {
        let task = json!({"name": format!("asks {instance}"), "instance": instance, "user": "root", "script": "true"});
        let reply = runner.post("/wsexec/tasks", &task).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }

    let mut ann = Visitor::of(&app);
    ann.log_in("ann", &password, "/").await;
    let page = ann.read("/").await;
    assert_eq!(
        (counted(&page, "failed"), counted(&page, "aborted")),
        (1, 0)
    );
    assert!(page.contains("no route to ours") && !page.contains("no route to theirs"));
    assert!(page.contains(&format!("asks {ours}")) && !page.contains(&format!("asks {theirs}")));
    assert!(page.contains("Host keys to review") && !page.contains("db-1.invalid"));
    assert!(
        page.contains("<strong>2</strong> waiting for you"),
        "{page}"
    );

    let mut rob = Visitor::of(&app);
    rob.log_in("rob", &runs, "/").await;
    let page = rob.read("/").await;
    assert_eq!(
        (counted(&page, "failed"), counted(&page, "aborted")),
        (1, 3)
    );
    assert!(page.contains("Your own that wait for a second person: 2 tasks"));
    assert!(!page.contains("Host keys to review") && page.contains("Nothing waits for a decision"));
}

#[tokio::test]
async fn the_picture_is_drawn_in_a_browser_of_any_width_and_named_for_who_cannot_see_it() {
    let app = App::start().await;
    let instance = app.declare("web-1.invalid", 1).await;
    {
        let store = store(&app);
        let begin = store.unchecked_transaction().unwrap();
        for n in 0..900_i64 {
            let how = [GOOD, GOOD, GOOD, GOOD, GOOD, BAD, GOOD, LOST, CANCELLED][n as usize % 9];
            let ago = n * n % 86_000;
            ended(&begin, instance, "deploy", (ago, n * 7 % 500), how);
        }
        begin.commit().unwrap();
    }
    let browser = Browser::of(&app).await;
    browser.log_in(&app).await;
    let sizes = browser
        .eval("return [...document.querySelectorAll('.chart > svg')].map(it => [it.getBoundingClientRect().width, it.querySelectorAll('rect, .median').length])")
        .await;
    for picture in sizes.as_array().expect("two pictures") {
        assert!(picture[0].as_f64().unwrap() > 250.0, "{sizes}");
        assert!(picture[1].as_u64().unwrap() >= 20, "{sizes}");
    }
    let local = browser.text(".chart .hours").await;
    assert!(!local.contains("UTC"), "the reader's own hours: {local}");
    for (name, width) in [("desktop", 1280), ("phone", 360)] {
        for dark in [false, true] {
            browser.look(width, dark).await;
            let over = browser
                .eval("return document.documentElement.scrollWidth - innerWidth")
                .await;
            assert!(over.as_i64().unwrap() <= 0, "{name}: {over} px too wide");
            browser
                .shot(&format!(
                    "home-{name}-{}",
                    if dark { "dark" } else { "light" }
                ))
                .await;
        }
    }
}
