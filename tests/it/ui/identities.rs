//! The pages of identities: what is secret goes in and is never seen again.

use super::account::age_confirmations;
use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::sshd::{Kind, fingerprint, keygen};
use serde_json::json;

async fn app() -> App {
    let key = wsexec::vault::generate();
    let builder = App::builder().env("WSEXEC_MASTER_KEY", key.expose());
    builder.start().await
}

fn random() -> String {
    wsexec::domain::random_token().expose().to_owned()
}

/// Makes one on the page, and gives its path.
async fn add(visitor: &Visitor, fields: &[(&str, &str)]) -> String {
    let made = visitor.submit("/identities/new", fields).await;
    assert_eq!(made.status, 303, "{}", made.text());
    made.header("location").to_owned()
}

#[tokio::test]
async fn an_identity_is_made_shown_by_its_public_half_and_removed_on_pages() {
    let app = app().await;
    let visitor = Visitor::logged_in(&app).await;
    assert!(visitor.read("/").await.contains("href=\"/identities\""));
    let fields = [
        ("name", "deploy"),
        ("kind", "ssh_key"),
        ("scope", "deploy@web-*"),
    ];
    let made = visitor.submit("/identities/new", &fields).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let path = made.header("location").to_owned();
    let page = visitor.read(&path).await;
    assert!(
        page.contains("ssh-ed25519 ") && page.contains("SHA256:"),
        "{page}"
    );
    assert!(!page.contains("PRIVATE KEY"), "{page}");

    let value = wsexec::domain::random_token().expose().to_owned();
    let wrong = [("name", "two words"), ("kind", "secret"), ("value", &value)];
    let refused = visitor.submit("/identities/new", &wrong).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("two words"));
    assert!(!refused.text().contains(&value));
    let right = [("name", "prod-db"), ("kind", "secret"), ("value", &value)];
    let made = visitor.submit("/identities/new", &right).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let one = visitor.read(made.header("location")).await;
    let shown = one + visitor.read("/identities").await.as_str();
    assert!(shown.contains("prod-db") && !shown.contains(&value));

    age_confirmations(&app);
    let act = format!("{path}/delete");
    let asked = visitor.submit(&act, &[("version", "1")]).await;
    let to_confirm = format!("/confirm?next={}&sent=yes", path.replace('/', "%2F"));
    assert_eq!(
        (asked.status, asked.header("location")),
        (303, to_confirm.as_str())
    );
    let proof = [("password", app.admin_password()), ("next", &path)];
    assert_eq!(visitor.submit("/confirm", &proof).await.status, 303);
    let removed = visitor.submit(&act, &[("version", "1")]).await;
    assert_eq!(removed.header("location"), "/identities");
    assert_eq!(visitor.get(&path).await.status, 404);
}

#[tokio::test]
async fn an_identity_is_changed_on_a_page_and_the_second_of_two_tabs_overwrites_nothing() {
    let app = app().await;
    let visitor = Visitor::logged_in(&app).await;
    let first = random();
    let path = add(
        &visitor,
        &[("name", "prod-db"), ("kind", "secret"), ("value", &first)],
    )
    .await;
    let edit = format!("{path}/edit");
    assert!(
        visitor
            .read(&path)
            .await
            .contains(&format!("href=\"{edit}\""))
    );
    let page = visitor.read(&edit).await;
    let version = hidden(&page, "version");
    assert!(!page.contains(&first) && !page.contains("name=\"passphrase\""));
    let told = format!("SHA256:{}", "A".repeat(43));
    let fields = |version, scope, value| {
        [
            ("version", version),
            ("scope", scope),
            ("host_keys", told.as_str()),
            ("value", value),
        ]
    };

    // What is wrong is said beside its field; what was typed stays, but for the secret.
    let typed = fields(version.as_str(), "nowhere", "a new secret");
    let refused = visitor.submit(&edit, &typed).await;
    let page = refused.text();
    assert_eq!(refused.status, 400, "{page}");
    for part in ["id=\"scope-wrong\"", "nowhere</textarea>", told.as_str()] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("a new secret"), "{page}");
    let short = visitor
        .submit(&edit, &fields(&version, "deploy@web-*", "short"))
        .await;
    assert_eq!(short.status, 400);
    assert!(short.text().contains("id=\"value-wrong\""));

    let saved = visitor
        .submit(&edit, &fields(&version, "deploy@web-*\r\n!root@*", ""))
        .await;
    assert_eq!(
        (saved.status, saved.header("location")),
        (303, path.as_str()),
        "{}",
        saved.text()
    );
    let page = visitor.read(&path).await;
    assert!(
        page.contains("!root@*") && page.contains(told.as_str()),
        "{page}"
    );

    let late = visitor
        .submit(&edit, &fields(&version, "late@*", "a new secret"))
        .await;
    let page = late.text();
    assert_eq!(late.status, 412, "{page}");
    for part in ["Somebody else changed this", "late@*", "deploy@web-*"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let decided = hidden(&page, "version");
    let again = visitor
        .submit(&edit, &fields(&decided, "late@*", "a new secret"))
        .await;
    assert_eq!(again.status, 303, "{}", again.text());
    let client = app.client();
    let trail = client.get("/wsexec/audit?action=identity.change").await;
    let trail = trail.json();
    let secret: Vec<_> = trail["audit"]
        .as_array()
        .expect("the trail")
        .iter()
        .map(|it| it["detail"]["secret"].as_bool().expect("a word"))
        .collect();
    assert!(secret.contains(&true) && secret.len() == 2, "{trail:#}");

    age_confirmations(&app);
    let asked = visitor.get(&edit).await;
    let to_confirm = format!("/confirm?next={}", edit.replace('/', "%2F"));
    assert_eq!(
        (asked.status, asked.header("location")),
        (303, to_confirm.as_str())
    );
    let asked = visitor.submit(&edit, &fields(&decided, "*@*", "")).await;
    assert!(
        asked
            .text()
            .contains("This needs you to confirm who you are")
    );
    assert!(visitor.read(&path).await.contains("late@*"));
}

#[tokio::test]
async fn another_key_of_an_identity_is_uploaded_on_its_page_with_its_passphrase() {
    let app = app().await;
    let visitor = Visitor::logged_in(&app).await;
    let path = add(&visitor, &[("name", "deploy"), ("kind", "ssh_key")]).await;
    let edit = format!("{path}/edit");
    let file = app.path("another");
    keygen(&file, Kind::Ed25519, "RFC4716", "a long passphrase");
    let key = std::fs::read_to_string(&file).expect("a key");
    let fields = |passphrase| {
        [
            ("version", "1"),
            ("value", key.as_str()),
            ("passphrase", passphrase),
        ]
    };
    let refused = visitor.submit(&edit, &fields("another passphrase")).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("id=\"passphrase-wrong\""));
    let saved = visitor.submit(&edit, &fields("a long passphrase")).await;
    assert_eq!(saved.status, 303, "{}", saved.text());
    assert!(visitor.read(&path).await.contains(&fingerprint(&file)));
}

#[tokio::test]
async fn the_form_of_an_identity_fits_a_desk_and_a_phone() {
    let app = app().await;
    let new =
        json!({"name": "prod-db", "kind": "secret", "value": random(), "scope": ["deploy@web-*"]});
    let reply = app.client().post("/wsexec/identities", &new).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let browser = Browser::of(&app).await;
    browser.log_in(&app).await;
    for (width, name) in [(1280, "desk"), (390, "phone")] {
        browser.resize(width, 1100).await;
        browser.open("/identities/1").await;
        browser.shot(&format!("identity-{name}")).await;
        browser.click("main .head a.button").await;
        browser.wait_text("h1", "Edit prod-db").await;
        browser.shot(&format!("identity-edit-{name}")).await;
        let over =
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.eval(over).await, 0, "{name}");
        let scope = format!("{name}@web-*");
        browser.fill("#scope", &scope).await;
        browser.click("form.form button").await;
        browser.wait_text("dl", &scope).await;
    }
}
