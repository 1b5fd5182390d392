//! Users of the service, and what they log in with.

use super::app::App;
use super::client::{Client, Reply, send};
use reqwest::Method;
use serde_json::{Value, json};

/// A new user with a password.
pub struct Person {
    /// Its id.
    pub id: i64,
    /// Its login name.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl Person {
    /// Adds one with these members beside name and password.
    pub async fn add(app: &App, name: &str, more: Value) -> Self {
        let password = wsexec::domain::random_token().expose().to_owned();
        let mut body = more;
        body["name"] = name.into();
        body["password"] = password.clone().into();
        let reply = app.client().post("/wsexec/users", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        Self {
            id: reply.json()["user"]["id"].as_i64().expect("an id"),
            name: name.to_owned(),
            password,
        }
    }

    /// A client that shows name and password.
    pub fn client(&self, app: &App) -> Client {
        app.as_user(&self.name, &self.password)
    }

    /// A new API token with these members: its id, and a client that shows it.
    pub async fn token(&self, app: &App, new: Value) -> (i64, Client) {
        let reply = self.client(app).post("/wsexec/tokens", &new).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let token = &reply.json()["token"];
        let text = token["token"].as_str().expect("its text");
        let client = app.with_header("Authorization", &format!("Bearer {text}"));
        (token["id"].as_i64().expect("an id"), client)
    }

    /// A new session of the pages: its id, and a client that is in it.
    pub async fn session(&self, app: &App) -> (i64, Client) {
        let reply = log_in(app, &self.name, &self.password).await;
        assert_eq!(reply.status, 303, "{}", reply.text());
        let cookie = reply.header("set-cookie").split(';').next();
        let client = app.with_header("Cookie", cookie.expect("a cookie"));
        let reply = client.get("/wsexec/users/me").await;
        let id = &reply.json()["user"]["session"];
        (id.as_i64().expect("a session"), client)
    }

    /// Changes it, as an admin does.
    pub async fn change(&self, app: &App, change: Value) {
        let path = format!("/wsexec/users/{}", self.id);
        let reply = app.client().put(&path, &change).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// Sends the login form.
pub async fn log_in(app: &App, name: &str, password: &str) -> Reply {
    log_in_from(app, [127, 0, 0, 1], (name, password)).await
}

/// The same from another address of this machine.
pub async fn log_in_from(app: &App, from: [u8; 4], (name, password): (&str, &str)) -> Reply {
    let fields = [("name", name), ("password", password), ("next", "/")];
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let request = app
        .anonymous()
        .from(from.into())
        .request(Method::POST, "/login")
        .header("Origin", app.url())
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form);
    send(request).await
}

/// A user to be, who looks.
pub fn viewer() -> Value {
    json!({"role": "viewer"})
}
