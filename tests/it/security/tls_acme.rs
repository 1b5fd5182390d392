//! A certificate by ACME, from a real server: Pebble, with names that its DNS server has all on
//! loopback.

use super::tls_reload::{served, wait_served};
use crate::harness::app::App;
use crate::harness::certificates::Authority;
use crate::harness::sshd::free_port;
use rustix::process::Signal;
use serde_json::json;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use x509_parser::prelude::X509Certificate;

const NAMES: [&str; 2] = ["runner.example.org", "www.runner.example.org"];

/// The server, and what answers its questions for addresses.
struct Pebble {
    _home: TempDir,
    management: SocketAddr,
    root: String,
    children: Vec<Child>,
}

/// Where one is to be, before it is there.
struct Place {
    home: TempDir,
    listen: SocketAddr,
    root: String,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::new("Of the directory");
        let pair = authority.server(|_| {});
        pair.write(&home.path().join("cert.pem"), &home.path().join("key.pem"));
        std::fs::write(home.path().join("ca.pem"), authority.pem()).unwrap();
        Self {
            listen: port(),
            root: authority.pem().to_owned(),
            home,
        }
    }

    fn config(&self) -> String {
        format!(
            "[tls.acme]\ndirectory = \"https://localhost:{}/dir\"\n\
             contact = [\"mailto:ops@example.org\"]\ndomains = {NAMES:?}\naccept_terms = true\n",
            self.listen.port(),
        )
    }

    /// Who has issued the certificate of the directory itself.
    fn ca(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    /// Starts it; it looks for answers to challenges at this port.
    async fn start(self, tls_port: u16) -> Pebble {
        let (management, dns, http) = (port(), port(), port());
        let path = self.home.path();
        let config = json!({"pebble": {
            "listenAddress": self.listen.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": path.join("cert.pem"),
            "privateKey": path.join("key.pem"),
            "httpPort": http.port(),
            "tlsPort": tls_port,
        }});
        std::fs::write(path.join("pebble.json"), config.to_string()).unwrap();
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        names.args(["-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"]);
        names.args(["-dns01", &dns.to_string(), "-management", &http.to_string()]);
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(path.join("pebble.json"));
        pebble.args(["-strict", "-dnsserver", &dns.to_string()]);
        pebble
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0");
        let started = Pebble {
            children: vec![
                spawn(&mut names, &path.join("names.log")),
                spawn(&mut pebble, &path.join("pebble.log")),
            ],
            management,
            root: self.root,
            _home: self.home,
        };
        let begin = Instant::now();
        while TcpStream::connect(self.listen).is_err() || TcpStream::connect(management).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(60), "Pebble is late");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        started
    }
}

fn port() -> SocketAddr {
    free_port(Ipv4Addr::LOCALHOST.into())
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = File::create(log).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("Debian's package pebble is installed")
}

impl Pebble {
    /// The root that it issues under, new at each of its starts.
    async fn root(&self) -> String {
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(self.root.as_bytes()).unwrap()])
            .no_proxy()
            .build()
            .unwrap();
        let answer = client.get(format!("https://{}/roots/0", self.management));
        answer.send().await.unwrap().text().await.unwrap()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn is_by_pebble(shown: &X509Certificate<'_>) -> bool {
    shown.issuer().to_string().contains("Pebble")
}

#[tokio::test]
async fn a_certificate_is_ordered_validated_on_our_own_port_and_served() {
    let place = Place::new();
    let mut app = App::builder()
        .config(&format!("{}ca = {:?}", place.config(), place.ca()))
        .start()
        .await;
    // Nobody is there yet: the service runs on with what it made, and says so.
    app.wait_stderr("the certificate is not renewed").await;
    let pebble = place.start(app.address().port()).await;
    app.signal(Signal::HUP);
    wait_served(&app, is_by_pebble).await;

    let root = pebble.root().await;
    for name in NAMES {
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(root.as_bytes()).unwrap()])
            .resolve(name, app.address())
            .no_proxy()
            .build()
            .unwrap();
        let url = format!("https://{name}:{}/healthz", app.address().port());
        let answer = client
            .get(url)
            .send()
            .await
            .expect("a certificate that counts");
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().contains_key("strict-transport-security"));
    }
    let mode = |name: &str| app.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("certs/acme-account.json"), 0o600);
    assert_eq!(mode("certs/wsexec.key"), 0o600);

    // What lacks a name is replaced, by the same account.
    let account = || std::fs::read(app.path("certs/acme-account.json")).unwrap();
    let (first, kept) = (served(&app).await.0, account());
    let other = Authority::new("Company").server(|_| {});
    other.write(&app.certificate(), &app.path("certs/wsexec.key"));
    app.signal(Signal::HUP);
    wait_served(&app, |shown| is_by_pebble(shown) && shown.as_raw() != first).await;
    assert_eq!(account(), kept);

    // What is good is no reason to order, neither when asked nor at the next start.
    let (second, _) = served(&app).await;
    app.restart().await;
    app.signal(Signal::HUP);
    app.wait_stderr("changed=false").await;
    assert_eq!(served(&app).await.0, second);
    assert!(!app.stderr().contains("issued by ACME"), "{}", app.stderr());
}

#[tokio::test]
async fn a_name_that_cannot_be_validated_is_told_with_the_reason_and_changes_nothing() {
    let place = Place::new();
    // Without `ca` the system's authorities count, which this variable names.
    let app = App::builder()
        .config(&place.config())
        .env("SSL_CERT_FILE", place.ca())
        .start()
        .await;
    app.wait_stderr("the certificate is not renewed").await;
    let (before, _) = served(&app).await;
    // Something else answers where the server looks.
    let nobody = port();
    let _pebble = place.start(nobody.port()).await;
    app.signal(Signal::HUP);
    app.wait_stderr("could not validate the names").await;
    let stderr = app.stderr();
    assert!(stderr.contains("runner.example.org: "), "{stderr}");
    assert!(stderr.contains("again_in_s"), "{stderr}");
    assert_eq!(served(&app).await.0, before);
}
