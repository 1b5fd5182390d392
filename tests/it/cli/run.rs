use crate::harness::app::{App, Builder, Process};
use crate::harness::process::Said;
use crate::harness::sshd::{self, Sshd};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A server and a machine that it knows.
struct Place {
    sshd: Sshd,
    app: App,
    instance: i64,
}

impl Place {
    async fn new() -> Self {
        Self::with("").await
    }

    async fn with(config: &str) -> Self {
        Self::by(App::builder().config(config)).await
    }

    async fn by(builder: Builder) -> Self {
        let sshd = Sshd::start();
        let app = builder.identity(sshd.identity()).start().await;
        let instance = app.declare("127.0.0.1", sshd.port()).await;
        Self {
            sshd,
            app,
            instance,
        }
    }

    /// `wsexec run` on that machine, with a login and the certificate.
    fn command(&self, script: &str) -> Command {
        let mut command = self.bare(&self.app.address().to_string(), script);
        command.arg("--cacert").arg(self.app.certificate());
        command
    }

    fn bare(&self, target: &str, script: &str) -> Command {
        let mut command = self.app.command();
        command
            .env("WSEXEC_USER", "admin")
            .env("WSEXEC_PASS", self.app.admin_password())
            .args(["run", "-t", target, "-i", &self.instance.to_string()])
            .args(["-u", &sshd::user(), "-c", script]);
        command
    }

    async fn run(&self, script: &str) -> Said {
        Process::spawn(&mut self.command(script)).said().await
    }

    /// The newest task.
    async fn task(&self) -> Value {
        let reply = self
            .app
            .client()
            .get("/wsexec/tasks?order=desc&limit=1")
            .await;
        reply.json()["tasks"][0].clone()
    }

    /// The newest task, once it has ended.
    async fn ended(&self) -> Value {
        let id = self.task().await["id"].as_i64().expect("a task");
        self.app.wait_ended(id).await
    }
}

#[tokio::test]
async fn it_exits_and_speaks_as_the_script_does() {
    let place = Place::new().await;
    let said = place.run("echo out; echo err >&2; exit 7").await;
    assert_eq!(said.code, Some(7));
    assert_eq!(said.text(), "out\n");
    assert_eq!(said.stderr, "err\n");
    assert_eq!(place.run("true").await.code, Some(0));
}

#[tokio::test]
async fn a_script_is_given_the_secrets_that_are_named() {
    let key = wsexec::vault::generate();
    let place = Place::by(App::builder().env("WSEXEC_MASTER_KEY", key.expose())).await;
    let value = wsexec::domain::random_token();
    let new = json!({"name": "prod-db", "kind": "secret", "value": value.expose()});
    let reply = place.app.client().post("/wsexec/identities", &new).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let script = "wc -c < \"$DB_FILE\"; cat \"$AGAIN_FILE\"";
    let mut command = place.command(script);
    command.args(["--secret", "DB=prod-db", "--secret", "AGAIN=prod-db"]);
    let said = Process::spawn(&mut command).said().await;
    let dots = ".".repeat(value.expose().len() - "[masked]".len());
    assert_eq!(
        said.text(),
        format!("43\n[masked{dots}]"),
        "{}",
        said.stderr
    );
    assert_eq!(said.code, Some(0));
    let secrets = json!({"DB": "prod-db", "AGAIN": "prod-db"});
    assert_eq!(place.task().await["secrets"], secrets);
    for (option, because) in [
        ("DB", "must be NAME=IDENTITY"),
        ("DB=none", "there is no identity none of the kind secret"),
    ] {
        let mut command = place.command("true");
        let said = Process::spawn(command.args(["--secret", option]))
            .said()
            .await;
        assert_eq!(said.code, Some(125), "{}", said.stderr);
        assert!(said.stderr.contains(because), "{}", said.stderr);
    }
}

#[tokio::test]
async fn output_is_exact_to_the_byte() {
    let place = Place::new().await;
    let said = place
        .run(r"printf '\000\377\376 \303'; sleep 0.2; printf '\251 \357\277\275 \303'")
        .await;
    assert_eq!(said.stdout, b"\0\xff\xfe \xc3\xa9 \xef\xbf\xbd \xc3");
    let said = place
        .run("head -c 3000000 /dev/zero | tr '\\0' 'x'; head -c 100000 /proc/self/exe >&2")
        .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(said.stdout.len(), 3_000_000);
}

#[tokio::test]
async fn output_comes_while_the_script_runs() {
    let place = Place::new().await;
    let flag = place.sshd.dir().join("go on");
    let script = format!(
        "echo first; while [ ! -e '{}' ]; do sleep 0.05; done; echo second",
        flag.display()
    );
    let process = Process::spawn(&mut place.command(&script));
    process
        .wait_stdout(|out| (out == "first\n").then_some(()))
        .await;
    std::fs::write(&flag, "").unwrap();
    let said = process.said().await;
    assert_eq!(
        (said.code, said.text()),
        (Some(0), "first\nsecond\n".into())
    );
}

#[tokio::test]
async fn what_was_left_out_is_said() {
    let place = Place::with("[engine]\noutput_limit = 65536").await;
    let said = place.run("head -c 1000000 /dev/zero | tr '\\0' 'x'").await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    if said.stdout.len() < 1_000_000 {
        assert!(
            said.stderr.contains("of stdout were left out here"),
            "{}",
            said.stderr
        );
    }
}

#[tokio::test]
async fn an_instance_is_named_by_id_ip_or_tag_and_never_guessed() {
    let place = Place::new().await;
    let client = place.app.client();
    for (ip, tag) in [("10.0.0.1", "twin"), ("10.0.0.2", "twin")] {
        let body = json!({"ip": ip, "tag": tag});
        assert_eq!(client.post("/wsexec/instances", &body).await.status, 201);
    }
    for (word, code) in [("127.0.0.1", 0), ("twin", 125), ("nobody", 125)] {
        let mut command = place.app.command();
        command
            .env("WSEXEC_USER", "admin")
            .env("WSEXEC_PASS", place.app.admin_password())
            .args(["run", "-t", &place.app.address().to_string(), "-i", word])
            .args(["-u", &sshd::user(), "-c", "true", "--cacert"])
            .arg(place.app.certificate());
        let said = Process::spawn(&mut command).said().await;
        assert_eq!(said.code, Some(code), "{word}: {}", said.stderr);
        assert_eq!(
            said.stderr.contains("2, 3"),
            word == "twin",
            "{}",
            said.stderr
        );
    }
}

#[tokio::test]
async fn everything_but_an_exit_code_is_125_and_one_sentence() {
    let place = Place::new().await;
    let said = place.run("kill -9 $$").await;
    assert_eq!(said.code, Some(125));
    assert!(said.stderr.contains("KILL"), "{}", said.stderr);

    let address = place.app.address().to_string();
    let certificate = place.app.certificate();
    let mut wrong_password = place.command("true");
    wrong_password.env("WSEXEC_PASS", "wrong");
    let mut no_login = place.command("true");
    no_login.env("WSEXEC_USER", "");
    let mut no_server = place.bare("127.0.0.1:1", "true");
    no_server.arg("--insecure");
    let mut no_file = place.bare(&address, "true");
    no_file
        .arg("--cacert")
        .arg(certificate.with_extension("none"));
    for (mut command, words) in [
        (wrong_password, "WSEXEC_PASS"),
        (no_login, "WSEXEC_USER is not set"),
        (place.bare(&address, "true"), "--cacert"),
        (no_server, "cannot reach"),
        (no_file, "cannot read"),
        (place.command(""), "script"),
    ] {
        let said = Process::spawn(&mut command).said().await;
        assert_eq!(said.code, Some(125), "{words}");
        assert!(said.stdout.is_empty());
        assert!(said.stderr.starts_with("wsexec: "), "{}", said.stderr);
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    }
    let mut insecure = place.bare(&address, "exit 3");
    let said = Process::spawn(insecure.arg("--insecure")).said().await;
    assert_eq!(said.code, Some(3), "{}", said.stderr);
}

#[tokio::test]
async fn ctrl_c_cancels_the_script() {
    let place = Place::new().await;
    let process = Process::spawn(&mut place.command("echo begun; sleep 300"));
    process
        .wait_stdout(|out| (out == "begun\n").then_some(()))
        .await;
    process.signal(Signal::INT);
    let said = process.said().await;
    assert_eq!(said.code, Some(125));
    assert_eq!(said.text(), "begun\n");
    let told = "Cancelled on request. Nothing of its session is left on the instance.";
    assert!(said.stderr.contains(told), "{}", said.stderr);
    assert_eq!(place.task().await["outcome"], "cancelled");
}

#[tokio::test]
async fn where_nobody_reads_the_script_is_cancelled_without_a_word() {
    let place = Place::new().await;
    let run = place.command("while :; do echo y; sleep 0.05; done");
    let mut shell = place.app.command();
    for (name, value) in run.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    // As in `wsexec run ... | head -1`.
    let inner = shell.get_program().to_owned();
    let mut piped = Command::new("sh");
    piped
        .current_dir(place.app.path(""))
        .args(["-c", "\"$@\" | head -1", "sh"])
        .arg(inner)
        .args(run.get_args());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => piped.env(name, value),
            None => piped.env_remove(name),
        };
    }
    let said = Process::spawn(&mut piped).said().await;
    assert_eq!(said.text(), "y\n");
    assert_eq!(said.stderr, "");
    assert_eq!(place.ended().await["outcome"], "cancelled");
}

#[tokio::test]
async fn a_connection_that_drops_loses_and_doubles_nothing() {
    let place = Place::new().await;
    let mut work = JoinSet::new();
    let target = cutting_proxy(place.app.address(), &mut work).await;
    let mut command = place.bare(
        &target.to_string(),
        "seq 1 200000; sleep 0.3; seq 200001 400000",
    );
    let said = Process::spawn(command.arg("--cacert").arg(place.app.certificate()))
        .said()
        .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let expected: String = (1..=400_000).map(|n| format!("{n}\n")).collect();
    assert!(said.text() == expected, "{} bytes", said.stdout.len());
    let tasks = place.app.client().get("/wsexec/tasks?output=none").await;
    assert_eq!(tasks.json()["tasks"].as_array().unwrap().len(), 1);
}

/// Passes connections on, and cuts each one after 900 kB of answers, which is more than any one event takes.
async fn cutting_proxy(to: SocketAddr, work: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    work.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(async move {
                let server = TcpStream::connect(to).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let mut answers = from_server.take(900_000);
                tokio::select! {
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                    _ = tokio::io::copy(&mut answers, &mut to_client) => {}
                }
                let _ = to_client.shutdown().await;
            });
        }
    });
    address
}
