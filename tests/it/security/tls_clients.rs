//! Client certificates: who gets in by one, and who does not.

use crate::harness::app::{App, DEADLINE, Process};
use crate::harness::certificates::{Authority, Pair};
use crate::harness::client::{Reply, send};
use rcgen::{DnType, ExtendedKeyUsagePurpose, SanType, SerialNumber};
use reqwest::{Certificate, Client, Identity, Method};
use rustix::process::Signal;
use serde_json::json;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

const PATH: &str = "/wsexec/instances";
/// No user's: they are not needed here.
const PASSWORD: &str = "correct horse battery staple 7";

/// A service that knows `alice` and takes certificates of this authority.
async fn start(authority: &Authority, more: &str) -> (App, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let ca = home.path().join("clients.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    std::fs::write(home.path().join("crl.pem"), authority.revoked(&[])).unwrap();
    let more = more.replace("HOME", &home.path().display().to_string());
    let app = App::builder()
        .config(&format!("[tls]\nclient_ca = {ca:?}\n{more}"))
        .start()
        .await;
    add(&app, "alice").await;
    (app, home)
}

async fn add(app: &App, name: &str) {
    let mut command = app.command();
    command.args(["user", "add", name, "--password-stdin"]);
    let said = Process::spawn_with(&mut command, PASSWORD.as_bytes())
        .said()
        .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

fn client(app: &App, shown: Option<&Pair>) -> Client {
    let pem = std::fs::read(app.certificate()).unwrap();
    let builder = Client::builder()
        .tls_certs_only([Certificate::from_pem(&pem).unwrap()])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let builder = match shown {
        Some(pair) => {
            let both = format!("{}{}", pair.cert, pair.key);
            builder.identity(Identity::from_pem(both.as_bytes()).unwrap())
        }
        None => builder,
    };
    builder.build().unwrap()
}

async fn get(app: &App, shown: Option<&Pair>) -> Reply {
    send(client(app, shown).get(format!("{}{PATH}", app.url()))).await
}

async fn is_refused_in_the_handshake(app: &App, shown: Option<&Pair>) -> bool {
    let asked = client(app, shown).get(format!("{}/healthz", app.url()));
    asked.send().await.is_err()
}

#[tokio::test]
async fn a_certificate_logs_in_as_the_user_that_it_names_under_wsexec_alone() {
    let authority = Authority::new("Clients");
    let (app, _home) = start(&authority, "").await;
    let alice = authority.client("alice", |_| {});
    assert_eq!(get(&app, Some(&alice)).await.status, 200);
    app.wait_stderr("user=\"alice\"").await;
    assert_eq!(get(&app, None).await.status, 401, "without one");

    let stranger = authority.client("mallory", |_| {});
    assert_eq!(get(&app, Some(&stranger)).await.status, 401, "no such user");

    let page = client(&app, Some(&alice)).get(format!("{}/tasks", app.url()));
    let page = send(page).await;
    assert_eq!(page.status, 303, "a page asks for its own login");

    let wrong = client(&app, Some(&alice))
        .get(format!("{}{PATH}", app.url()))
        .basic_auth("alice", Some("wrong"));
    assert_eq!(
        send(wrong).await.status,
        401,
        "what is said outright counts"
    );
}

#[tokio::test]
async fn a_removed_user_gets_in_by_no_certificate_from_the_next_request_on() {
    let authority = Authority::new("Clients");
    let (app, _home) = start(&authority, "").await;
    let alice = client(&app, Some(&authority.client("alice", |_| {})));
    let get = || send(alice.get(format!("{}{PATH}", app.url())));
    assert_eq!(get().await.status, 200);
    let mut command = app.command();
    let said = Process::spawn(command.args(["user", "remove", "alice"]));
    assert_eq!(said.said().await.code, Some(0));
    assert_eq!(get().await.status, 401);
}

#[tokio::test]
async fn a_mail_address_goes_before_the_common_name_and_what_is_ambiguous_names_nobody() {
    let authority = Authority::new("Clients");
    let (app, _home) = start(&authority, "").await;
    add(&app, "bob@example.org").await;
    let mail = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
    let bob = authority.client("alice", |params| {
        params.subject_alt_names = vec![mail("bob@example.org")];
    });
    let reply = get(&app, Some(&bob)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    app.wait_stderr("user=\"bob@example.org\"").await;
    assert!(!app.stderr().contains("user=\"alice\""));

    let two_mails = authority.client("alice", |params| {
        params.subject_alt_names = vec![mail("bob@example.org"), mail("alice")];
    });
    let none = authority.issue(|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let elsewhere = authority.client("", |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        let unit = DnType::OrganizationalUnitName;
        params.distinguished_name.push(unit, "alice");
    });
    let two_names = authority.client("alice", |params| {
        // The same attribute under another spelling of its number.
        let common_name = DnType::from_oid(&[2, 5, 4, 3]);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "alice");
        params
            .distinguished_name
            .push(DnType::CustomDnType(vec![2, 5, 4, 3]), "bob@example.org");
        assert_eq!(common_name, DnType::CommonName);
    });
    for (what, pair) in [
        ("two mail addresses", two_mails),
        ("no name", none),
        ("another attribute", elsewhere),
        ("two common names", two_names),
        ("a space", authority.client("alice ", |_| {})),
        ("a NUL", authority.client("alice\0", |_| {})),
        ("upper case", authority.client("ALICE", |_| {})),
    ] {
        assert_eq!(get(&app, Some(&pair)).await.status, 401, "{what}");
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_ends_the_handshake() {
    let authority = Authority::new("Clients");
    let (app, _home) = start(&authority, "").await;
    let now = OffsetDateTime::now_utc();
    let another = Authority::new("Clients");
    for (what, pair) in [
        ("of another authority", another.client("alice", |_| {})),
        (
            "expired",
            authority.client("alice", |p| p.not_after = now - time::Duration::seconds(5)),
        ),
        (
            "not valid yet",
            authority.client("alice", |p| p.not_before = now + time::Duration::hours(1)),
        ),
        (
            "a server's",
            authority.client("alice", |p| {
                p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
    ] {
        assert!(
            is_refused_in_the_handshake(&app, Some(&pair)).await,
            "{what}"
        );
    }
    let alice = authority.client("alice", |_| {});
    assert!(!is_refused_in_the_handshake(&app, Some(&alice)).await);
}

#[tokio::test]
async fn a_certificate_that_ends_counts_no_more_on_its_open_connection() {
    let authority = Authority::new("Clients");
    let (app, _home) = start(&authority, "").await;
    let pair = authority.client("alice", |params| {
        params.not_after = OffsetDateTime::now_utc() + time::Duration::seconds(4);
    });
    let open = client(&app, Some(&pair));
    let ask = || send(open.get(format!("{}{PATH}", app.url())));
    assert_eq!(ask().await.status, 200);
    let begin = Instant::now();
    while ask().await.status != 401 {
        assert!(begin.elapsed() < DEADLINE, "it still counts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn where_certificates_are_required_nobody_gets_in_without_one() {
    let authority = Authority::new("Clients");
    // The harness itself has none to wait for the service with.
    let more = "client_certificates = \"required\"";
    let (app, _home) = start(&authority, more).await;
    assert!(is_refused_in_the_handshake(&app, None).await);
    let alice = authority.client("alice", |_| {});
    assert_eq!(get(&app, Some(&alice)).await.status, 200);
}

#[tokio::test]
async fn a_revoked_certificate_counts_no_more_on_new_and_on_open_connections() {
    let authority = Authority::new("Clients");
    let (app, home) = start(&authority, "client_crl = \"HOME/crl.pem\"").await;
    let numbered = |name: &str, number: u64| {
        authority.client(name, |p| p.serial_number = Some(SerialNumber::from(number)))
    };
    let (lost, kept) = (numbered("alice", 77), numbered("alice", 78));
    let open = client(&app, Some(&lost));
    let ask = || send(open.get(format!("{}{PATH}", app.url())));
    assert_eq!(ask().await.status, 200);
    std::fs::write(home.path().join("crl.pem"), authority.revoked(&[77])).unwrap();
    app.signal(Signal::HUP);
    app.wait_stderr("certificate read again").await;
    assert_eq!(ask().await.status, 401, "on the open connection");
    assert!(is_refused_in_the_handshake(&app, Some(&lost)).await);
    assert_eq!(get(&app, Some(&kept)).await.status, 200);

    // Where there is no list of the issuer's, nobody knows what it has revoked.
    let another = Authority::new("Another").revoked(&[]);
    std::fs::write(home.path().join("crl.pem"), another).unwrap();
    let begin = Instant::now();
    while !is_refused_in_the_handshake(&app, Some(&kept)).await {
        assert!(begin.elapsed() < DEADLINE, "it still counts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_browser_has_to_prove_where_it_comes_from_and_a_program_does_not() {
    let authority = Authority::new("Clients");
    let (app, _home) = start(&authority, "").await;
    let alice = client(&app, Some(&authority.client("alice", |_| {})));
    let post = async |headers: &[(&str, &str)]| {
        let mut request = alice
            .request(Method::POST, format!("{}{PATH}", app.url()))
            .json(&json!({"ip": "127.0.0.1"}));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request).await.status
    };
    let browser = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)");
    assert_eq!(post(&[]).await, 201);
    assert_eq!(post(&[("User-Agent", "curl/7.88.1")]).await, 201);
    assert_eq!(post(&[browser]).await, 403);
    assert_eq!(
        post(&[browser, ("Sec-Fetch-Site", "cross-site")]).await,
        403
    );
    assert_eq!(post(&[("Origin", "https://evil.example")]).await, 403);
    assert_eq!(
        post(&[browser, ("Sec-Fetch-Site", "same-origin")]).await,
        201
    );
    let own = app.url();
    assert_eq!(post(&[browser, ("Origin", &own)]).await, 201);
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_told_before_the_start_and_by_check() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("clients.pem");
    std::fs::write(&file, "nothing").unwrap();
    let flag = home.path().join("wsexec.toml");
    std::fs::write(&flag, format!("[tls]\nclient_ca = {file:?}\n")).unwrap();
    for command in ["serve", "check"] {
        let mut program = crate::harness::app::program(home.path());
        program.args([command, "--listen", "127.0.0.1:0"]);
        let said = Process::spawn(&mut program).said().await;
        assert_eq!(said.code, Some(1), "{command}");
        let all = format!("{}{}", said.text(), said.stderr);
        assert!(all.contains("holds no certificate"), "{command}: {all}");
    }
}

#[tokio::test]
async fn a_disabled_user_is_refused_from_the_next_request_on_over_the_same_connection() {
    let authority = Authority::new("Clients");
    let (app, _home) = start(&authority, "").await;
    let alice = client(&app, Some(&authority.client("alice", |_| {})));
    let get = || send(alice.get(format!("{}{PATH}", app.url())));
    assert_eq!(get().await.status, 200);
    let own = send(alice.get(format!("{}/wsexec/users/me", app.url()))).await;
    let path = format!("/wsexec/users/{}", own.json()["user"]["id"]);
    let handshakes = || logins_by_certificate(&app);
    let before = handshakes().await;
    assert_eq!(before, 1, "the first request of a connection is its login");
    for beside in [false, true] {
        for (disabled, status) in [(true, 401), (false, 200)] {
            if beside {
                let flag = if disabled { "--disable" } else { "--enable" };
                let mut command = app.command();
                let said = Process::spawn(command.args(["user", "change", "alice", flag]));
                assert_eq!(said.said().await.code, Some(0));
            } else {
                let change = json!({"disabled": disabled});
                let reply = app.client().put(&path, &change).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
            assert_eq!(get().await.status, status, "{beside} {disabled}");
        }
    }
    assert_eq!(handshakes().await, before, "it was one connection");
}

async fn logins_by_certificate(app: &App) -> usize {
    let trail = app.client().get("/wsexec/audit?action=login").await.json();
    let records = trail["audit"].as_array().expect("records").iter();
    let ours = records.filter(|it| it["detail"]["method"] == "certificate");
    ours.count()
}
