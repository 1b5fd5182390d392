//! A second factor: what it keeps out, and what it lets in.

use crate::harness::app::{App, Builder, Process};
use crate::harness::client::Reply;
use crate::ui::account::age_confirmations;
use crate::ui::visitor::{Visitor, hidden};
use std::time::{SystemTime, UNIX_EPOCH};
use totp_rs::{Algorithm, Secret, Totp};

const STEP: u64 = 30;

/// An app with a master key, so that it can keep secrets.
fn with_vault() -> Builder {
    let key = wsexec::domain::random_bytes::<32>();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    App::builder().env("WSEXEC_MASTER_KEY", hex)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// The code of a secret, so many steps from now.
pub fn code(secret: &str, steps: i64) -> String {
    let secret = Secret::try_from_base32(secret).expect("base32");
    let totp: Totp = totp_rs::Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_secret(secret)
        .with_account_name("x")
        .build()
        .expect("a secret of ours");
    let at = now().saturating_add_signed(steps * STEP as i64);
    totp.generate(at).to_string()
}

/// The secret that a page tells.
pub fn told(page: &str) -> String {
    let rest = page.split_once("<code id=\"secret\">").expect("a secret").1;
    rest.split_once('<').expect("it ends").0.to_owned()
}

/// The recovery codes that a page shows.
fn recovery_codes(page: &str) -> Vec<String> {
    let found = page.split("<li><code>").skip(1);
    found
        .filter_map(|rest| Some(rest.split_once('<')?.0.to_owned()))
        .collect()
}

/// Sets an authenticator up for `admin` with the code of now: gives its secret and the recovery
/// codes. What is taken after that is the code of the next step.
async fn enrol(visitor: &Visitor) -> (String, Vec<String>) {
    let begun = visitor.submit("/account/second_factor/begin", &[]).await;
    assert_eq!(begun.status, 303, "{}", begun.text());
    let page = visitor.read("/account/second_factor").await;
    assert!(page.contains("<svg class=\"qr\""), "{page}");
    let secret = told(&page);
    let fields = [("code", &*code(&secret, 0))];
    let done = visitor.submit("/account/second_factor", &fields).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let codes = recovery_codes(&done.text());
    assert_eq!(codes.len(), 10);
    (secret, codes)
}

/// Shows the right password, and gives the answer with the visitor who waits for a code.
async fn half_way(app: &App) -> (Visitor, Reply) {
    let mut visitor = Visitor::of(app);
    let reply = visitor
        .log_in("admin", app.admin_password(), "/tasks")
        .await;
    (visitor, reply)
}

#[tokio::test]
async fn a_login_asks_for_a_code_and_each_code_counts_once() {
    let app = with_vault().start().await;
    let first = Visitor::logged_in(&app).await;
    let (secret, recovery) = enrol(&first).await;

    let (mut visitor, reply) = half_way(&app).await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, "/login/code?next=%2Ftasks")
    );
    assert_eq!(visitor.get("/tasks").await.status, 303, "not logged in yet");
    assert_eq!(visitor.get("/wsexec/tasks").await.status, 401);

    let wrong = visitor.finish("/login/code", "000000").await;
    assert_eq!(wrong.status, 401, "{}", wrong.text());
    assert!(wrong.text().contains("The code is wrong"));
    let trail = first.read("/wsexec/audit?action=refusal.login").await;
    assert!(trail.contains("\"object\":\"user/1\""), "{trail}");
    let good = code(&secret, 1);
    let reply = visitor.finish("/login/code", &good).await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, "/"),
        "{}",
        reply.text()
    );
    visitor.read("/tasks").await;
    assert!(visitor.read("/account").await.contains("password and code"));

    let (mut again, _) = half_way(&app).await;
    let replayed = again.finish("/login/code", &good).await;
    assert_eq!(replayed.status, 401, "{}", replayed.text());

    let typed = recovery[0].to_uppercase();
    let reply = again.finish("/login/code", &typed).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert!(
        again
            .read("/account")
            .await
            .contains("9 recovery codes left")
    );
    let (mut third, _) = half_way(&app).await;
    assert_eq!(third.finish("/login/code", &typed).await.status, 401);
}

#[tokio::test]
async fn a_login_has_five_tries_at_a_code() {
    let app = with_vault().start().await;
    let (secret, _) = enrol(&Visitor::logged_in(&app).await).await;
    let (mut visitor, _) = half_way(&app).await;
    for _ in 0..4 {
        let reply = visitor.finish("/login/code", "123").await;
        assert_eq!(reply.status, 401, "{}", reply.text());
    }
    let last = visitor.finish("/login/code", "123").await;
    assert!(last.text().contains("Begin anew"), "{}", last.text());
    let late = visitor.finish("/login/code", &code(&secret, 1)).await;
    assert_ne!(late.status, 303, "{}", late.text());
    assert_eq!(visitor.get("/tasks").await.status, 303);
}

#[tokio::test]
async fn a_form_of_one_login_finishes_no_other() {
    let app = with_vault().start().await;
    let (secret, _) = enrol(&Visitor::logged_in(&app).await).await;
    let (mut mine, _) = half_way(&app).await;
    let (other, _) = half_way(&app).await;
    mine.take_form_token_of(&other);
    let reply = mine.finish("/login/code", &code(&secret, 1)).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
}

#[tokio::test]
async fn with_a_second_factor_basic_is_refused_and_other_sessions_end() {
    let app = with_vault().start().await;
    let before = Visitor::logged_in(&app).await;
    let visitor = Visitor::logged_in(&app).await;
    assert_eq!(app.client().get("/wsexec/tasks").await.status, 200);
    enrol(&visitor).await;
    let reply = app.client().get("/wsexec/tasks").await;
    assert_eq!(reply.status, 401);
    assert!(reply.text().contains("API token"), "{}", reply.text());
    assert_eq!(before.get("/tasks").await.status, 303);
    visitor.read("/tasks").await;

    let off = visitor.submit("/account/second_factor/remove", &[]).await;
    assert_eq!(off.status, 303, "{}", off.text());
    assert_eq!(app.client().get("/wsexec/tasks").await.status, 200);
}

#[tokio::test]
async fn a_role_that_needs_a_second_factor_gets_nowhere_without() {
    let app = with_vault()
        .config("[auth]\nsecond_factor = [\"admin\"]")
        .start()
        .await;
    assert_eq!(app.client().get("/wsexec/tasks").await.status, 401);
    let (mut visitor, reply) = half_way(&app).await;
    assert!(reply.header("location").starts_with("/login/second_factor"));
    for path in [
        "/",
        "/tasks",
        "/account",
        "/account/second_factor",
        "/users",
    ] {
        assert_eq!(visitor.get(path).await.status, 303, "{path}");
    }
    let page = visitor.read("/login/second_factor").await;
    let secret = told(&page);
    let wrong = visitor.finish("/login/second_factor", "000000").await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let done = visitor
        .finish("/login/second_factor", &code(&secret, 0))
        .await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(recovery_codes(&done.text()).len(), 10);
    visitor.read("/tasks").await;
    let token = hidden(&visitor.read("/").await, "form_token");
    let fields = [("form_token", &*token)];
    let off = visitor
        .submit_bare(visitor.origin(), "/account/second_factor/remove", &fields)
        .await;
    assert_eq!(off.status, 409, "{}", off.text());
}

#[tokio::test]
async fn without_a_master_key_nothing_is_enrolled_and_the_page_says_why() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let page = visitor.read("/account/second_factor").await;
    assert!(page.contains("wsexec secrets init"), "{page}");
    let reply = visitor.submit("/account/second_factor/begin", &[]).await;
    assert_eq!(reply.status, 409, "{}", reply.text());
}

#[tokio::test]
async fn the_secret_is_in_no_file_of_the_store() {
    let app = with_vault().start().await;
    let (secret, codes) = enrol(&Visitor::logged_in(&app).await).await;
    let raw = Secret::try_from_base32(&secret).expect("base32");
    for entry in std::fs::read_dir(app.data()).expect("the data directory") {
        let path = entry.expect("an entry").path();
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|it| it == part);
        assert!(
            !holds(secret.as_bytes()) && !holds(raw.as_bytes()),
            "{path:?}"
        );
        assert!(codes.iter().all(|it| !holds(it.as_bytes())), "{path:?}");
    }
}

/// How many wrong codes are on record as refusals of a name.
async fn refusals(visitor: &Visitor) -> i64 {
    let trail = visitor.read("/wsexec/audit?action=refusal.*").await;
    let trail: serde_json::Value = serde_json::from_str(&trail).expect("JSON");
    let records = trail["audit"].as_array().expect("records").iter();
    records.filter_map(|it| it["count"].as_i64()).sum()
}

#[tokio::test]
async fn who_has_a_second_factor_confirms_with_a_code_of_either_kind_and_wrong_ones_are_counted() {
    let app = with_vault().start().await;
    let visitor = Visitor::logged_in(&app).await;
    let (secret, recovery) = enrol(&visitor).await;
    let confirm = async |code: &str| {
        let fields = [
            ("password", app.admin_password()),
            ("code", code),
            ("next", "/users/new"),
        ];
        visitor.submit("/confirm", &fields).await
    };
    let is_confirmed = async || visitor.get("/users/new").await.status == 200;

    age_confirmations(&app);
    assert!(!is_confirmed().await);
    let page = visitor.read("/confirm?next=/users/new").await;
    assert!(page.contains("id=\"code\""), "it asks for a code: {page}");
    let before = refusals(&visitor).await;
    for wrong in ["", "000000", "AAAA-BBBB-CCCC-DDDD", &code(&secret, 0)] {
        // The last one was used to set it up.
        let reply = confirm(wrong).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
        assert!(reply.text().contains("The code is wrong"), "{wrong}");
        assert!(!is_confirmed().await, "{wrong}");
    }
    let reply = confirm(&code(&secret, 1)).await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, "/users/new"),
        "{}",
        reply.text()
    );
    assert!(is_confirmed().await);
    // The first of them at once, those that repeat within a minute.
    assert_eq!(refusals(&visitor).await, before + 1, "they are on record");

    age_confirmations(&app);
    assert_eq!(confirm(&code(&secret, 1)).await.status, 400, "once only");
    assert!(!is_confirmed().await);
    let reply = confirm(&recovery[3]).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert!(is_confirmed().await);
    age_confirmations(&app);
    assert_eq!(confirm(&recovery[3]).await.status, 400, "once only");
    // The right code with a wrong password is nothing.
    let fields = [
        ("password", "wrong"),
        ("code", &*recovery[4]),
        ("next", "/users/new"),
    ];
    assert_eq!(visitor.submit("/confirm", &fields).await.status, 400);
    assert_eq!(confirm(&recovery[4]).await.status, 303, "it is not used up");
}

#[tokio::test]
async fn guessing_codes_at_the_confirmation_is_slowed_down() {
    let app = with_vault().start().await;
    let visitor = Visitor::logged_in(&app).await;
    enrol(&visitor).await;
    age_confirmations(&app);
    let mut told = Vec::new();
    for guess in 0..40 {
        let code = format!("{guess:06}");
        let fields = [
            ("password", app.admin_password()),
            ("code", &*code),
            ("next", "/"),
        ];
        told.push(visitor.submit("/confirm", &fields).await.status);
    }
    assert_eq!(told[0], 400, "{told:?}");
    assert_eq!(told.last(), Some(&429), "{told:?}");
    assert_eq!(visitor.get("/users/new").await.status, 303);
}

#[tokio::test]
async fn a_second_factor_still_counts_after_its_secret_went_to_another_master_key() {
    let keys = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| keys.path().join(name));
    for path in [&old, &new] {
        wsexec::vault::write_key(path, &wsexec::vault::generate()).unwrap();
    }
    let mut app = App::builder()
        .config(&format!("[secrets]\nmaster_key_file = {old:?}"))
        .start()
        .await;
    let (secret, recovery) = enrol(&Visitor::logged_in(&app).await).await;
    app.stop().await;
    let both = format!("[secrets]\nmaster_key_file = {new:?}\nprevious_key_files = [{old:?}]");
    app.configure(&both);
    app.restart().await;
    let mut rekey = app.command();
    rekey.args(["secrets", "rekey", "--config", "wsexec.toml"]);
    let said = Process::spawn(&mut rekey).said().await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(
        said.text().contains("1 values were encrypted anew"),
        "{}",
        said.text()
    );
    // Beside the running server, and after the old key is gone.
    for (step, good) in [(1, code(&secret, 1)), (2, recovery[0].clone())] {
        if step == 2 {
            std::fs::remove_file(&old).unwrap();
            app.configure(&format!("[secrets]\nmaster_key_file = {new:?}"));
            app.restart().await;
        }
        let (mut visitor, _) = half_way(&app).await;
        assert_eq!(visitor.finish("/login/code", "000000").await.status, 401);
        let reply = visitor.finish("/login/code", &good).await;
        assert_eq!(reply.status, 303, "{step}: {}", reply.text());
        visitor.read("/tasks").await;
    }
}
