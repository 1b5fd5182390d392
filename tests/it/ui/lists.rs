//! The lists: narrowed, ordered and paged by their address, and the same act on many things.

use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::people::Person;
use rusqlite::Connection;
use serde_json::{Value, json};

async fn post(app: &App, instance: i64, name: &str) -> i64 {
    let task =
        json!({"name": name, "tag": "t", "instance": instance, "user": "deploy", "script": "true"});
    let task = app.post_task(task).await;
    task["id"].as_i64().expect("an id")
}

/// Tasks wait here for a second person, and so until somebody cancels them.
const ALL_WAIT: &str = "[approvals]\nrequired = [\"deploy@*\"]";

async fn tasks(app: &App) -> Vec<Value> {
    let list = app.client().get("/wsexec/tasks?output=none").await.json();
    list["tasks"].as_array().expect("tasks").clone()
}

fn fields<'a>(act: &'a str, key: &'a str, ids: &'a [String]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![("do", act), ("key", key)];
    fields.extend(ids.iter().map(|id| ("id", id.as_str())));
    fields
}

fn texts(ids: &[i64]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn link(page: &str, rel: &str) -> String {
    let begin = format!("rel=\"{rel}\" href=\"");
    let rest = page.split_once(&begin).expect("a link").1;
    let path = rest.split_once('"').expect("an end").0;
    path.replace("&#38;", "&")
}

#[tokio::test]
async fn each_list_is_narrowed_ordered_and_paged_by_its_address_and_says_when_nothing_matches() {
    let app = App::builder()
        .env("WSEXEC_MASTER_KEY", wsexec::vault::generate().expose())
        .start()
        .await;
    let visitor = Visitor::logged_in(&app).await;
    for (path, first) in [
        ("/tasks", "There is no task here yet."),
        ("/instances", "There is no instance here."),
        ("/identities", "There is no identity yet"),
    ] {
        let page = visitor.read(path).await;
        assert!(
            page.contains(first) && !page.contains("Clear the filters"),
            "{path}"
        );
    }
    for n in 0..55 {
        app.declare(&format!("web-{n:02}.invalid"), 1).await;
    }
    for name in ["alpha", "beta"] {
        let identity = json!({"name": name, "kind": "ssh_key"});
        let made = app.client().post("/wsexec/identities", &identity).await;
        assert_eq!(made.status, 201, "{}", made.text());
        app.add_user(&format!("user-{name}"), "viewer", &[]).await;
    }
    post(&app, 1, "one").await;
    post(&app, 2, "two").await;

    let page = visitor.read("/instances?order=desc").await;
    assert!(page.contains("web-54.") && page.contains("web-05.") && !page.contains("web-04."));
    let rest = visitor.read(&link(&page, "next")).await;
    assert!(rest.contains("web-04.") && rest.contains("web-00.") && !rest.contains("web-05."));
    assert!(
        rest.contains("<a href=\"/instances?order=desc\">First</a>"),
        "{rest}"
    );
    assert!(visitor.read(&link(&rest, "prev")).await.contains("web-54."));

    for (path, there, gone) in [
        ("/tasks?name=one", ">one<", ">two<"),
        ("/tasks?instance=2&user=deploy&tag=t", ">two<", ">one<"),
        ("/instances?ip=web-07.invalid", "web-07.", "web-08."),
        ("/instances?state=ACTIVE&q=web-1", "web-12.", "web-21."),
        ("/users?q=BETA", "user-beta", "user-alpha"),
        ("/users?role=admin&login=yes", ">admin<", "user-alpha"),
        ("/identities?q=alp&kind=ssh_key", "alpha", "beta"),
        (
            "/audit?action=user.*&order=asc",
            "user.create",
            "task.create",
        ),
    ] {
        let page = visitor.read(path).await;
        let main = page
            .split_once("<tbody>")
            .unwrap_or_else(|| panic!("{path}: {page}"))
            .1;
        assert!(
            main.contains(there) && !main.contains(gone),
            "{path}: {main}"
        );
    }
    for path in [
        "/tasks?tag=none",
        "/instances?state=DEACTIVATE",
        "/users?q=nobody",
        "/identities?kind=secret",
        "/audit?by=nobody",
    ] {
        let page = visitor.read(path).await;
        assert!(
            page.contains("matches.") && page.contains(">Clear the filters</a>"),
            "{path}"
        );
    }
    for path in ["/tasks", "/instances", "/users", "/identities", "/audit"] {
        assert_eq!(visitor.get(&format!("{path}?order=up")).await.status, 400);
    }
    for path in [
        "/tasks?before=x",
        "/users?role=king",
        "/identities?kind=x",
        "/users?login=x",
    ] {
        assert_eq!(visitor.get(path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn many_tasks_are_run_again_once_each_however_often_the_form_is_sent() {
    let app = App::builder()
        .config("[ssh]\nconnect_timeout = 1")
        .start()
        .await;
    let visitor = Visitor::logged_in(&app).await;
    let instance = app.declare("web.invalid", 1).await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(post(&app, instance, name).await);
    }
    let ids = texts(&ids);
    let query = ids.iter().map(|id| format!("&id={id}")).collect::<String>();
    let asked = visitor
        .read(&format!("/tasks/bulk?do=rerun{query}&id=98765"))
        .await;
    assert!(asked.contains("Run them again (3)") && asked.contains("Left out"));
    assert_eq!(tasks(&app).await.len(), 3, "nothing is done by looking");
    let key = hidden(&asked, "key");
    let sent = fields("rerun", &key, &ids);
    let (one, other) = tokio::join!(
        visitor.submit("/tasks/bulk", &sent),
        visitor.submit("/tasks/bulk", &sent)
    );
    for reply in [&one, &other] {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(
            reply.text().contains("3 done · 0 refused"),
            "{}",
            reply.text()
        );
        assert!(reply.text().contains("<a href=\"/tasks/6\">Task 6</a>"));
    }
    assert_eq!(tasks(&app).await.len(), 6);

    // Without the token of the session nothing is done.
    let forged = visitor
        .submit_bare(visitor.origin(), "/tasks/bulk", &sent)
        .await;
    assert_eq!(forged.status, 403);
    let many: Vec<String> = (1..=201).map(|id| id.to_string()).collect();
    let refused = visitor
        .submit("/tasks/bulk", &fields("rerun", &key, &many))
        .await;
    assert_eq!(refused.status, 400);
    let unknown = visitor
        .submit("/tasks/bulk", &fields("delete", &key, &ids))
        .await;
    assert_eq!(unknown.status, 400);
    assert_eq!(tasks(&app).await.len(), 6);
}

#[tokio::test]
async fn an_act_on_many_things_is_judged_for_each_as_if_it_were_alone() {
    let app = App::builder().config(ALL_WAIT).start().await;
    let ours = app.declare("web-1.invalid", 1).await;
    let theirs = app.declare("db-1.invalid", 1).await;
    let admins = post(&app, ours, "admins").await;
    let secret = post(&app, theirs, "secret").await;
    let (runner, password) = app.add_user("rob", "runner", &["*@web-*"]).await;
    let own = json!({"name": "robs", "instance": ours, "user": "deploy", "script": "true"});
    let own = runner.post("/wsexec/tasks", &own).await.json()["task"]["id"].as_i64();
    let ids = texts(&[own.expect("an id"), admins, secret]);
    let mut rob = Visitor::of(&app);
    rob.log_in("rob", &password, "/").await;
    let done = rob
        .submit("/tasks/bulk", &fields("cancel", "k", &ids))
        .await;
    let page = done.text();
    assert_eq!(done.status, 200, "{page}");
    assert!(page.contains("1 done · 2 refused"), "{page}");
    assert!(page.contains("Your role or scope does not allow this."));
    assert!(page.contains("There is no such task.") && !page.contains(">secret<"));
    let states: Vec<Value> = tasks(&app)
        .await
        .iter()
        .map(|it| it["state"].clone())
        .collect();
    assert_eq!(states, ["INIT", "INIT", "ABORT"]);
    assert_eq!(rob.get("/instances/bulk?do=deactivate").await.status, 403);

    let (_, password) = app.add_user("olga", "operator", &["*@web-*"]).await;
    let mut olga = Visitor::of(&app);
    olga.log_in("olga", &password, "/").await;
    let ids = texts(&[ours, theirs]);
    let asked = olga
        .read(&format!(
            "/instances/bulk?do=deactivate&id={ours}&id={theirs}"
        ))
        .await;
    assert!(
        asked.contains("Deactivate them (1)") && !asked.contains("db-1"),
        "{asked}"
    );
    let page = olga
        .submit("/instances/bulk", &fields("deactivate", "", &ids))
        .await;
    assert!(
        page.text().contains("1 done · 1 refused"),
        "{}",
        page.text()
    );
    let state = async |id: i64| {
        let read = app.client().get(&format!("/wsexec/instances/{id}")).await;
        read.json()["instance"]["state"].clone()
    };
    assert_eq!(state(ours).await, "DEACTIVATE");
    assert_eq!(state(theirs).await, "ACTIVE");
    let back = olga
        .submit("/instances/bulk", &fields("activate", "", &ids))
        .await;
    assert!(
        back.text().contains("1 done · 1 refused"),
        "{}",
        back.text()
    );
    assert_eq!(state(ours).await, "ACTIVE");
}

#[tokio::test]
async fn a_reader_picks_all_of_a_page_and_cancels_them_in_a_browser() {
    let app = App::builder().config(ALL_WAIT).start().await;
    let instance = app.declare("web.invalid", 1).await;
    let longest = "long ".repeat(40);
    for name in [
        "one",
        "two",
        longest.trim_end(),
        "</td><script>alert(1)</script>",
    ] {
        post(&app, instance, name).await;
    }
    for n in 0..60 {
        let task = json!({"name": format!("nightly {n}"), "tag": "backup of the database", "instance": instance, "user": "deploy", "script": "true"});
        app.post_task(task).await;
    }
    let browser = Browser::of(&app).await;
    browser.log_in(&app).await;
    for (name, width) in [("desktop", 1280), ("phone", 360)] {
        for dark in [false, true] {
            for (page, path) in [
                ("tasks", "/tasks"),
                ("instances", "/instances"),
                ("users", "/users"),
                ("audit", "/audit"),
                ("identities", "/identities"),
                ("bulk", "/tasks/bulk?do=cancel&id=1&id=2&id=3&id=4&id=99"),
            ] {
                browser.open(path).await;
                browser.look(width, dark).await;
                let over = browser
                    .eval("return document.documentElement.scrollWidth - innerWidth")
                    .await;
                assert!(
                    over.as_i64().unwrap() <= 0,
                    "{page} {name}: {over} px too wide"
                );
                browser
                    .shot(&format!(
                        "{page}-{name}-{}",
                        if dark { "dark" } else { "light" }
                    ))
                    .await;
            }
        }
    }
    browser.look(1280, false).await;
    browser.open("/tasks?order=asc&q=o").await;
    browser.click("input[data-all]").await;
    let picked = browser
        .eval("return document.querySelectorAll('input[name=id]:checked').length")
        .await;
    assert!(picked.as_u64().unwrap() >= 3, "{picked}");
    browser.click("tbody tr:first-child input[name=id]").await;
    let half = browser
        .eval("return document.querySelector('input[data-all]').indeterminate")
        .await;
    assert_eq!(half, true);
    browser.click("tbody tr:first-child input[name=id]").await;
    browser.click("button[value=cancel]").await;
    browser.wait_text("h1", "Cancel these tasks?").await;
    browser.click("main form button").await;
    browser.wait_text("h1", "Tasks cancelled").await;
    browser
        .wait_text("[role=status]", &format!("{picked} done"))
        .await;
    browser.shot("bulk-done").await;
}

#[tokio::test]
async fn a_search_of_a_long_history_answers_soon_and_goes_on_by_links() {
    const MANY: i64 = 200_000;
    let app = App::start().await;
    let instance = app.declare("192.0.2.1", 22).await;
    let task =
        json!({"name": "the needle abcd", "instance": instance, "user": "nobody", "script": "id"});
    let needle = app.post_task(task).await["id"].as_i64().expect("an id");
    let reply = app
        .client()
        .put(
            &format!("/wsexec/tasks/{needle}"),
            &json!({"state": "ABORT"}),
        )
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    app.wait_ended(needle).await;
    let store = Connection::open(app.data().join("wsexec.db")).expect("the store");
    store
        .busy_timeout(std::time::Duration::from_secs(10))
        .expect("a setting");
    let copy = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
        INSERT INTO tasks (name, tag, instance, script, user, state, outcome, created, created_by)
        SELECT 'hay abc bcd ' || n, '', instance, script, user, state, outcome, created, created_by
        FROM n, tasks WHERE id = ?2";
    store.execute(copy, [MANY, needle]).expect("tasks");
    let mut visitor = Visitor::logged_in(&app).await;
    let find = async |visitor: &Visitor, path: &str| {
        let (mut path, mut pages) = (path.to_owned(), 0);
        loop {
            let page = visitor.read(&path).await;
            pages += 1;
            if page.contains(&format!("href=\"/tasks/{needle}\"")) {
                return pages;
            }
            assert!(
                page.contains("there is more to look through"),
                "{path}: {page}"
            );
            let next = page.split("rel=\"next\" href=\"").nth(1).expect("a way on");
            path = next
                .split('"')
                .next()
                .expect("it ends")
                .replace("&#38;", "&");
        }
    };
    // The index of texts leads to it at once; where all have its pieces, each has to be looked at.
    assert_eq!(find(&visitor, "/tasks?q=needle").await, 1);
    let pages = find(&visitor, "/tasks?q=abcd").await;
    assert!((2..=51).contains(&pages), "{pages} pages");
    // Who sees nothing is told so without a look at the others.
    let olga = Person::add(
        &app,
        "olga",
        json!({"role": "viewer", "scope": ["other@*"]}),
    )
    .await;
    visitor = Visitor::of(&app);
    visitor.log_in("olga", &olga.password, "/").await;
    let page = visitor.read("/tasks").await;
    assert!(
        !page.contains("there is more to look through") && !page.contains("hay"),
        "{page}"
    );
    // The API looks through all of it.
    let found = app.client().get("/wsexec/tasks?q=abcd").await.json();
    assert_eq!(found["tasks"][0]["id"], needle);
}
