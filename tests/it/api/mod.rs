//! The JSON API: the contract, row by row.

mod amend;
mod audit;
mod cancel;
mod check;
mod curl;
mod document;
mod errors;
mod events;
mod host_keys;
mod idempotency;
mod identities;
mod instances;
mod jump;
mod launch;
mod lists;
mod many;
mod metrics;
mod raw;
mod sessions;
mod tasks;
mod tokens;
mod try_out;
mod users;

use super::harness::app::{App, Builder};
use super::harness::client::{Client, Reply, send};
use super::harness::sshd::{self, Sshd};
use reqwest::Method;
use serde_json::{Value, json};

/// The program, a real sshd, and the instance that stands for it.
struct Bench {
    app: App,
    sshd: Sshd,
    client: Client,
    instance: i64,
    user: String,
}

impl Bench {
    async fn start() -> Self {
        Self::with(App::builder()).await
    }

    async fn with(builder: Builder) -> Self {
        let sshd = Sshd::start();
        let app = builder.identity(sshd.identity()).start().await;
        let instance = app.declare("127.0.0.1", sshd.port()).await;
        let client = app.client();
        let user = sshd::user();
        Self {
            app,
            sshd,
            client,
            instance,
            user,
        }
    }

    /// A body that posts a script.
    fn task(&self, script: &str) -> Value {
        json!({"name": "test", "instance": self.instance, "user": self.user, "script": script})
    }

    /// Runs a script to its end.
    async fn run(&self, script: &str) -> Value {
        self.app.run(self.instance, &self.user, script).await
    }

    /// Posts a script and waits until it runs.
    async fn running(&self, script: &str) -> i64 {
        let task = self.app.post_task(self.task(script)).await;
        let id = task["id"].as_i64().unwrap();
        let is_running = |task: &Value| task["state"] == "CURRENT";
        self.app.wait_until(id, is_running).await;
        id
    }

    /// Asks for a cancel and waits for the end.
    async fn cancel(&self, id: i64) -> Value {
        let path = format!("/wsexec/tasks/{id}");
        let reply = self.client.put(&path, &json!({"state": "ABORT"})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        self.app.wait_ended(id).await
    }
}

/// GET with one more header.
async fn get_with(client: &Client, path: &str, header: (&str, &str)) -> Reply {
    let request = client.request(Method::GET, path);
    send(request.header(header.0, header.1)).await
}

/// A body of any kind.
async fn send_body(client: &Client, method: Method, path: &str, body: impl Into<Vec<u8>>) -> Reply {
    let request = client
        .request(method, path)
        .header("Content-Type", "application/json");
    send(request.body(body.into())).await
}

/// The answer is a problem with this status, and names these fields and no others.
#[track_caller]
fn assert_problem(reply: &Reply, status: u16, fields: &[&str]) {
    let text = reply.text();
    assert_eq!(reply.status, status, "{text}");
    let problem = reply.json();
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(problem["status"], status, "{text}");
    for member in ["type", "title", "detail", "error", "request_id"] {
        assert!(problem[member].is_string(), "{member}: {text}");
    }
    let named = problem["errors"].as_array().cloned().unwrap_or_default();
    let mut named: Vec<_> = named.iter().map(|e| e["field"].as_str().unwrap()).collect();
    let mut fields = fields.to_vec();
    named.sort_unstable();
    fields.sort_unstable();
    assert_eq!(named, fields, "{text}");
}
