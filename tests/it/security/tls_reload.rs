//! The certificate is exchanged while the service runs.

use super::wire::{self, connect_with, until_closed};
use crate::harness::app::{App, DEADLINE};
use crate::harness::certificates::{Authority, Pair};
use reqwest::tls::TlsInfo;
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The certificate that a new connection is shown (DER), and the header that binds to HTTPS.
pub async fn served(app: &App) -> (Vec<u8>, String) {
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .no_proxy()
        .build()
        .unwrap();
    let answer = client.get(format!("{}/healthz", app.url()));
    let answer = answer.send().await.expect("an answer");
    let info = answer.extensions().get::<TlsInfo>().expect("TLS");
    let header = answer.headers().get("strict-transport-security");
    let header = header.map(|h| h.to_str().unwrap().to_owned());
    (
        info.peer_certificate().expect("one").to_vec(),
        header.unwrap_or_default(),
    )
}

/// Waits until new connections are shown a certificate like this, and gives it.
pub async fn wait_served(app: &App, like: impl Fn(&X509Certificate<'_>) -> bool) -> Vec<u8> {
    let begin = Instant::now();
    loop {
        let (der, _) = served(app).await;
        if like(&X509Certificate::from_der(&der).expect("a certificate").1) {
            return der;
        }
        assert!(begin.elapsed() < DEADLINE, "it stays: {}", app.stderr());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

fn put(app: &App, pair: &Pair) {
    pair.write(&app.certificate(), &app.path("certs/wsexec.key"));
}

#[tokio::test]
async fn changed_files_are_taken_up_without_a_signal_and_connections_stay() {
    let app = App::start().await;
    let mut old = wire::connect(&app).await;
    let company = Authority::new("Company");
    let new = company.server(|_| {});
    put(&app, &new);
    let new = der(&new.cert);
    wait_served(&app, |shown| shown.as_raw() == new).await;

    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    old.write_all(request).await.unwrap();
    let answer = until_closed(&mut old).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "the old connection");
}

#[tokio::test]
async fn no_request_fails_while_the_certificate_is_exchanged_again_and_again() {
    let company = Authority::new("Company");
    let app = App::start().await;
    put(&app, &company.server(|_| {}));
    app.signal(Signal::HUP);
    app.wait_stderr("certificate read again").await;
    let root = reqwest::Certificate::from_pem(company.pem().as_bytes()).unwrap();
    let url = format!("{}/healthz", app.url());
    let asking = async {
        for n in 0..150 {
            let client = reqwest::Client::builder()
                .tls_certs_only([root.clone()])
                .no_proxy()
                .build()
                .unwrap();
            let answer = client.get(&url).send().await;
            assert_eq!(answer.expect("an answer").status(), 200, "request {n}");
        }
    };
    let exchanging = async {
        for _ in 0..15 {
            let new = company.server(|_| {});
            put(&app, &new);
            app.signal(Signal::HUP);
            let new = der(&new.cert);
            wait_served(&app, |shown| shown.as_raw() == new).await;
        }
    };
    tokio::join!(asking, exchanging);
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing_and_is_told_once() {
    let app = App::start().await;
    let (before, _) = served(&app).await;
    let company = Authority::new("Company");
    let (one, other) = (company.server(|_| {}), company.server(|_| {}));
    let wrong = Pair {
        cert: one.cert.clone(),
        key: other.key,
    };
    let told = "the changed certificate is not used";
    put(&app, &wrong);
    app.wait_stderr("does not fit the certificate").await;
    std::fs::write(app.certificate(), "nothing").unwrap();
    app.wait_stderr("holds no certificate").await;
    // The look after the next one finds the same.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(app.stderr().matches(told).count(), 2, "{}", app.stderr());
    assert_eq!(served(&app).await.0, before);

    put(&app, &one);
    let one = der(&one.cert);
    wait_served(&app, |shown| shown.as_raw() == one).await;
}

#[tokio::test]
async fn urls_take_the_names_of_the_certificate_that_is_shown() {
    let company = Authority::new("Company");
    let app = App::start().await;
    let uri = async |host: &str| {
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .http1_only()
            .no_proxy()
            .build()
            .unwrap();
        let body = serde_json::json!({"ip": "127.0.0.1"});
        let made = client
            .post(format!("{}/wsexec/instances", app.url()))
            .basic_auth("admin", Some(app.admin_password()))
            .header("Host", host)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        made.headers()["location"].to_str().unwrap().to_owned()
    };
    assert!(!uri("runner.example").await.contains("runner.example"));
    let new = company.server(|params| {
        let names = rcgen::CertificateParams::new(["Runner.example".to_owned()]).unwrap();
        params.subject_alt_names.extend(names.subject_alt_names);
    });
    put(&app, &new);
    let new = der(&new.cert);
    wait_served(&app, |shown| shown.as_raw() == new).await;
    let uri = uri("runner.example").await;
    assert!(uri.starts_with("https://runner.example/"), "{uri}");
}

#[tokio::test]
async fn browsers_are_bound_to_https_by_a_certificate_of_another_issuer_alone() {
    let app = App::start().await;
    assert_eq!(served(&app).await.1, "", "self-signed");

    let company = Authority::new("Company");
    let new = company.server(|_| {});
    put(&app, &new);
    let new = der(&new.cert);
    wait_served(&app, |shown| shown.as_raw() == new).await;
    let bound = "max-age=63072000";
    assert_eq!(served(&app).await.1, bound);
    // Also where it is no request at all: connections still trust the certificate of the start.
    std::fs::write(app.certificate(), company.pem()).unwrap();
    let mut stream = connect_with(&app, &[&rustls::version::TLS13], b"http/1.1").await;
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let answer = wire::read(&mut stream).await;
    answer.is_problem(400, "nonsense");
    assert!(answer.head.contains("strict-transport-security"));

    make_authority(&app).await;
    wait_served(&app, is_of_init).await;
    assert_eq!(served(&app).await.1, "", "by certs init");
}

async fn make_authority(app: &App) {
    let made = app
        .command()
        .args(["certs", "init", "--force", "--name", "127.0.0.1"])
        .args(["--name", "localhost"])
        .output()
        .expect("the built program");
    assert!(made.status.success(), "{made:?}");
}

fn is_of_init(shown: &X509Certificate<'_>) -> bool {
    shown
        .issuer()
        .to_string()
        .contains("WSEXEC private authority")
}

fn days_left(shown: &X509Certificate<'_>) -> i64 {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    (shown.validity().not_after.timestamp() - now) / (24 * 60 * 60)
}

#[tokio::test]
async fn a_certificate_of_the_private_authority_is_renewed_at_a_third_of_its_life() {
    let mut app = App::start().await;
    make_authority(&app).await;
    wait_served(&app, is_of_init).await;
    let ours = Authority::load(&app.path("certs"));
    let ending = |days: i64| {
        ours.server(|params| {
            params.not_before = OffsetDateTime::now_utc() - time::Duration::days(90 - days);
            params.not_after = OffsetDateTime::now_utc() + time::Duration::days(days);
        })
    };
    // More than a third: it stays.
    let early = ending(31);
    put(&app, &early);
    let early = der(&early.cert);
    wait_served(&app, |shown| shown.as_raw() == early).await;
    assert!(!app.stderr().contains("the certificate is renewed"));

    put(&app, &ending(29));
    let renewed = wait_served(&app, |shown| days_left(shown) >= 89).await;
    let (_, renewed) = X509Certificate::from_der(&renewed).unwrap();
    assert!(is_of_init(&renewed), "{}", renewed.issuer());
    let names = renewed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 2);
    let trusted = crate::harness::client::Client::new(app.url(), &app.path("certs/ca.crt"), None);
    assert_eq!(trusted.get("/healthz").await.status, 200);

    // Expired while the service was away.
    app.stop().await;
    put(&app, &ending(-1));
    app.restart().await;
    let (der, _) = served(&app).await;
    let (_, shown) = X509Certificate::from_der(&der).unwrap();
    assert!(days_left(&shown) >= 89, "at the first handshake");
}

#[tokio::test]
async fn a_given_certificate_that_ends_while_it_is_served_is_told_and_another_one_is_taken_up() {
    let app = App::start().await;
    let company = Authority::new("Company");
    let ending = company.server(|params| {
        params.not_after = OffsetDateTime::now_utc() + time::Duration::seconds(20);
    });
    put(&app, &ending);
    let shown = der(&ending.cert);
    wait_served(&app, |it| it.as_raw() == shown).await;
    app.wait_stderr("ends soon and is not renewed here").await;

    // Its log tells it at that moment, and so do clients and `check`; who looks at no time is served.
    app.wait_stderr("the certificate expired on").await;
    let root = reqwest::Certificate::from_pem(company.pem().as_bytes()).unwrap();
    let ask = async || {
        let client = reqwest::Client::builder().tls_certs_only([root.clone()]);
        let client = client.no_proxy().build().unwrap();
        client.get(format!("{}/healthz", app.url())).send().await
    };
    let refused = format!("{:?}", ask().await.expect_err("it has expired"));
    assert!(refused.contains("Expired"), "{refused}");
    assert_eq!(served(&app).await.0, shown);
    let check = app.command().arg("check").output().expect("the program");
    let check = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(
        check.contains("FAIL certificate: the certificate expired on"),
        "{check}"
    );

    let new = company.server(|_| {});
    put(&app, &new);
    let new = der(&new.cert);
    wait_served(&app, |it| it.as_raw() == new).await;
    assert_eq!(ask().await.expect("an answer").status(), 200);
}
