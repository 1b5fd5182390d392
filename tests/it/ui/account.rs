use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use crate::harness::browser::Browser;
use rusqlite::Connection;

/// Lets every session be one that was confirmed long ago.
pub fn age_confirmations(app: &App) {
    let store = Connection::open(app.data().join("wsexec.db")).expect("the store");
    store
        .busy_timeout(std::time::Duration::from_secs(10))
        .expect("a setting");
    let aged = store.execute("UPDATE sessions SET confirmed = confirmed - 601", []);
    assert!(aged.expect("it can be written") > 0);
}

fn between<'a>(page: &'a str, begin: &str, end: &str) -> &'a str {
    let rest = page.split_once(begin).expect("it begins").1;
    rest.split_once(end).expect("it ends").0.trim()
}

async fn add_user(visitor: &Visitor, name: &str, password: &str) -> String {
    let fields = [
        ("name", name),
        ("role", "runner"),
        ("scope", "deploy@web-*"),
        ("password", password),
    ];
    let reply = visitor.submit("/users/new", &fields).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    reply.header("location").to_owned()
}

fn password() -> String {
    wsexec::domain::random_token().expose().to_owned()
}

#[tokio::test]
async fn what_is_dangerous_leads_to_a_confirmation_and_back() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    visitor.read("/users/new").await;
    age_confirmations(&app);
    visitor.read("/tasks").await;
    let asked = visitor.get("/users/new").await;
    assert_eq!(
        (asked.status, asked.header("location")),
        (303, "/confirm?next=%2Fusers%2Fnew")
    );
    let sent = visitor.submit("/users/1/delete", &[("version", "1")]).await;
    assert_eq!(
        (sent.status, sent.header("location")),
        (303, "/confirm?next=%2Fusers%2F1&sent=yes")
    );
    let page = visitor.read(sent.header("location")).await;
    assert!(page.contains("Nothing was done yet"), "{page}");

    let wrong = [("password", "wrong"), ("next", "/users/new")];
    let reply = visitor.submit("/confirm", &wrong).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(visitor.get("/users/new").await.status, 303);
    let right = [("password", app.admin_password()), ("next", "/users/new")];
    let reply = visitor.submit("/confirm", &right).await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, "/users/new")
    );
    visitor.read("/users/new").await;
    let astray = [
        ("password", app.admin_password()),
        ("next", "//evil.example"),
    ];
    assert_eq!(
        visitor.submit("/confirm", &astray).await.header("location"),
        "/"
    );
}

#[tokio::test]
async fn the_api_says_that_a_session_has_to_be_confirmed_and_basic_need_not_be() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    age_confirmations(&app);
    let body = serde_json::json!({"name": "eve", "role": "runner", "password": password()});
    let request = app
        .anonymous()
        .request(reqwest::Method::POST, "/wsexec/users")
        .header("Cookie", visitor.cookie())
        .header("Origin", visitor.origin())
        .json(&body);
    let reply = crate::harness::client::send(request).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(reply.text().contains("Confirm who you are"));
    assert_eq!(app.client().post("/wsexec/users", &body).await.status, 201);
}

#[tokio::test]
async fn a_token_is_shown_once_lets_a_program_in_and_is_revoked() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let fields = [
        ("name", "ci <b>"),
        ("role", "viewer"),
        ("scope", "*@web-*"),
        ("days", "7"),
    ];
    let made = visitor.submit("/account/tokens/new", &fields).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let text = made.text();
    let token = between(
        &text,
        "<pre tabindex=\"0\" id=\"token\" class=\"command\">",
        "</pre>",
    );
    let ask = async || {
        let request = app
            .anonymous()
            .request(reqwest::Method::GET, "/wsexec/tasks");
        crate::harness::client::send(request.bearer_auth(token))
            .await
            .status
    };
    assert_eq!(ask().await, 200);
    let page = visitor.read("/account").await;
    assert!(!page.contains(token), "it is shown once");
    assert!(
        page.contains("ci &#60;b&#62;") && page.contains("*@web-*"),
        "{page}"
    );
    assert!(page.contains("from 127.0.0.1"), "{page}");

    for (field, value) in [("days", "9999"), ("scope", "nonsense"), ("name", "")] {
        let fields = fields.map(|(name, typed)| (name, if name == field { value } else { typed }));
        let reply = visitor.submit("/account/tokens/new", &fields).await;
        assert_eq!(reply.status, 400, "{field}: {}", reply.text());
        assert!(reply.text().contains("class=\"wrong\""), "{field}");
    }
    let tokens = between(&page, "<section id=\"tokens\">", "</section>");
    let id = hidden(tokens, "id");
    let reply = visitor
        .submit("/account/revoke_token", &[("id", &id)])
        .await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(ask().await, 401);
}

#[tokio::test]
async fn one_sees_ones_sessions_and_ends_them() {
    let app = App::start().await;
    let other = Visitor::logged_in(&app).await;
    let third = Visitor::logged_in(&app).await;
    let visitor = Visitor::logged_in(&app).await;
    let page = visitor.read("/account").await;
    assert_eq!(
        page.matches("class=\"this\"").count(),
        1,
        "this session is marked"
    );
    let sessions = between(&page, "<section id=\"sessions\">", "</section>");
    let id = hidden(sessions, "id");
    let reply = visitor.submit("/account/end_session", &[("id", &id)]).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(third.get("/tasks").await.status, 303);
    other.read("/tasks").await;
    visitor.submit("/account/end_others", &[]).await;
    assert_eq!(other.get("/tasks").await.status, 303);
    visitor.read("/tasks").await;
}

#[tokio::test]
async fn one_changes_ones_password_and_logs_in_anew() {
    let app = App::start().await;
    let mut visitor = Visitor::logged_in(&app).await;
    let new = password();
    let send = async |visitor: &Visitor, old: &str, new: &str, again: &str| {
        let fields = [("old", old), ("new", new), ("again", again)];
        visitor.submit("/account/password", &fields).await
    };
    let old = app.admin_password();
    for (old, new, again, field) in [
        ("wrong", &*new, &*new, "old"),
        (old, "short", "short", "new"),
        (old, "passwordpassword", "passwordpassword", "new"),
        (old, &*new, "other", "again"),
    ] {
        let reply = send(&visitor, old, new, again).await;
        assert_eq!(reply.status, 400, "{field}: {}", reply.text());
        assert!(
            reply.text().contains(&format!("id=\"{field}-wrong\"")),
            "{field}"
        );
        assert!(!reply.text().contains(&format!("value=\"{new}\"")));
    }
    let reply = send(&visitor, old, &new, &new).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(visitor.get("/tasks").await.status, 303);
    assert_eq!(visitor.log_in("admin", old, "/").await.status, 401);
    assert_eq!(visitor.log_in("admin", &new, "/").await.status, 303);
}

#[tokio::test]
async fn an_admin_adds_changes_disables_and_removes_a_user() {
    let app = App::start().await;
    let admin = Visitor::logged_in(&app).await;
    let first = password();
    let page = add_user(&admin, "ann", &first).await;
    let mut ann = Visitor::of(&app);
    assert_eq!(ann.log_in("ann", &first, "/").await.status, 303);
    for path in ["/users", "/users/new", &page] {
        assert_eq!(ann.get(path).await.status, 403, "{path}");
    }
    assert!(!ann.read("/").await.contains("href=\"/users\""));

    let shown = admin.read(&page).await;
    assert!(shown.contains("deploy@web-*"), "{shown}");
    let change = |page: &str, disabled| {
        let version = hidden(page, "version");
        vec![
            ("version".to_owned(), version),
            ("role".into(), "viewer".into()),
            ("scope".into(), String::new()),
            ("disabled".into(), disabled),
        ]
    };
    let submit = async |fields: Vec<(String, String)>| {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        admin.submit(&page, &fields).await
    };
    let stale = change(&shown, "on".into());
    let reply = submit(change(&shown, String::new())).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(
        ann.get("/tasks").await.status,
        303,
        "the change ended the session"
    );
    assert_eq!(submit(stale).await.status, 412);
    let reply = submit(change(&admin.read(&page).await, "on".into())).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(ann.log_in("ann", &first, "/").await.status, 401);
    submit(change(&admin.read(&page).await, String::new())).await;

    let second = password();
    let reply = admin
        .submit(&format!("{page}/password"), &[("password", "short")])
        .await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    let reply = admin
        .submit(&format!("{page}/password"), &[("password", &second)])
        .await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(ann.log_in("ann", &second, "/").await.status, 303);
    let list = admin.read("/users").await;
    assert!(list.contains(">ann<"), "{list}");
    let shown = admin.read(&page).await;
    let version = hidden(
        shown.split_once("<h2>Remove</h2>").expect("the form").1,
        "version",
    );
    let reply = admin
        .submit(&format!("{page}/delete"), &[("version", &version)])
        .await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_eq!(ann.get("/tasks").await.status, 303);
    assert_eq!(admin.get(&page).await.status, 404);
}

#[tokio::test]
async fn the_pages_of_an_account_break_no_policy_in_a_browser() {
    let key = wsexec::domain::random_bytes::<32>();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let app = App::builder().env("WSEXEC_MASTER_KEY", hex).start().await;
    let browser = Browser::of(&app).await;
    browser.log_in(&app).await;
    let ann = add_user(&Visitor::logged_in(&app).await, "ann", &password()).await;
    browser.open("/account/second_factor").await;
    browser.click("form[action$='begin'] button").await;
    browser.wait_text("main", "scan this code").await;
    browser.shot("second_factor").await;
    for (name, path) in [
        ("account", "/account"),
        ("token", "/account/tokens/new"),
        ("users", "/users"),
        ("user", &*ann),
        ("confirm", "/confirm?next=/users&sent=yes"),
        ("login", "/login?changed=yes"),
    ] {
        browser.open(path).await;
        browser.wait_text("h1", "").await;
        let shown = browser.eval("return [document.querySelectorAll('h1').length, document.documentElement.scrollWidth > innerWidth]").await;
        assert_eq!(shown, serde_json::json!([1, false]), "{path}");
        browser.shot(name).await;
    }
}
