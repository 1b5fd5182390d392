//! The curl lines of the service that this one replaces, with `https` for `http`.

use super::Bench;
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
