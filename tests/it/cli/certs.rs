use crate::harness::app::{App, Process, program};
use crate::harness::process::Said;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;

async fn init(home: &TempDir, arguments: &[&str]) -> Said {
    let mut command = program(home.path());
    Process::spawn(command.args(["certs", "init"]).args(arguments))
        .said()
        .await
}

/// What OpenSSL reads in a certificate.
fn text(home: &TempDir, file: &str) -> String {
    let read = Command::new("openssl")
        .args(["x509", "-noout", "-text", "-in"])
        .arg(home.path().join(file))
        .output()
        .expect("openssl");
    String::from_utf8(read.stdout).expect("text")
}

#[tokio::test]
async fn an_authority_is_made_that_can_vouch_for_the_given_names_alone() {
    let home = TempDir::new().unwrap();
    let said = init(&home, &["--name", "Runner.example", "--name", "10.0.0.7"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let mode = |file: &str| {
        home.path()
            .join(file)
            .metadata()
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("certs/ca.key") & 0o777, 0o600);
    assert_eq!(mode("certs/wsexec.key") & 0o777, 0o600);
    let ca = text(&home, "certs/ca.crt");
    for part in [
        "CA:TRUE, pathlen:0",
        "X509v3 Name Constraints: critical",
        "DNS:runner.example",
        "IP:10.0.0.7/255.255.255.255",
        "Certificate Sign, CRL Sign",
    ] {
        assert!(ca.contains(part), "{part}: {ca}");
    }
    let leaf = text(&home, "certs/wsexec.crt");
    assert!(leaf.contains("DNS:runner.example, IP Address:10.0.0.7"));
    assert!(leaf.contains("CA:FALSE"), "{leaf}");
    let verified = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile"])
        .arg(home.path().join("certs/ca.crt"))
        .arg(home.path().join("certs/wsexec.crt"))
        .output()
        .expect("openssl");
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test]
async fn what_is_there_is_replaced_only_where_that_is_said() {
    let home = TempDir::new().unwrap();
    assert_eq!(init(&home, &[]).await.code, Some(0));
    let read = |file: &str| std::fs::read(home.path().join(file)).unwrap();
    let before = (read("certs/ca.crt"), read("certs/wsexec.key"));
    let said = init(&home, &[]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("--force"), "{}", said.stderr);
    assert_eq!((read("certs/ca.crt"), read("certs/wsexec.key")), before);
    assert_eq!(init(&home, &["--force"]).await.code, Some(0));
    assert_ne!((read("certs/ca.crt"), read("certs/wsexec.key")), before);

    for bad in ["a b", "-x", "*.10.0.0.1", "", "host:1"] {
        let empty = TempDir::new().unwrap();
        let said = init(&empty, &[&format!("--name={bad}")]).await;
        assert_eq!(said.code, Some(1), "{bad}");
        assert!(!empty.path().join("certs").exists(), "{bad}");
    }
}

#[tokio::test]
async fn curl_trusts_the_service_by_the_authority_and_check_tells_who_issued_it() {
    let app = App::start().await;
    let made = app.command().args(["certs", "init", "--force"]).output();
    assert!(made.expect("the built program").status.success());
    app.wait_stderr("certificate read again").await;
    for host in ["localhost", "127.0.0.1"] {
        let answer = Command::new("curl")
            .args(["--silent", "--fail", "--noproxy", "*", "--cacert"])
            .arg(app.path("certs/ca.crt"))
            .arg(format!("https://{host}:{}/healthz", app.address().port()))
            .output()
            .expect("curl");
        assert!(answer.status.success(), "{host}: {answer:?}");
    }
    let checked = Process::spawn(app.command().arg("check")).said().await;
    let line = checked.text();
    let line = line.lines().find(|l| l.contains("certificate: "));
    let line = line.expect("a line").to_owned();
    assert!(line.starts_with("ok "), "{line}");
    assert!(line.contains("issued by wsexec "), "{line}");
    assert!(line.contains("good until 20"), "{line}");
}
