//! What is answered while what it was asked by comes to its end.

use crate::harness::app::{App, DEADLINE, Process};
use crate::harness::client::Client;
use crate::harness::people::Person;
use crate::harness::sshd::{self, Sshd};
use reqwest::{Method, Response};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// What ends by an act of this server ends with the answer to it; what a command beside the server
/// has ended is looked for each second.
const PROMPT: Duration = Duration::from_millis(900);
const LOOKED_FOR: Duration = Duration::from_secs(5);

struct World {
    app: App,
    _sshd: Sshd,
    task: i64,
    instance: i64,
}

impl World {
    /// With a task that says something each tenth of a second.
    async fn new() -> Self {
        let sshd = Sshd::start();
        let app = App::builder().identity(sshd.identity()).start().await;
        let instance = app.declare("127.0.0.1", sshd.port()).await;
        let script = "for i in $(seq 600); do echo line $i; sleep 0.1; done";
        let task = json!({
            "name": "t", "instance": instance, "user": sshd::user(), "script": script,
        });
        let task = app.post_task(task).await["id"].as_i64().expect("an id");
        app.wait_until(task, |it| it["stdout_bytes"].as_i64() > Some(0))
            .await;
        Self {
            app,
            _sshd: sshd,
            task,
            instance,
        }
    }

    /// The events of the task, the first of which has come.
    async fn events(&self, client: &Client) -> Response {
        let path = format!("/wsexec/tasks/{}/events", self.task);
        let request = client.request(Method::GET, &path);
        let mut response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let first = timeout(DEADLINE, response.chunk()).await.expect("in time");
        assert!(first.expect("a chunk").is_some());
        response
    }

    async fn wsexec(&self, arguments: &[&str]) {
        let said = Process::spawn(self.app.command().args(arguments))
            .said()
            .await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.stderr);
    }
}

/// Reads until the stream breaks off, and says how long that took.
async fn broken_off(mut response: Response) -> Duration {
    let began = Instant::now();
    let end = timeout(DEADLINE, async {
        while let Some(chunk) = response.chunk().await.transpose() {
            if chunk.is_err() {
                return;
            }
        }
        panic!("the stream ended as if that were all");
    });
    end.await.expect("it breaks off");
    began.elapsed()
}

#[tokio::test]
async fn a_running_stream_ends_with_the_login_that_it_was_asked_by() {
    let world = World::new().await;
    let app = &world.app;
    let admin = app.client();
    for (place, (how, prompt)) in [
        ("revoke", PROMPT),
        ("end", PROMPT),
        ("log out", PROMPT),
        ("disable", PROMPT),
        ("role", PROMPT),
        ("password", PROMPT),
        ("remove", PROMPT),
        ("revoke beside", LOOKED_FOR),
        ("disable beside", LOOKED_FOR),
    ]
    .into_iter()
    .enumerate()
    {
        let ann = Person::add(app, &format!("ann-{place}"), json!({"role": "runner"})).await;
        let (token, by_token) = ann.token(app, json!({"name": "t"})).await;
        let (session, in_session) = ann.session(app).await;
        let by_password = ann.client(app);
        let path = format!("/wsexec/users/{}", ann.id);
        let streams: Vec<&Client> = match how {
            "revoke" | "revoke beside" => vec![&by_token],
            "end" | "log out" => vec![&in_session],
            _ => vec![&by_token, &in_session, &by_password],
        };
        let mut open = Vec::new();
        for client in &streams {
            open.push(world.events(client).await);
        }
        // Another's stream goes on.
        let mut others = world.events(&admin).await;
        let reply = match how {
            "revoke" => admin.delete(&format!("/wsexec/tokens/{token}")).await,
            "end" => admin.delete(&format!("/wsexec/sessions/{session}")).await,
            "log out" => {
                in_session
                    .delete(&format!("/wsexec/sessions/{session}"))
                    .await
            }
            "disable" => admin.put(&path, &json!({"disabled": true})).await,
            "role" => admin.put(&path, &json!({"role": "viewer"})).await,
            "password" => {
                let body = json!({"old": ann.password, "new": "a new one that is long"});
                by_password.put("/wsexec/users/me/password", &body).await
            }
            "remove" => admin.delete(&path).await,
            "revoke beside" => {
                world.wsexec(&["token", "revoke", &token.to_string()]).await;
                admin.get("/wsexec/users/me").await
            }
            _ => {
                world
                    .wsexec(&["user", "change", &ann.name, "--disable"])
                    .await;
                admin.get("/wsexec/users/me").await
            }
        };
        assert_eq!(reply.status, 200, "{how}: {}", reply.text());
        for (client, response) in streams.iter().zip(open) {
            let took = broken_off(response).await;
            assert!(took < prompt, "{how}: {took:?}");
            let allowed = match how {
                // A token has what its owner has left.
                "role" | "password" => [200, 401],
                _ => [401, 401],
            };
            let next = client.get("/wsexec/users/me").await.status;
            assert!(allowed.contains(&next), "{how}: {next}");
        }
        let more = timeout(DEADLINE, others.chunk()).await.expect("in time");
        assert!(more.expect("a chunk").is_some(), "{how}");
    }
    let cancel = json!({"state": "ABORT"});
    admin
        .put(&format!("/wsexec/tasks/{}", world.task), &cancel)
        .await;
}

#[tokio::test]
async fn a_request_that_waits_is_not_answered_to_who_was_logged_out_meanwhile() {
    let world = World::new().await;
    let ann = Person::add(&world.app, "ann", json!({"role": "runner"})).await;
    let (token, client) = ann.token(&world.app, json!({"name": "t"})).await;
    let path = format!("/wsexec/tasks/{}?wait=60", world.task);
    let waiting = tokio::spawn(async move { client.get(&path).await });
    // The server has seen it; whether it waits by now is no matter: it is served to nobody.
    let token_path = format!("/wsexec/tokens/{token}");
    let begin = Instant::now();
    while world.app.client().get(&token_path).await.json()["token"]["used"].is_null() {
        assert!(begin.elapsed() < DEADLINE);
    }
    let began = Instant::now();
    let revoked = world.app.client().delete(&token_path).await;
    assert_eq!(revoked.status, 200);
    let reply = timeout(DEADLINE, waiting).await.expect("in time").unwrap();
    assert_eq!(reply.status, 401, "{}", reply.text());
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_download_breaks_off_where_its_token_is_revoked() {
    let world = World::new().await;
    let app = &world.app;
    // More than the buffers between the server and a client that does not read.
    let script = "head -c 15000000 /dev/zero";
    let task = app.run(world.instance, &sshd::user(), script).await;
    let ann = Person::add(app, "ann", json!({"role": "runner"})).await;
    for path in [
        format!("/wsexec/tasks/{}/stdout", task["id"]),
        format!("/wsexec/tasks/{}", task["id"]),
        "/wsexec/tasks".to_owned(),
    ] {
        let (token, client) = ann.token(app, json!({"name": path})).await;
        let mut response = client.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.chunk().await.unwrap().is_some());
        let revoked = app
            .client()
            .delete(&format!("/wsexec/tokens/{token}"))
            .await;
        assert_eq!(revoked.status, 200);
        broken_off(response).await;
    }
}
