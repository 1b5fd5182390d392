//! The curl lines of the service that this one replaces, with `https` for `http`, and those of our own
//! documents.

use super::Bench;
use crate::harness::app::App;
use crate::harness::sshd::{self, Sshd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

impl Bench {
    /// Runs a curl line as a shell would; gives the answer, head and all.
    fn curl(&self, line: &str) -> String {
        let login = format!("user = \"admin:{}\"\n", self.app.admin_password());
        let config = self.app.path("curlrc");
        std::fs::write(&config, login).unwrap();
        let line = line
            .replace(
                "curl -u user:pass",
                "curl -sS -K \"$CONFIG\" --cacert \"$CERTIFICATE\"",
            )
            .replace("http://localhost:5000", &self.app.url());
        let output = Command::new("sh")
            .args(["-c", &line])
            .env("CONFIG", config)
            .env("CERTIFICATE", self.app.certificate())
            .output()
            .expect("curl is installed");
        let (out, err) = (
            output.stdout,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        assert!(output.status.success(), "{line}: {err}");
        String::from_utf8(out).unwrap()
    }
}

#[track_caller]
fn assert_answer(answer: &str, status: &str, parts: &[&str]) {
    let first = answer.lines().next().unwrap_or_default();
    assert!(first.split(' ').nth(1) == Some(status), "{answer}");
    for part in parts {
        assert!(answer.contains(part), "{part}: {answer}");
    }
}

#[tokio::test]
async fn every_curl_line_of_the_old_service_works() {
    let bench = Bench::start().await;
    let post = format!(
        r#"curl -u user:pass -i -H "Content-Type: application/json" -X POST -d '{{"name":"ls", "tag":"essai", "instance":{}, "script":"ls -als", "user":"{}"}}' http://localhost:5000/wsexec/tasks"#,
        bench.instance, bench.user
    );
    for id in ["1", "2"] {
        let answer = bench.curl(&post);
        let location = format!("{}/wsexec/tasks/{id}", bench.app.url());
        assert_answer(
            &answer,
            "201",
            &[&location, r#"{"task":{"#, r#""state":"INIT""#],
        );
    }
    bench.app.wait_ended(1).await;
    bench.app.wait_ended(2).await;
    for (line, status, part) in [
        (
            "curl -u user:pass -i http://localhost:5000/wsexec/tasks",
            "200",
            r#"{"tasks":[{"id":1,"#,
        ),
        (
            "curl -u user:pass -i http://localhost:5000/wsexec/tasks/2",
            "200",
            r#""state":"DONE""#,
        ),
        (
            "curl -u user:pass -i http://localhost:5000/wsexec/tasks/3",
            "404",
            r#""error":"Not found""#,
        ),
        (
            r#"curl -u user:pass -i -H "Content-Type: application/json" -X PUT -d '{"rc":5}' http://localhost:5000/wsexec/tasks/2"#,
            "200",
            r#""rc":5"#,
        ),
        (
            r#"curl -u user:pass -i -H "Content-Type: application/json" -X PUT -d '{"stdout":"ok"}' http://localhost:5000/wsexec/tasks/2"#,
            "200",
            r#""stdout":"ok""#,
        ),
        (
            "curl -u user:pass -i http://localhost:5000/wsexec/instances",
            "200",
            r#"{"instances":[{"id":1,"#,
        ),
        (
            "curl -u user:pass -i http://localhost:5000/wsexec/instances/1",
            "200",
            r#"{"instance":{"id":1,"#,
        ),
        (
            r#"curl -u user:pass -i -H "Content-Type: application/json" -X POST -d '{"ip":"127.0.0.1", "tag":"localhost", "state":"ACTIVE"}' http://localhost:5000/wsexec/instances"#,
            "201",
            r#""tag":"localhost""#,
        ),
        (
            r#"curl -u user:pass -i -H "Content-Type: application/json" -X PUT -d '{"ip":"127.0.0.2", "tag":"localhost2", "state":"DEACTIVE"}' http://localhost:5000/wsexec/instances/1"#,
            "200",
            r#""state":"DEACTIVATE""#,
        ),
        (
            r#"curl -u user:pass -i -H "Content-Type: application/json" -X PUT -d '{"ip":"127.0.0.1", "tag":"localhost", "state":"ACTIVE"}' http://localhost:5000/wsexec/instances/1"#,
            "200",
            r#""state":"ACTIVE""#,
        ),
        (
            r#"curl -u user:pass -i -H "Content-Type: application/json" -X DELETE http://localhost:5000/wsexec/instances/1"#,
            "200",
            r#"{"result":true}"#,
        ),
    ] {
        assert_answer(&bench.curl(line), status, &[part]);
    }
}

#[tokio::test]
async fn the_examples_of_the_documents_work_as_they_stand() {
    let page = include_str!("../../../docs/api.md");
    let block = page.split("```sh\n").nth(1).expect("examples");
    let block = block.split("```").next().expect("their end");
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let login = format!(
        "machine 127.0.0.1 login admin password {}\n",
        app.admin_password()
    );
    let netrc = app.path("login");
    let mut file = std::fs::OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600).open(&netrc);
    std::io::Write::write_all(&mut file.expect("a file"), login.as_bytes()).expect("room");
    let mut script = block.to_owned();
    for (there, here) in [
        ("https://127.0.0.1:8443", &*app.url()),
        ("certs/wsexec.crt", "\"$CERTIFICATE\""),
        ("~/.wsexec-login", "\"$LOGIN\""),
        (
            "\"ip\": \"10.0.0.7\"",
            &format!("\"ip\": \"127.0.0.1\", \"port\": {}", sshd.port()),
        ),
        (
            "\"user\": \"deploy\"",
            &format!("\"user\": \"{}\"", sshd::user()),
        ),
    ] {
        assert!(script.contains(there), "{there}");
        script = script.replace(there, here);
    }
    let ran = Command::new("sh")
        .args(["-euc", &script])
        .env("CERTIFICATE", app.certificate())
        .env("LOGIN", netrc)
        .output()
        .expect("curl is installed");
    let (out, err) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{out}\n{err}");
    for part in [
        "\"labels\":{\"env\":\"prod\"}",
        "\"state\":\"DONE\"",
        "event: end",
        "Filesystem",
        "\"outcome\":\"cancelled\"",
        "\"pinned\":true",
        "{\"result\":true}",
        "\"wsx_",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let all = app.client().get("/wsexec/tasks").await.json();
    assert_eq!(
        all["tasks"].as_array().map(Vec::len),
        Some(1),
        "started once"
    );
}
