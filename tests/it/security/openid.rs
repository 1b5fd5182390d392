//! Logins at an OpenID provider, against a real one.

use super::second_factor::{code, told};
use crate::harness::app::{App, DEADLINE, Process};
use crate::harness::browser::Browser;
use crate::harness::client::Reply;
use crate::harness::openid::{NAME, PUBLIC, Provider, Traveller};
use crate::ui::visitor::{Visitor, hidden};
use serde_json::{Value, json};
use std::time::Instant;
use url::Url;

const COOKIE: &str = "__Host-wsexec-openid";
/// Two groups that may come in.
const ROLES: &str = "create_users = true\nroles = { ops = \"operator\", boss = \"admin\" }\n";

fn user(sub: &str, name: &str, groups: &[&str]) -> Value {
    json!({"sub": sub, "preferred_username": name, "groups": groups, "amr": ["pwd"]})
}

async fn start(provider: &Provider, other: &str, more: &str) -> App {
    let key = wsexec::domain::random_bytes::<32>();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let builder = provider.app(other, more).env("WSEXEC_MASTER_KEY", hex);
    let mut app = builder.start().await;
    if let Some(secret) = provider.secret() {
        app.plant("the client's secret", secret);
    }
    app
}

async fn users(app: &App) -> Vec<Value> {
    let reply = app.client().get("/wsexec/users").await;
    reply.json()["users"].as_array().expect("users").clone()
}

/// The user of this name.
async fn found(app: &App, name: &str) -> Option<Value> {
    users(app).await.into_iter().find(|it| it["name"] == name)
}

async fn records(app: &App, action: &str) -> Vec<Value> {
    let path = format!("/wsexec/audit?action={action}");
    let reply = app.client().get(&path).await;
    reply.json()["audit"].as_array().expect("records").clone()
}

/// How many logins were by the provider and a second factor.
async fn by_two_factors(app: &App) -> usize {
    let logins = records(app, "login").await;
    let method = |it: &&Value| it["detail"]["method"] == "openid_second_factor";
    logins.iter().filter(method).count()
}

fn assert_refused(reply: &Reply, why: &str) {
    let text = reply.text();
    assert_eq!(reply.status, 401, "{text}");
    assert!(text.contains(why), "no {why:?} in {text}");
}

/// Runs the program beside the server.
async fn run(app: &App, arguments: &[&str]) {
    let data = app.data();
    let config = app.path("wsexec.toml");
    let mut command = app.command();
    command.args(arguments).arg("--data").arg(data);
    command.arg("--config").arg(config);
    let said = Process::spawn(&mut command).said().await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[tokio::test]
async fn who_logs_in_at_the_provider_has_the_widest_role_of_their_groups() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let app = start(&provider, "", ROLES).await;
    let mut ann = Traveller::new(&app, &provider);
    let page = ann.get("/login?next=%2Ftasks").await.text();
    assert!(page.contains(&format!("Log in with {NAME}")), "{page}");

    let there = ann.depart("/login/openid?next=%2Ftasks").await;
    let asked: std::collections::HashMap<_, _> = Url::parse(&there)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect();
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(
        asked["redirect_uri"],
        format!("{PUBLIC}/login/openid/callback")
    );
    assert!(asked["state"].len() == 43 && asked["nonce"].len() == 43);
    let back = ann
        .log_in_there(&there, &user("ann-1", "ann", &["others", "ops"]))
        .await;
    let reply = ann.get(&back).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let leads = "<meta http-equiv=\"refresh\" content=\"0;url=/tasks\">";
    assert!(reply.text().contains(leads), "{}", reply.text());
    assert!(ann.is_in().await && ann.cookie(COOKIE).is_none());
    let made = found(&app, "ann").await.expect("she is made");
    assert_eq!(made["role"], "operator");
    assert_eq!(made["password"], false);
    assert_eq!(made["subject"], format!("{}#ann-1", provider.issuer()));
    assert!(ann.get("/account").await.text().contains("OpenID provider"));

    let login = &records(&app, "login").await;
    let login = login.iter().find(|it| it["detail"]["method"] == "openid");
    let login = login.expect("it is on record");
    assert_eq!(
        (&login["by"], &login["from"]),
        (&json!("ann"), &json!("127.0.0.1"))
    );
    assert_eq!(
        records(&app, "user.create").await.last().unwrap()["by"],
        "wsexec"
    );

    // Her groups change: the next login says so, and ends what she was logged in with.
    let mut again = Traveller::new(&app, &provider);
    let reply = again
        .log_in(&user("ann-1", "another", &["ops", "boss"]))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(again.is_in().await && !ann.is_in().await);
    assert_eq!(found(&app, "ann").await.unwrap()["role"], "admin");
    let change = records(&app, "user.change").await.pop().expect("on record");
    assert_eq!(change["by"], "wsexec");
    assert_eq!(change["detail"]["new"]["role"], "admin");
    let mut out = Traveller::new(&app, &provider);
    let reply = out.log_in(&user("ann-1", "ann", &["others"])).await;
    assert_refused(&reply, "None of your groups");
    let refusal = records(&app, "refusal.login")
        .await
        .pop()
        .expect("on record");
    assert_eq!(refusal["detail"]["name"], "ann", "{refusal}");
}

#[tokio::test]
async fn nobody_is_let_in_by_a_name_alone() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let app = start(&provider, "", ROLES).await;
    let mut eve = Traveller::new(&app, &provider);
    let reply = eve.log_in(&user("eve-1", "admin", &["boss"])).await;
    assert_refused(&reply, "There is a user admin already");
    let reply = eve.log_in(&user("eve-2", "eve", &["others"])).await;
    assert_refused(&reply, "None of your groups");
    let reply = eve
        .log_in(&user("eve-3", "a name with blanks", &["ops"]))
        .await;
    assert_refused(&reply, "no name that a user could have");
    assert!(!eve.is_in().await);
    assert_eq!(users(&app).await.len(), 1);
    assert!(!records(&app, "refusal.login").await.is_empty());
}

#[tokio::test]
async fn who_is_linked_by_an_admin_gets_in_with_the_role_they_have_here() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let app = start(&provider, "", "").await;
    let (ann, _) = app.add_user("ann", "viewer", &[]).await;
    let mut visitor = Traveller::new(&app, &provider);
    let reply = visitor.log_in(&user("ann-1", "ann", &["ops"])).await;
    assert_refused(&reply, "You have no user here yet");
    let linked = format!("--subject {}#ann-1", provider.issuer());
    assert!(reply.text().contains(&linked), "{}", reply.text());

    run(&app, &["user", "change", "ann", "--subject", "ann-1"]).await;
    let reply = visitor.log_in(&user("ann-1", "somebody", &["boss"])).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(visitor.is_in().await);
    assert_eq!(found(&app, "ann").await.unwrap()["role"], "viewer");
    assert_eq!(
        ann.get("/wsexec/tasks").await.status,
        200,
        "her password works on"
    );
    let change = records(&app, "user.change").await.pop().expect("on record");
    let subject = format!("{}#ann-1", provider.issuer());
    assert_eq!(change["detail"]["new"]["subject"], subject);

    run(&app, &["user", "change", "ann", "--disable"]).await;
    assert!(!visitor.is_in().await);
    let mut disabled = Traveller::new(&app, &provider);
    let reply = disabled.log_in(&user("ann-1", "ann", &["boss"])).await;
    assert_refused(&reply, "Your user is disabled");
    assert!(!disabled.is_in().await);
}

#[tokio::test]
async fn an_admin_adds_somebody_without_a_password_who_logs_in_at_the_provider() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let app = start(&provider, "", "").await;
    let admin = Visitor::logged_in(&app).await;
    let form = admin.read("/users/new").await;
    let (_, field) = form.split_once("id=\"password\"").expect("a password");
    let field = field.split('>').next().expect("a field");
    assert!(!field.contains("required"), "{field}");
    let fields = [
        ("name", "linus"),
        ("role", "operator"),
        ("password", ""),
        ("subject", "linus-1"),
    ];
    let added = admin.submit("/users/new", &fields).await;
    assert_eq!(added.status, 303, "{}", added.text());
    let mut linus = Traveller::new(&app, &provider);
    let reply = linus.log_in(&user("linus-1", "somebody", &[])).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(linus.is_in().await);
    assert_eq!(found(&app, "linus").await.unwrap()["role"], "operator");
}

#[tokio::test]
async fn an_answer_counts_once_in_the_browser_that_asked_and_for_what_it_asked() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let app = start(&provider, "", ROLES).await;
    let ann = user("ann-1", "ann", &["ops"]);
    let mut browser = Traveller::new(&app, &provider);
    let there = browser.depart("/login/openid?next=%2Ftasks").await;
    let cookie = browser.cookie(COOKIE).expect("a cookie").to_owned();
    let back = browser.log_in_there(&there, &ann).await;

    // In another browser: with no cookie, and with one of its own.
    let begin = "This browser has not begun that login";
    let mut other = Traveller::new(&app, &provider);
    assert_refused(&other.get(&back).await, begin);
    other.depart("/login/openid").await;
    assert_refused(&other.get(&back).await, begin);
    assert!(!other.is_in().await);

    // With another state, and with a cookie that says something else.
    let state = Url::parse(&format!("{PUBLIC}{back}")).unwrap();
    let (_, state) = state
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap();
    let forged = back.replace(&*state, &"A".repeat(43));
    browser.set_cookie(COOKIE, &cookie);
    assert_refused(&browser.get(&forged).await, begin);
    let (random, _) = cookie.split_once('.').unwrap();
    let other_errand = "eyJhdCI6MCwibmV4dCI6Ii8ifQ";
    browser.set_cookie(COOKIE, &format!("{random}.{other_errand}"));
    assert_refused(&browser.get(&back).await, begin);
    // From another provider.
    browser.set_cookie(COOKIE, &cookie);
    let mixed = back.replace("iss=", "iss=https%3A%2F%2Fevil.example&was=");
    assert_refused(&browser.get(&mixed).await, "another provider");

    browser.set_cookie(COOKIE, &cookie);
    let reply = browser.get(&back).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(browser.is_in().await);

    let mut replay = Traveller::new(&app, &provider);
    replay.set_cookie(COOKIE, &cookie);
    assert_refused(&replay.get(&back).await, "was used before");
    // Not even with another code of the provider.
    let mut fresh = Traveller::new(&app, &provider);
    let code = fresh.log_in_there(&there, &ann).await;
    fresh.set_cookie(COOKIE, &cookie);
    assert_refused(&fresh.get(&code).await, "was used before");
    assert!(app.stderr().contains("the state was used before"));
    assert!(!replay.is_in().await && !fresh.is_in().await);
    let refusals = records(&app, "refusal.login").await;
    assert!(!refusals.is_empty());

    // Who goes on with answers that nobody asked for waits; who asked does not.
    let mut forger = Traveller::new(&app, &provider);
    let mut last = forger.get(&forged).await;
    for _ in 0..30 {
        last = forger.get(&forged).await;
    }
    assert_eq!(last.status, 429, "{}", last.text());
    let reply = Traveller::new(&app, &provider).log_in(&ann).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn an_id_token_that_is_not_for_this_login_lets_nobody_in() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let app = start(&provider, "", ROLES).await;
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (forge, logged) in [
        (
            json!({"claims": {"nonce": "another"}}),
            "the nonce is another one",
        ),
        (json!({"claims": {"aud": "another"}}), "Invalid audiences"),
        (json!({"claims": {"azp": "another"}}), "for another client"),
        (
            json!({"claims": {"iss": "https://evil.example"}}),
            "Invalid issuer",
        ),
        (json!({"claims": {"exp": now - 10}}), "Expired"),
        (
            json!({"claims": {"iat": now - 3600}}),
            "issued at another time",
        ),
        (
            json!({"claims": {"at_hash": "AAAA"}}),
            "the access token is another one",
        ),
        (json!({"alg": "none"}), "signature"),
        (json!({"alg": "HS256"}), "Disallowed signature algorithm"),
        (json!({"key": "stranger"}), "Crypto error"),
    ] {
        let mut ann = user("ann-1", "ann", &["boss"]);
        ann["forge"] = forge.clone();
        let mut visitor = Traveller::new(&app, &provider);
        let reply = visitor.log_in(&ann).await;
        assert_refused(&reply, "does not belong to a login");
        assert!(!visitor.is_in().await, "{forge}");
        let said = app.stderr().to_lowercase();
        assert!(said.contains(&logged.to_lowercase()), "{forge}: {said}");
    }
    assert_eq!(users(&app).await.len(), 1);

    // Nor is anything wrong but what was forged; and a new key is asked for.
    let ann = user("ann-1", "ann", &["boss"]);
    let mut visitor = Traveller::new(&app, &provider);
    assert_eq!(visitor.log_in(&ann).await.status, 200);
    provider.rotate().await;
    let begin = Instant::now();
    while Traveller::new(&app, &provider).log_in(&ann).await.status != 200 {
        assert!(begin.elapsed() < DEADLINE, "the new key is not taken");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_the_provider_refuses_is_said_in_our_words() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let app = start(&provider, "", ROLES).await;
    for (error, said) in [
        ("access_denied", "did not let you in"),
        ("invalid_scope", "refused the login"),
    ] {
        let mut visitor = Traveller::new(&app, &provider);
        let reply = visitor.log_in(&json!({"sub": "x", "refuse": error})).await;
        assert_refused(&reply, said);
        assert!(!reply.text().contains("alert(1)"), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_provider_that_is_down_stops_nobody_with_a_password() {
    let Some(mut provider) = Provider::start() else {
        return;
    };
    provider.stop();
    let app = start(&provider, "", ROLES).await;
    let mut visitor = Traveller::new(&app, &provider);
    let reply = visitor.get("/login/openid?next=%2Ftasks").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains(&format!("Cannot reach {NAME} now")));
    assert!(
        reply.text().contains("name=\"password\""),
        "{}",
        reply.text()
    );
    let fields = [("name", "admin"), ("password", app.admin_password())];
    assert_eq!(visitor.submit("/login", &fields).await.status, 303);
    assert!(visitor.is_in().await);
}

#[tokio::test]
async fn a_second_factor_at_the_provider_counts_where_its_token_says_so() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let strict = "[auth]\nsecond_factor = [\"operator\"]\n";
    let app = start(&provider, strict, ROLES).await;
    let ann = user("ann-1", "ann", &["ops"]);
    let mut weak = Traveller::new(&app, &provider);
    let reply = weak.log_in(&ann).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let leads = "url=/login/second_factor?next=%2Ftasks";
    assert!(reply.text().contains(leads), "{}", reply.text());
    assert!(!weak.is_in().await);
    let page = weak.get("/login/second_factor").await.text();
    let code = code(&told(&page), 0);
    let form_token = hidden(&page, "form_token");
    let fields = [("form_token", &*form_token), ("code", &*code)];
    let reply = weak.submit("/login/second_factor", &fields).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(weak.is_in().await);
    assert_eq!(by_two_factors(&app).await, 1);
    // From now on the code is asked for.
    let reply = Traveller::new(&app, &provider).log_in(&ann).await;
    assert!(reply.text().contains("url=/login/code?next=%2Ftasks"));

    let mut strong = Traveller::new(&app, &provider);
    let mut with_code = ann.clone();
    with_code["amr"] = json!(["pwd", "otp", "mfa"]);
    let reply = strong.log_in(&with_code).await;
    assert!(reply.text().contains("url=/tasks"), "{}", reply.text());
    assert!(strong.is_in().await);
    assert_eq!(by_two_factors(&app).await, 2);

    let trust = format!("trust_second_factor = true\n{ROLES}");
    let trusting = start(&provider, strict, &trust).await;
    let mut weak = Traveller::new(&trusting, &provider);
    weak.log_in(&ann).await;
    assert!(weak.is_in().await);
}

/// Logs in as `ann`, and asks for what needs to be confirmed.
#[tokio::test]
async fn a_session_is_confirmed_by_a_new_login_of_the_same_person_there() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let app = start(&provider, "", ROLES).await;
    let ann = user("ann-1", "ann", &["boss"]);
    let mut visitor = Traveller::new(&app, &provider);
    assert_eq!(visitor.log_in(&ann).await.status, 200);
    let page = visitor.get("/confirm?next=%2Fusers").await.text();
    assert!(page.contains(&format!("Confirm with {NAME}")), "{page}");
    let way = "/login/openid?next=%2Fusers&confirm=yes";

    let there = visitor.depart(way).await;
    assert!(
        there.contains("prompt=login") && there.contains("max_age=0"),
        "{there}"
    );
    let back = visitor
        .log_in_there(&there, &user("bob-1", "bob", &["boss"]))
        .await;
    assert_refused(&visitor.get(&back).await, "somebody else");
    // Somebody who is known here, too.
    assert_eq!(
        Traveller::new(&app, &provider)
            .log_in(&user("bob-1", "bob", &["boss"]))
            .await
            .status,
        200
    );
    let there = visitor.depart(way).await;
    let back = visitor
        .log_in_there(&there, &user("bob-1", "bob", &["boss"]))
        .await;
    assert_refused(&visitor.get(&back).await, "somebody else");
    assert!(records(&app, "session.confirm").await.is_empty());

    // A login there of before confirms nothing.
    let there = visitor.depart(way).await;
    let mut stale = ann.clone();
    stale["forge"] = json!({"claims": {"auth_time": 1_000_000_000}});
    let back = visitor.log_in_there(&there, &stale).await;
    assert_refused(&visitor.get(&back).await, "did not ask you to log in again");

    let there = visitor.depart(way).await;
    let back = visitor.log_in_there(&there, &ann).await;
    let reply = visitor.get(&back).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("url=/users"), "{}", reply.text());
    let confirmed = records(&app, "session.confirm").await;
    assert_eq!(confirmed.len(), 1);
    assert_eq!(confirmed[0]["by"], "ann");
}

#[tokio::test]
async fn no_other_site_sends_a_browser_to_the_provider() {
    let Some(provider) = Provider::start() else {
        return;
    };
    let app = start(&provider, "", ROLES).await;
    for (site, leads) in [
        ("cross-site", "/login?next=%2Ftasks"),
        ("same-site", "/login?next=%2Ftasks"),
        ("same-origin", provider.issuer()),
        ("none", provider.issuer()),
    ] {
        let client = app.with_header("Sec-Fetch-Site", site);
        let reply = client.get("/login/openid?next=%2Ftasks").await;
        assert_eq!(reply.status, 303, "{site}");
        assert!(reply.header("location").starts_with(leads), "{site}");
    }
    let client = app.anonymous();
    let reply = client.get("/login/openid?next=https://evil.example").await;
    let cookie = reply.header("set-cookie");
    for attribute in [
        "Path=/",
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
        "Max-Age=600",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
}

#[tokio::test]
async fn a_browser_logs_in_sends_a_form_and_confirms() {
    let Some(provider) = Provider::start_open() else {
        return;
    };
    let app = start(&provider, "", ROLES).await;
    let browser = Browser::at(&app, PUBLIC.to_owned()).await;
    let ann = user("ann-1", "ann", &["boss"]).to_string();
    browser.open("/login?next=%2Faccount").await;
    browser.shot("openid-login").await;
    browser.click("#openid").await;
    browser.fill("#user", &ann).await;
    browser.click("#go").await;
    let at_account = async || browser.path().await == "/account";
    browser
        .wait_for("the page that was asked for", at_account)
        .await;
    browser.wait_text("main", "OpenID provider").await;

    // A form of the session works.
    browser.open("/account/tokens/new").await;
    browser.fill("input[name=name]", "ci").await;
    browser.click("main form .actions button").await;
    browser.wait_text("main", "ci").await;
    let tokens = app.client().get("/wsexec/tokens").await;
    assert_eq!(tokens.status, 200);

    browser.open("/confirm?next=%2Fusers").await;
    browser.shot("openid-confirm").await;
    browser.click("#openid").await;
    browser.fill("#user", &ann).await;
    browser.click("#go").await;
    let at_users = async || browser.path().await == "/users";
    browser
        .wait_for("the page that was asked for", at_users)
        .await;
    assert_eq!(records(&app, "session.confirm").await.len(), 1);
    assert_eq!(records(&app, "token.create").await.len(), 1);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_told_before_the_start() {
    let app = App::start().await;
    let secret = app.path("secret");
    std::fs::write(&secret, "x").unwrap();
    let config = |more: &str| {
        format!(
            "[http]\npublic_url = {PUBLIC:?}\n[auth.openid]\nclient_id = \"wsexec\"\n\
             issuer = \"https://login.example\"\n{more}"
        )
    };
    for (text, said) in [
        (config("").replace("public_url", "#"), "http.public_url"),
        (
            config("").replace("https://login", "http://login"),
            "auth.openid.issuer",
        ),
        (config("create_users = true"), "auth.openid.roles"),
        (config("ca_file = \"/nowhere\""), "auth.openid.ca_file"),
        (
            config(&format!("client_secret_file = {secret:?}")),
            "chmod 600",
        ),
        (
            config("roles = { a = \"king\" }"),
            "must be admin, operator",
        ),
    ] {
        let file = app.path("other.toml");
        std::fs::write(&file, &text).unwrap();
        let mut command = app.command();
        command.arg("check").arg("--config").arg(&file);
        let checked = Process::spawn(&mut command).said().await;
        assert_ne!(checked.code, Some(0), "{text}");
        let all = format!("{}{}", checked.text(), checked.stderr);
        assert!(all.contains(said), "no {said} in {all}");
    }
}
