//! What somebody typed is not lost with their login.

use super::account::age_confirmations;
use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::client::send;
use reqwest::Method;
use serde_json::json;

fn password() -> String {
    wsexec::domain::random_token().expose().to_owned()
}

#[tokio::test]
async fn a_form_that_was_sent_after_the_login_was_over_goes_on_after_the_next_one() {
    let app = App::start().await;
    let instance = app.declare("127.0.0.1", 1).await.to_string();
    let mut visitor = Visitor::logged_in(&app).await;
    let form = visitor.read("/tasks/new").await;
    let script = "echo \"<kept>\"\necho two";
    let fields = [
        ("key", &*hidden(&form, "key")),
        ("instance", &*instance),
        ("user", "nobody"),
        ("name", "not lost"),
        ("script", script),
        ("step", "review"),
    ];
    Visitor::logged_in(&app)
        .await
        .submit("/account/end_others", &[])
        .await;
    let lost = visitor.submit("/tasks/new", &fields).await;
    let page = lost.text();
    assert_eq!(lost.status, 401, "{page}");
    for part in [
        "You are logged out, so nothing was done.",
        "href=\"/login\" target=\"_blank\" rel=\"noopener\"",
        "echo &#34;&#60;kept&#62;&#34;\necho two",
        "name=\"step\" value=\"review\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(hidden(&page, "form_token"), "");

    // In another tab; this one still has the form of before.
    visitor.log_in("admin", app.admin_password(), "/").await;
    let origin = visitor.origin().to_owned();
    let early = visitor.submit_bare(&origin, "/tasks/new", &fields).await;
    let page = early.text();
    assert_eq!(early.status, 403, "{page}");
    assert!(
        page.contains("This form was opened under another login"),
        "{page}"
    );
    assert_eq!(hidden(&page, "form_token"), visitor.form_token());
    let review = visitor.submit("/tasks/new", &fields).await.text();
    assert!(
        review.contains("id=\"review\"") && review.contains("not lost"),
        "{review}"
    );
}

#[tokio::test]
async fn a_secret_is_never_sent_back_and_is_asked_for_again() {
    let mut app = App::builder()
        .env("WSEXEC_MASTER_KEY", "a3".repeat(32))
        .start()
        .await;
    let mut visitor = Visitor::logged_in(&app).await;
    let (first, second) = (password(), password());
    app.plant("the first secret", &first);
    app.plant("the second secret", &second);
    let new = [
        ("name", "prod-db"),
        ("kind", "secret"),
        ("value", &*first),
        ("scope", "*@a.invalid"),
    ];
    let made = visitor.submit("/identities/new", &new).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let edit = format!("{}/edit", made.header("location"));
    let version = hidden(&visitor.read(&edit).await, "version");
    Visitor::logged_in(&app)
        .await
        .submit("/account/end_others", &[])
        .await;
    let fields = [
        ("version", &*version),
        ("value", &*second),
        ("scope", "*@b.invalid"),
    ];
    let lost = visitor.submit(&edit, &fields).await;
    let page = lost.text();
    assert_eq!(lost.status, 401, "{page}");
    assert!(
        page.contains("*@b.invalid") && !page.contains(&second),
        "{page}"
    );
    assert!(page.contains("Passwords and keys are not kept"), "{page}");

    visitor.log_in("admin", app.admin_password(), "/").await;
    let dropped = hidden(&page, "dropped");
    let fields = [
        ("version", &*version),
        ("dropped", &*dropped),
        ("scope", "*@b.invalid"),
    ];
    let refused = visitor.submit(&edit, &fields).await;
    let page = refused.text();
    assert_eq!(refused.status, 400, "{page}");
    assert!(
        page.contains("The secret has to be typed again: it was not kept."),
        "{page}"
    );
    assert!(page.contains("*@b.invalid"), "{page}");
    let now = app.client().get("/wsexec/identities").await.text();
    assert!(
        now.contains("a.invalid") && !now.contains("b.invalid"),
        "{now}"
    );
}

#[tokio::test]
async fn what_needs_a_confirmation_keeps_what_was_typed() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let password = password();
    let fields = [
        ("name", "olga"),
        ("role", "viewer"),
        ("password", &*password),
    ];
    age_confirmations(&app);
    let asked = visitor.submit("/users/new", &fields).await;
    let page = asked.text();
    assert!(
        page.contains("This needs you to confirm who you are"),
        "{page}"
    );
    assert!(
        page.contains("href=\"/confirm\" target=\"_blank\"") && !page.contains(&password),
        "{page}"
    );
    let proof = [("password", app.admin_password()), ("next", "/")];
    assert_eq!(visitor.submit("/confirm", &proof).await.status, 303);
    let fields = [
        ("name", "olga"),
        ("role", "viewer"),
        ("dropped", &*hidden(&page, "dropped")),
    ];
    let again = visitor.submit("/users/new", &fields).await;
    assert_eq!(again.status, 400, "{}", again.text());
    assert!(
        again.text().contains("The password has to be typed again"),
        "{}",
        again.text()
    );
    assert!(again.text().contains("value=\"olga\""), "{}", again.text());
}

#[tokio::test]
async fn nothing_is_kept_of_what_no_page_of_ours_has_proved_to_send() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let body = "name=planted&script=id&step=run";
    let send_to = async |request: reqwest::RequestBuilder| {
        let form = ("content-type", "application/x-www-form-urlencoded");
        send(request.header(form.0, form.1).body(body)).await
    };
    let bare = send_to(visitor.request(Method::POST, "/tasks/new")).await;
    assert_eq!(bare.status, 403);
    assert!(!bare.text().contains("planted"), "{}", bare.text());
    let outside = Visitor::of(&app);
    let bare = send_to(outside.request(Method::POST, "/tasks/new")).await;
    assert_eq!((bare.status, bare.text().contains("planted")), (403, false));
    // And a program gets the answer of the API.
    let program = app.anonymous().request(Method::POST, "/tasks/new");
    let program = send_to(program.header("Origin", visitor.origin())).await;
    assert!(!program.text().contains("planted"), "{}", program.text());
}

#[tokio::test]
async fn in_a_browser_the_form_outlives_the_login() {
    let app = App::start().await;
    app.client()
        .post("/wsexec/instances", &json!({"ip": "web.invalid"}))
        .await;
    let browser = Browser::of(&app).await;
    browser.log_in(&app).await;
    browser.open("/tasks/new").await;
    browser.fill("#instance", "web.invalid").await;
    browser.fill("#user", "deploy").await;
    browser.fill("#name", "not lost").await;
    browser.fill("#script", "echo one\necho two").await;
    Visitor::logged_in(&app)
        .await
        .submit("/account/end_others", &[])
        .await;
    browser.click("form.wide .actions button").await;
    browser.wait_text("#typed", "echo two").await;
    browser.shot("kept").await;
    let page = browser.follow_to_tab("main a.button").await;
    browser.fill("#name", "admin").await;
    browser.fill("#password", app.admin_password()).await;
    browser.click("main button").await;
    browser.wait_element("nav").await;
    browser.close_tab(&page).await;
    browser.click("#go-on").await;
    browser.wait_text("h1", "Nothing was sent yet").await;
    browser.wait_text("#go-on", "Send").await;
    browser.click("#go-on").await;
    browser.wait_text("#review", "not lost").await;
    assert_eq!(browser.content("pre.script").await, "echo one\necho two");
}

#[tokio::test]
async fn what_is_wrong_stands_together_with_the_way_to_each_field() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let form = visitor.read("/tasks/new").await;
    let fields = [
        ("key", &*hidden(&form, "key")),
        ("instance", ""),
        ("user", "a b"),
        ("name", "n"),
        ("script", "true"),
        ("timeout", "soon"),
        ("secret_1", "no name"),
        ("identity_1", "x"),
    ];
    let page = visitor.submit("/tasks/new", &fields).await.text();
    assert!(page.contains("<title>Error: New task"), "{page}");
    for part in [
        "<a href=\"#instance\">The instance must be chosen.</a>",
        "<a href=\"#timeout\">The time limit must be a whole number.</a>",
        "<a href=\"#user\">The user ",
        "<a href=\"#secrets\">Secrets: ",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for link in page.split("<a href=\"#").skip(1) {
        let place = link.split('"').next().expect("it ends");
        assert!(page.contains(&format!("id=\"{place}\"")), "{place}");
    }
}
