//! (c) GET of one task: between nginx, which serves the same bytes from a file, and a service of the
//! same contract in Flask.

use super::flask::{self, Flask};
use super::harness;
use super::harness::sshd::{Sshd, user};
use super::nginx::Nginx;
use super::report::{Row, median, span};
use super::server::{self, Server};
use super::wrk::Load;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 32;
const SECONDS: u64 = 5;
const ROUNDS: usize = 3;
const SCRIPT: &str = "uname -a; echo some output";

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let server = Server::start("", Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, &sshd).await;
    let id = server::post(&client, instance, SCRIPT).await;
    server::wait_for(&client, id, &["DONE"]).await;
    let path = format!("/wsexec/tasks/{id}");
    let nginx = Nginx::start(&server, &path, &client.get(&path).await.body);
    let flask = Flask::start(&sshd.identity());
    let flask_path = match &flask {
        Some(flask) => Some(run_there(flask, &sshd).await),
        None => None,
    };
    let password = server.password();
    let ours = ("admin", &password[..]);
    println!("(c) GET per second: wsexec, nginx, Flask");
    let (mut our, mut ceiling, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dir = server.path("");
        our.push(load(&dir, format!("{}{path}", server.url()), ours).await);
        ceiling.push(load(&dir, format!("{}{path}", nginx.url()), ours).await);
        if let Some((flask, path)) = flask.as_ref().zip(flask_path.as_ref()) {
            floor.push(load(&dir, format!("{}{path}", flask.url()), flask::LOGIN).await);
        }
        println!(
            "    {:6.0} {:6.0} {:6.0}",
            our.last().unwrap_or(&0.0),
            ceiling.last().unwrap_or(&0.0),
            floor.last().unwrap_or(&0.0)
        );
    }
    vec![
        row(
            "c  GET of a task, against nginx (a file, TLS)",
            "0.3 of it",
            0.3,
            &our,
            &ceiling,
        ),
        match floor.is_empty() {
            true => Row {
                figure: FLASK,
                goal: "20 times it",
                seen: "not installed: scripts/peers installs it".to_owned(),
                met: false,
            },
            false => row(FLASK, "20 times it", 20.0, &our, &floor),
        },
    ]
}

const FLASK: &str = "c  GET of a task, against Flask and gunicorn (no TLS)";

fn row(figure: &'static str, goal: &'static str, at_least: f64, our: &[f64], their: &[f64]) -> Row {
    let ratios: Vec<f64> = our
        .iter()
        .zip(their)
        .map(|(our, their)| our / their)
        .collect();
    let (low, high) = span(&ratios);
    let ratio = median(ratios);
    Row {
        figure,
        goal,
        seen: format!(
            "{ratio:.2} ({low:.2} to {high:.2}); {:.0}/s of {:.0}/s",
            median(our.to_vec()),
            median(their.to_vec())
        ),
        met: ratio >= at_least,
    }
}

/// The same script through the other service; the path of its task.
async fn run_there(flask: &Flask, sshd: &Sshd) -> String {
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let (name, password) = flask::LOGIN;
    let post = async |path: &str, body: Value| -> Value {
        let request = client.post(format!("{}{path}", flask.url()));
        let reply = request
            .basic_auth(name, Some(password))
            .json(&body)
            .send()
            .await;
        let reply = reply.expect("an answer");
        assert_eq!(reply.status(), 201);
        reply.json().await.expect("JSON")
    };
    let instance = json!({"ip": "127.0.0.1", "port": sshd.port()});
    let instance = post("/wsexec/instances", instance).await["instance"]["id"].clone();
    let task = json!({"name": "figure", "instance": instance, "user": user(), "script": SCRIPT});
    let id = post("/wsexec/tasks", task).await["task"]["id"].clone();
    let path = format!("/wsexec/tasks/{id}");
    let began = Instant::now();
    loop {
        let request = client.get(format!("{}{path}", flask.url()));
        let reply = request.basic_auth(name, Some(password)).send().await;
        let task: Value = reply.expect("an answer").json().await.expect("JSON");
        if task["task"]["state"] == "DONE" {
            assert_eq!(task["task"]["rc"], 0, "{task:#}");
            return path;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{task:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn load(dir: &Path, url: String, login: (&str, &str)) -> f64 {
    let load = Load {
        url,
        connections: CONNECTIONS,
        seconds: SECONDS,
        login,
        body: None,
    };
    let seen = load.run(dir).await;
    assert_eq!(seen.bad, 0, "{seen:?}");
    seen.per_second
}
