//! Every route, as each role and without a login, on what is one's own, somebody else's, or out of
//! sight: one row a route, and a route without a row fails.

use crate::harness::app::{App, Process};
use crate::harness::client::{Client, Reply, send};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Everybody who asks; the users are named so.
const ROLES: [&str; 4] = ["admin", "operator", "runner", "viewer"];

const ALL: &[&str] = &["admin", "operator", "runner", "viewer"];
const RUN: &[&str] = &["admin", "operator", "runner"];
const MANAGE: &[&str] = &["admin", "operator"];
const ADMIN: &[&str] = &["admin"];

/// What `{id}` is.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Noun {
    Nothing,
    Task,
    Instance,
}

/// Whose, and where.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    /// The caller's own, in their scope.
    Own,
    /// Somebody else's, in the caller's scope.
    Others,
    /// Outside of the caller's scope; nobody narrows the admin.
    Hidden,
}

struct Row {
    method: &'static str,
    path: &'static str,
    noun: Noun,
    /// Who may, on their own.
    own: &'static [&'static str],
    /// Who may, on what is somebody else's.
    others: &'static [&'static str],
    /// What is answered to who may.
    status: u16,
    body: fn(&Object) -> Value,
}

/// What a request is about.
struct Object {
    id: i64,
    instance: i64,
    n: u32,
}

fn nothing(_: &Object) -> Value {
    Value::Null
}

fn row(
    (method, path): (&'static str, &'static str),
    noun: Noun,
    (own, others): (&'static [&'static str], &'static [&'static str]),
    status: u16,
    body: fn(&Object) -> Value,
) -> Row {
    Row {
        method,
        path,
        noun,
        own,
        others,
        status,
        body,
    }
}

fn rows() -> Vec<Row> {
    use Noun::{Instance, Nothing, Task};
    let reads = [
        "/wsexec/tasks/{id}",
        "/wsexec/tasks/{id}/attempts",
        "/wsexec/tasks/{id}/stdout",
        "/wsexec/tasks/{id}/stderr",
        "/wsexec/tasks/{id}/output",
        "/wsexec/tasks/{id}/events",
    ];
    let mut rows: Vec<_> = reads
        .into_iter()
        .map(|path| row(("get", path), Task, (ALL, ALL), 200, nothing))
        .collect();
    let new_task: fn(&Object) -> Value =
        |it| json!({"name": "n", "script": "true", "user": "deploy", "instance": it.instance});
    rows.extend([
        row(("get", "/wsexec/tasks"), Nothing, (ALL, ALL), 200, nothing),
        row(
            ("post", "/wsexec/tasks"),
            Instance,
            (RUN, RUN),
            201,
            new_task,
        ),
        row(
            ("put", "/wsexec/tasks"),
            Task,
            (RUN, MANAGE),
            200,
            |it| json!({"id": it.id, "tag": "t"}),
        ),
        row(
            ("put", "/wsexec/tasks/{id}"),
            Task,
            (RUN, MANAGE),
            200,
            |_| json!({"tag": "t"}),
        ),
        row(
            ("delete", "/wsexec/tasks/{id}"),
            Task,
            (RUN, MANAGE),
            200,
            nothing,
        ),
        row(
            ("get", "/wsexec/instances"),
            Nothing,
            (ALL, ALL),
            200,
            nothing,
        ),
        row(
            ("post", "/wsexec/instances"),
            Nothing,
            (MANAGE, MANAGE),
            201,
            |it| json!({"ip": format!("web-{}.example", it.n)}),
        ),
        row(
            ("put", "/wsexec/instances"),
            Instance,
            (MANAGE, MANAGE),
            200,
            |it| json!({"id": it.id, "tag": "t"}),
        ),
        row(
            ("get", "/wsexec/instances/{id}"),
            Instance,
            (ALL, ALL),
            200,
            nothing,
        ),
        row(
            ("put", "/wsexec/instances/{id}"),
            Instance,
            (MANAGE, MANAGE),
            200,
            |_| json!({"tag": "t"}),
        ),
        row(
            ("delete", "/wsexec/instances/{id}"),
            Instance,
            (MANAGE, MANAGE),
            200,
            nothing,
        ),
        row(
            ("get", "/wsexec/instances/{id}/host_key"),
            Instance,
            (ALL, ALL),
            200,
            nothing,
        ),
        // Nothing was shown that could be approved.
        row(
            ("put", "/wsexec/instances/{id}/host_key"),
            Instance,
            (MANAGE, MANAGE),
            409,
            |_| json!({"action": "approve", "fingerprint": format!("SHA256:{}", "A".repeat(43))}),
        ),
        row(
            ("post", "/wsexec/instances/{id}/check"),
            Instance,
            (RUN, RUN),
            200,
            |_| json!({"user": "deploy"}),
        ),
    ]);
    let _ = ADMIN;
    rows
}

/// The users, and what makes objects for them.
struct World {
    app: App,
    passwords: Vec<String>,
    n: u32,
}

impl World {
    async fn new() -> Self {
        // Nothing answers there, and nothing has to: what is asked is who may ask.
        let app = App::builder()
            .config("[ssh]\nconnect_timeout = 1")
            .start()
            .await;
        let mut passwords = vec![app.admin_password().to_owned()];
        for role in &ROLES[1..] {
            let password = wsexec::domain::random_token().expose().to_owned();
            let mut command = app.command();
            command
                .args(["user", "add", role, "--role", role, "--password-stdin"])
                .args(["--scope", "deploy@web-*", "--scope", "*@env=ours"]);
            let said = Process::spawn_with(&mut command, password.as_bytes())
                .said()
                .await;
            assert_eq!(said.code, Some(0), "{}", said.stderr);
            passwords.push(password);
        }
        Self {
            app,
            passwords,
            n: 0,
        }
    }

    fn client(&self, role: &str) -> Client {
        let place = ROLES.iter().position(|it| *it == role).expect("a role");
        self.app.as_user(role, &self.passwords[place])
    }

    async fn instance(&mut self, place: Place) -> i64 {
        self.n += 1;
        let name = match place {
            Place::Own | Place::Others => format!("web-{}.invalid", self.n),
            Place::Hidden => format!("db-{}.invalid", self.n),
        };
        self.app.declare(&name, 1).await
    }

    async fn object(&mut self, noun: Noun, place: Place, role: &str) -> Object {
        let instance = self.instance(place).await;
        let id = match noun {
            Noun::Nothing => 0,
            Noun::Instance => instance,
            Noun::Task => {
                let own = place == Place::Own && role != "viewer";
                let client = self.client(if own { role } else { "admin" });
                let task = json!({
                    "name": "n", "script": "true", "user": "deploy", "instance": instance,
                });
                let reply = client.post("/wsexec/tasks?wait=30", &task).await;
                assert_eq!(reply.status, 201, "{}", reply.text());
                reply.json()["task"]["id"].as_i64().expect("an id")
            }
        };
        Object {
            id,
            instance,
            n: self.n,
        }
    }
}

async fn ask(client: &Client, row: &Row, object: &Object) -> Reply {
    let path = row.path.replace("{id}", &object.id.to_string());
    let method = Method::from_bytes(row.method.to_uppercase().as_bytes()).expect("a method");
    let request = client.request(method, &path);
    let body = (row.body)(object);
    send(if body.is_null() {
        request
    } else {
        request.json(&body)
    })
    .await
}

#[tokio::test]
async fn every_route_answers_each_role_as_the_table_says() {
    let mut world = World::new().await;
    let mut wrong = Vec::new();
    for row in rows() {
        for place in [Place::Own, Place::Others, Place::Hidden] {
            for role in ROLES {
                let object = world.object(row.noun, place, role).await;
                let name = format!("{} {} as {role} on {place:?}", row.method, row.path);
                let may = match place {
                    Place::Own => row.own.contains(&role),
                    Place::Others | Place::Hidden => row.others.contains(&role),
                };
                let expected: &[u16] = match (place, may) {
                    (Place::Hidden, _) if role != "admin" && row.noun != Noun::Nothing => {
                        // Whoever may do it nowhere learns nothing by the one or the other.
                        if row.own.contains(&role) {
                            &[404]
                        } else {
                            &[403, 404]
                        }
                    }
                    (_, true) => &[row.status],
                    (_, false) => &[403],
                };
                let none = ask(&world.app.anonymous(), &row, &object).await;
                if none.status != 401 {
                    wrong.push(format!("{name} without a login: {}", none.status));
                }
                let reply = ask(&world.client(role), &row, &object).await;
                if !expected.contains(&reply.status) {
                    wrong.push(format!("{name}: {} instead of {expected:?}", reply.status));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_route_of_the_document_has_a_row() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/api/openapi.json");
    let text = std::fs::read_to_string(file).expect("the snapshot");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            routes.insert(format!("{method} {path}"));
        }
    }
    let told: BTreeSet<_> = rows()
        .iter()
        .map(|row| format!("{} {}", row.method, row.path))
        .collect();
    assert_eq!(routes, told);
}
