//! Secrets of a task on its pages: given in the form, taken along, and in the line for curl.

use super::visitor::{Visitor, hidden};
use crate::engine::secrets::identity;
use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::sshd::{Sshd, user};
use serde_json::json;

/// An app with a machine, where these are kept as secrets.
async fn app(sshd: &Sshd, names: &[&str]) -> (App, String) {
    let key = wsexec::vault::generate();
    let builder = App::builder().identity(sshd.identity());
    let app = builder.env("WSEXEC_MASTER_KEY", key.expose()).start().await;
    for name in names {
        let value = wsexec::domain::random_token();
        let new = json!({"name": name, "kind": "secret", "value": value.expose()});
        identity(&app, new).await;
    }
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    (app, instance.to_string())
}

#[tokio::test]
async fn a_secret_is_given_in_the_form_taken_along_and_in_the_line_for_curl() {
    let sshd = Sshd::start();
    let (app, instance) = app(&sshd, &["prod-db", "prod-token"]).await;
    let new = json!({"name": "narrow", "kind": "secret", "value": "only for nobody", "scope": ["nobody@*"]});
    identity(&app, new).await;
    identity(&app, json!({"name": "a-key", "kind": "ssh_key"})).await;
    let visitor = Visitor::logged_in(&app).await;
    let page = visitor.read("/tasks/new").await;
    for name in ["prod-db", "prod-token", "narrow"] {
        assert!(
            page.contains(&format!("<option value=\"{name}\">")),
            "{name}: {page}"
        );
    }
    assert!(!page.contains("<option value=\"a-key\">"), "{page}");
    let key = hidden(&page, "key");
    let me = user();
    let fields = |rows: &[(&'static str, &'static str)]| {
        let mut fields = vec![
            ("key", key.as_str()),
            ("instance", instance.as_str()),
            ("user", me.as_str()),
            ("name", "with secrets"),
            ("script", "wc -c < \"$DB_FILE\"; wc -c < \"$TOKEN_FILE\""),
        ];
        fields.extend_from_slice(rows);
        fields
    };
    for (rows, status, says) in [
        (
            [("secret_1", "DB"), ("identity_1", "no-such")],
            400,
            "Secrets: DB: there is no identity no-such",
        ),
        (
            [("secret_1", "DB"), ("identity_1", "narrow")],
            403,
            "Secrets: DB: the scope of the identity narrow",
        ),
        (
            [("secret_1", "DB"), ("identity_1", "")],
            400,
            "Secrets: DB ",
        ),
        (
            [("secret_1", "1DB"), ("identity_1", "prod-db")],
            400,
            "is no name of a variable",
        ),
        (
            [("secret_3", ""), ("identity_3", "prod-db")],
            400,
            "is no name of a variable",
        ),
    ] {
        let reply = visitor.submit("/tasks/new", &fields(&rows)).await;
        let page = reply.text();
        assert_eq!(reply.status, status, "{rows:?}: {page}");
        assert!(
            page.contains(says) && page.contains("id=\"secrets-wrong\""),
            "{says}: {page}"
        );
        for (name, value) in rows {
            assert!(
                page.contains(&format!("name=\"{name}\" value=\"{value}\"")),
                "{page}"
            );
        }
        assert!(page.contains("<details class=\"more\" open>"), "{page}");
    }
    let rows = [
        ("secret_1", "DB"),
        ("identity_1", " prod-db "),
        ("secret_4", "TOKEN"),
        ("identity_4", "prod-token"),
    ];
    let made = visitor.submit("/tasks/new", &fields(&rows)).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let path = made.header("location").to_owned();
    let id = path.rsplit('/').next().expect("an id").to_owned();
    let task = app.wait_ended(id.parse().expect("a number")).await;
    let secrets = json!({"DB": "prod-db", "TOKEN": "prod-token"});
    assert_eq!(
        (&task["secrets"], &task["rc"]),
        (&secrets, &json!(0)),
        "{task:#}"
    );
    assert_eq!(task["stdout"], "43\n43\n");
    let page = visitor.read(&path).await;
    let line =
        "&#34;secrets&#34;:{&#34;DB&#34;:&#34;prod-db&#34;,&#34;TOKEN&#34;:&#34;prod-token&#34;}";
    assert!(page.contains(line), "{page}");

    let page = visitor.read(&format!("/tasks/new?from={id}")).await;
    for part in [
        "name=\"secret_1\" value=\"DB\"",
        "name=\"identity_1\" value=\"prod-db\"",
        "name=\"secret_2\" value=\"TOKEN\"",
        "name=\"identity_2\" value=\"prod-token\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("Not taken over"), "{page}");
}

#[tokio::test]
async fn who_may_not_see_identities_is_offered_none_and_may_type_a_name() {
    let sshd = Sshd::start();
    let (app, instance) = app(&sshd, &["prod-db"]).await;
    let password = wsexec::domain::random_token();
    let new = json!({"name": "runner", "role": "runner", "password": password.expose()});
    let reply = app.client().post("/wsexec/users", &new).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let mut visitor = Visitor::of(&app);
    visitor.log_in("runner", password.expose(), "/").await;
    let page = visitor.read("/tasks/new").await;
    assert!(
        page.contains("name=\"secret_1\"") && !page.contains("prod-db"),
        "{page}"
    );
    let (key, me) = (hidden(&page, "key"), user());
    let fields = [
        ("key", key.as_str()),
        ("instance", &instance),
        ("user", &me),
        ("name", "n"),
        ("script", "true"),
        ("secret_1", "DB"),
        ("identity_1", "prod-db"),
    ];
    let made = visitor.submit("/tasks/new", &fields).await;
    assert_eq!(made.status, 303, "{}", made.text());
}

#[tokio::test]
async fn rows_of_secrets_are_filled_in_a_browser_at_a_desk_and_on_a_phone() {
    let sshd = Sshd::start();
    let (app, instance) = app(&sshd, &["prod-db", "prod-token"]).await;
    let browser = Browser::of(&app).await;
    browser.log_in(&app).await;
    for (width, name) in [(1280, "desk"), (390, "phone")] {
        browser.resize(width, 1600).await;
        browser.open("/tasks/new").await;
        browser.fill("#instance", &instance).await;
        browser.fill("#user", &user()).await;
        browser.fill("#name", name).await;
        browser.fill("#script", "wc -c < \"$DB_FILE\"").await;
        browser.click("details.more > summary").await;
        browser.fill("[name=secret_1]", "DB").await;
        browser.fill("[name=identity_1]", "prod-db").await;
        browser.click("details.rest > summary").await;
        browser.fill("[name=secret_2]", "TOKEN").await;
        browser.fill("[name=identity_2]", "prod-token").await;
        browser
            .eval("document.querySelector('#env').scrollIntoView()")
            .await;
        browser.shot(&format!("task-secrets-{name}")).await;
        let over =
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.eval(over).await, 0, "{name}");
        browser.click("form.wide .actions button").await;
        browser.wait_text("#review", "DB from prod-db").await;
        browser.click("#run").await;
        browser.wait_text("#facts", "rc 0").await;
        browser.wait_text("#facts", "DB from prod-db").await;
    }
}
