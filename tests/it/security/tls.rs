use super::wire::{Answer, connect_with, until_closed};
use crate::harness::app::{App, DEADLINE, program};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// A ClientHello of TLS 1.1 without extensions (RFC 4346 section 7.4.1.2).
fn client_hello_1_1() -> Vec<u8> {
    let mut hello = vec![0x03, 0x02];
    hello.extend([7; 32]);
    // No session; ECDHE-ECDSA-AES128-CBC-SHA and ECDHE-RSA-AES128-CBC-SHA; no compression.
    hello.extend([0, 0, 4, 0xC0, 0x09, 0xC0, 0x13, 1, 0]);
    let length = u8::try_from(hello.len()).expect("short");
    let mut record = vec![0x16, 0x03, 0x01, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    record
}

#[tokio::test]
async fn tls_1_1_is_refused_with_an_alert() {
    let app = App::start().await;
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket.write_all(&client_hello_1_1()).await.unwrap();
    let answer = until_closed(&mut socket).await;
    // One alert, fatal: handshake_failure or protocol_version (RFC 5246 section 7.2).
    assert_eq!(answer.first(), Some(&21), "{answer:?}");
    assert!(matches!(answer[5..], [2, 40 | 70]), "{answer:?}");
}

#[tokio::test]
async fn tls_1_2_and_1_3_offer_http_2_and_1_1() {
    let app = App::start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for alpn in [&b"h2"[..], b"http/1.1"] {
            let stream = connect_with(&app, &[version], alpn).await;
            let session = stream.get_ref().1;
            assert_eq!(session.alpn_protocol(), Some(alpn));
            assert_eq!(session.protocol_version(), Some(version.version));
        }
    }
}

#[tokio::test]
async fn plain_http_on_the_tls_port_is_told_to_use_https() {
    let app = App::start().await;
    let mut socket = TcpStream::connect(app.address()).await.unwrap();
    socket
        .write_all(b"GET /wsexec/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let answer = Answer::parse(&until_closed(&mut socket).await).expect("an answer");
    answer.is_problem(400, "plain HTTP");
    assert!(answer.body.contains("https://"), "{answer:?}");
}

#[tokio::test]
async fn the_made_certificate_is_trusted_by_curl_and_its_key_is_for_the_owner_alone() {
    let app = App::start().await;
    let mode = |name: &str| app.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("certs/wsexec.key"), 0o600);
    assert_eq!(mode("certs/wsexec.crt"), 0o644);
    for host in ["localhost", "127.0.0.1"] {
        let answer = Command::new("curl")
            .args(["--silent", "--fail", "--noproxy", "*", "--cacert"])
            .arg(app.certificate())
            .arg(format!("https://{host}:{}/healthz", app.address().port()))
            .output()
            .expect("curl");
        assert!(answer.status.success(), "{host}: {answer:?}");
    }
}

/// Starts the server where it cannot start, and gives what it says.
fn refused(home: &Path) -> String {
    let output = program(home)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .output()
        .expect("the built program");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn make_pair(home: &Path, name: &str) {
    std::fs::create_dir_all(home.join("certs")).unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=test", "-keyout"])
        .arg(home.join(format!("certs/{name}.key")))
        .arg("-out")
        .arg(home.join(format!("certs/{name}.crt")))
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn half_a_pair_a_wrong_pair_and_an_exposed_key_are_refused_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("certs/wsexec.key");
    make_pair(home.path(), "wsexec");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let said = refused(home.path());
    assert!(said.contains("chmod 600 certs/wsexec.key"), "{said}");

    make_pair(home.path(), "other");
    std::fs::copy(home.path().join("certs/other.key"), &key).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let said = refused(home.path());
    assert!(said.contains("does not fit the certificate"), "{said}");

    std::fs::remove_file(&key).unwrap();
    let said = refused(home.path());
    assert!(said.contains("certs/wsexec.key is not"), "{said}");
    assert!(!key.exists());
}

#[tokio::test]
async fn two_hundred_half_open_connections_do_not_stop_the_service() {
    let app = App::start().await;
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        if n % 2 == 0 {
            socket.write_all(b"\x16\x03\x01").await.unwrap();
        }
        silent.push(socket);
    }
    let client = app.anonymous();
    assert_eq!(client.get("/healthz").await.status, 200);
    drop(silent);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut_off() {
    let app = App::builder()
        .config("[http]\nhandshake_timeout = 1")
        .start()
        .await;
    for begin in [&b""[..], b"\x16\x03\x01"] {
        let mut socket = TcpStream::connect(app.address()).await.unwrap();
        socket.write_all(begin).await.unwrap();
        assert_eq!(until_closed(&mut socket).await, b"");
    }
}

#[tokio::test]
async fn past_the_most_connections_the_next_one_waits_for_a_place() {
    let app = App::builder()
        .config("[http]\nmax_connections = 2")
        .start()
        .await;
    let address = app.address();
    let held = [
        TcpStream::connect(address).await.unwrap(),
        TcpStream::connect(address).await.unwrap(),
    ];
    let client = app.anonymous();
    let waiting = tokio::spawn(async move { client.get("/healthz").await.status });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(held);
    let status = tokio::time::timeout(DEADLINE, waiting).await;
    assert_eq!(status.expect("in time").expect("no panic"), 200);
}
