//! Every route, as each role and without a login, on what is one's own, somebody else's, or out of
//! sight: one row a route, and a route without a row fails.

use crate::harness::app::{App, Process};
use crate::harness::client::{Client, Reply, send};
use crate::ui::visitor::Visitor;
use reqwest::Method;
use serde_json::{Value, json};

mod pages;
mod routes;

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
    User,
    Token,
    Session,
    Identity,
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

/// What a request is about.
struct Object {
    id: i64,
    instance: i64,
    n: u32,
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
            .env("WSEXEC_MASTER_KEY", master_key())
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

    /// Whose credentials are the object.
    fn owner(&self, place: Place, role: &'static str) -> &'static str {
        match (place, role) {
            (Place::Own, role) => role,
            (_, "viewer") => "runner",
            _ => "viewer",
        }
    }

    async fn made(&self, by: &str, path: &str, body: &Value, noun: &str) -> i64 {
        let reply = self.client(by).post(path, body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()[noun]["id"].as_i64().expect("an id")
    }

    async fn object(&mut self, noun: Noun, place: Place, role: &'static str) -> Object {
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
            Noun::Identity => {
                let identity = json!({"name": format!("key-{}", self.n), "kind": "ssh_key"});
                self.made("admin", "/wsexec/identities", &identity, "identity")
                    .await
            }
            Noun::User => {
                let user = json!({"name": format!("user-{}", self.n), "role": "viewer"});
                self.made("admin", "/wsexec/users", &user, "user").await
            }
            Noun::Token => {
                let token = json!({
                    "name": format!("token-{}", self.n), "role": "viewer", "expires_in": 3600,
                });
                self.made(self.owner(place, role), "/wsexec/tokens", &token, "token")
                    .await
            }
            Noun::Session => {
                let owner = self.owner(place, role);
                let place = ROLES.iter().position(|it| *it == owner).expect("a role");
                let mut visitor = Visitor::of(&self.app);
                let reply = visitor.log_in(owner, &self.passwords[place], "/").await;
                assert_eq!(reply.status, 303, "{}", reply.text());
                let sessions = self.client(owner).get("/wsexec/sessions").await.json();
                sessions["sessions"][0]["id"].as_i64().expect("an id")
            }
        };
        Object {
            id,
            instance,
            n: self.n,
        }
    }
}

/// A route, and who may ask for it.
struct Row<Sent> {
    method: &'static str,
    path: &'static str,
    noun: Noun,
    /// Who may, on their own.
    own: &'static [&'static str],
    /// Who may, on what is somebody else's.
    others: &'static [&'static str],
    /// What is answered to who may.
    status: u16,
    sent: fn(&Object) -> Sent,
}

fn row<Sent>(
    (method, path): (&'static str, &'static str),
    noun: Noun,
    (own, others): (&'static [&'static str], &'static [&'static str]),
    status: u16,
    sent: fn(&Object) -> Sent,
) -> Row<Sent> {
    Row {
        method,
        path,
        noun,
        own,
        others,
        status,
        sent,
    }
}

impl<Sent> Row<Sent> {
    /// What is answered to a role.
    fn expected(&self, place: Place, role: &str) -> Vec<u16> {
        let (noun, own) = (self.noun, self.own);
        let may = match place {
            Place::Own => own.contains(&role),
            Place::Others | Place::Hidden => self.others.contains(&role),
        };
        let narrowed =
            role != "admin" && !matches!(noun, Noun::Nothing | Noun::User | Noun::Identity);
        match (place, may) {
            // Whoever may do it nowhere learns nothing by the one or the other.
            (Place::Hidden, _) if narrowed && own.contains(&role) => vec![404],
            (Place::Hidden, _) if narrowed => vec![403, 404],
            (_, true) => vec![self.status],
            (Place::Others, false) if matches!(noun, Noun::Token | Noun::Session) => vec![404],
            (_, false) => vec![403],
        }
    }
}

fn master_key() -> String {
    let bytes = wsexec::domain::random_bytes::<32>();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
