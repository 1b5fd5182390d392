//! A reverse proxy before the service: nginx, by the lines of `docs/reverse-proxy.md`.

use crate::harness::app::{App, DEADLINE};
use crate::harness::client::{Client, Reply, send};
use crate::harness::nginx::Nginx;
use crate::harness::people::{Person, viewer};
use crate::harness::sshd::{self, Sshd};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use tokio::time::timeout;

const PUBLIC: &str = "https://wsexec.example";
const TRUSTING: &str =
    "[http]\npublic_url = \"https://wsexec.example\"\ntrusted_proxies = [\"127.0.0.1\"]";

/// A server as the page has it: with a certificate of its own authority.
async fn server(builder: crate::harness::app::Builder) -> App {
    let app = builder.start().await;
    let names = ["--name", "wsexec.internal", "--name", "127.0.0.1"];
    let made = app
        .command()
        .args(["certs", "init", "--force"])
        .args(names)
        .output();
    assert!(made.expect("the built program").status.success());
    app.wait_stderr("certificate read again").await;
    app
}

fn authority(app: &App) -> PathBuf {
    app.path("certs/ca.crt")
}

/// A client that comes without the proxy.
fn direct(app: &App, from: [u8; 4], login: (&str, &str)) -> Client {
    let login = Some((login.0.to_owned(), login.1.to_owned()));
    Client::new(app.url(), &authority(app), login).from(from.into())
}

async fn forging(client: &Client, forwarded: &str) -> Reply {
    let request = client.request(Method::GET, "/wsexec/tasks");
    let request = request.header("X-Forwarded-For", forwarded);
    send(request.header("X-Forwarded-Host", "evil.example")).await
}

/// From where the log says that a request came.
async fn peer(app: &App, reply: &Reply) -> String {
    let id = format!("id={}", reply.header("x-request-id"));
    app.wait_stderr(&id).await;
    let log = app.stderr();
    let line = log
        .lines()
        .find(|it| it.contains(&id) && it.contains("peer="));
    let line = line.unwrap_or_else(|| panic!("no line of {id}: {log}"));
    let peer = line.split("peer=").nth(1).expect("a peer");
    peer.split_whitespace().next().expect("a peer").to_owned()
}

#[tokio::test]
async fn pages_api_and_live_output_come_through_nginx_as_the_page_says() {
    let sshd = Sshd::start();
    let app = server(App::builder().config(TRUSTING).identity(sshd.identity())).await;
    let nginx = Nginx::before(&app, &authority(&app));
    let admin = nginx.client([127, 0, 0, 9], Some(("admin", app.admin_password())));

    let instance = json!({"ip": "127.0.0.1", "port": sshd.port()});
    let reply = admin.post("/wsexec/instances", &instance).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(
        reply.header("strict-transport-security"),
        "max-age=63072000"
    );
    let instance = &reply.json()["instance"];
    assert_eq!(
        instance["uri"],
        format!("{PUBLIC}/wsexec/instances/{}", instance["id"])
    );
    let long = admin.request(Method::POST, "/wsexec/instances");
    let long = send(
        long.header("Content-Type", "application/json")
            .body(vec![b' '; 2 << 20]),
    )
    .await;
    assert_eq!(
        (long.status, long.json()["status"].as_i64()),
        (413, Some(413))
    );

    // What the script writes arrives before it goes on, which it does when that has arrived.
    let gate = app.path("gate");
    let script = format!(
        "echo one; until [ -e {} ]; do sleep 0.05; done; echo two",
        gate.display()
    );
    let task = json!({
        "name": "live", "instance": instance["id"], "user": sshd::user(), "script": script,
    });
    let reply = admin.post("/wsexec/tasks", &task).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["task"]["id"].as_i64().expect("an id");
    let events = admin.request(Method::GET, &format!("/wsexec/tasks/{id}/events"));
    let mut stream = events.send().await.expect("an answer").bytes_stream();
    let mut said = String::new();
    let all = async {
        while let Some(chunk) = stream.next().await {
            said.push_str(&String::from_utf8_lossy(&chunk.expect("it goes on")));
            if said.contains("one\\n") && !gate.exists() {
                assert!(!said.contains("event: end"), "{said}");
                fs::write(&gate, "").expect("a file");
            }
        }
    };
    timeout(DEADLINE, all).await.expect("live output");
    assert!(
        said.contains("two\\n") && said.contains("event: end"),
        "{said}"
    );

    // A browser logs in, and its session is known by its own address.
    let form = format!("name=admin&password={}&next=/", app.admin_password());
    let login = nginx.client([127, 0, 0, 9], None);
    let login = login
        .request(Method::POST, "/login")
        .header("Origin", nginx.url())
        .header("Content-Type", "application/x-www-form-urlencoded");
    let reply = send(login.body(form)).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    let cookie = reply
        .header("set-cookie")
        .split(';')
        .next()
        .expect("a cookie")
        .to_owned();
    let page = nginx
        .client([127, 0, 0, 9], None)
        .with_header("Cookie", &cookie);
    let home = page.get("/").await;
    assert_eq!(home.status, 200, "{}", home.text());
    let sessions = page.get("/wsexec/sessions").await.json();
    assert_eq!(
        sessions["sessions"][0]["address"], "127.0.0.9",
        "{sessions:#}"
    );
    let trail = admin
        .get("/wsexec/audit?action=login&order=desc&limit=1")
        .await;
    assert_eq!(
        trail.json()["audit"][0]["from"],
        "127.0.0.9",
        "{}",
        trail.text()
    );
}

#[tokio::test]
async fn guesses_through_a_proxy_slow_down_whoever_guesses_and_nobody_else() {
    let app = server(App::builder().config(TRUSTING)).await;
    let nginx = Nginx::before(&app, &authority(&app));
    let admin = direct(&app, [127, 0, 0, 1], ("admin", app.admin_password()));
    let mut body: Value = viewer();
    body["name"] = "ann".into();
    body["password"] = wsexec::domain::random_token().expose().into();
    let reply = admin.post("/wsexec/users", &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let guess = async |from: [u8; 4], n: u8| {
        let guess = format!("guess number {n}");
        let client = nginx.client(from, Some(("ann", &guess)));
        // What the client says of itself is not what the proxy says of it.
        forging(&client, &format!("10.1.1.{n}")).await.status
    };
    let mut statuses = Vec::new();
    for n in 0..30 {
        statuses.push(guess([127, 0, 0, 9], n).await);
    }
    assert_eq!((statuses[0], statuses[29]), (401, 429), "{statuses:?}");
    assert_eq!(guess([127, 0, 0, 10], 99).await, 401, "another client");
}

#[tokio::test]
async fn nobody_but_a_trusted_proxy_says_where_a_request_comes_from() {
    let app = server(App::builder().config(TRUSTING)).await;
    let nginx = Nginx::before(&app, &authority(&app));
    let admin = ("admin", app.admin_password());
    let stranger = direct(&app, [127, 0, 0, 9], admin);
    let proxy = direct(&app, [127, 0, 0, 1], admin);
    for (client, forwarded, expected) in [
        (&stranger, "192.0.2.7", "127.0.0.9"),
        (&stranger, "127.0.0.1", "127.0.0.9"),
        (&proxy, "192.0.2.7", "192.0.2.7"),
        (&proxy, "192.0.2.7, 127.0.0.1", "192.0.2.7"),
        (&proxy, "192.0.2.8, 192.0.2.7", "192.0.2.7"),
        (&proxy, "2001:db8::7", "2001:db8::7"),
        (&proxy, "192.0.2.7, nonsense", "127.0.0.1"),
        (
            &nginx.client([127, 0, 0, 9], Some(admin)),
            "192.0.2.7",
            "127.0.0.9",
        ),
        (
            &nginx.client([127, 0, 0, 9], Some(admin)),
            "nonsense",
            "127.0.0.9",
        ),
    ] {
        let reply = forging(client, forwarded).await;
        assert_eq!(reply.status, 200, "{forwarded}: {}", reply.text());
        assert!(!reply.text().contains("evil.example"));
        assert_eq!(peer(&app, &reply).await, expected, "{forwarded}");
    }
}

#[tokio::test]
async fn without_a_list_no_header_counts() {
    let app = App::start().await;
    let client = app.client();
    let reply = forging(&client, "192.0.2.7").await;
    assert_eq!(reply.status, 200);
    assert_eq!(peer(&app, &reply).await, "127.0.0.1");
    let _ = Person::add(&app, "ann", viewer()).await;
    let trail = client
        .get("/wsexec/audit?action=user.create&order=desc&limit=1")
        .await;
    assert_eq!(
        trail.json()["audit"][0]["from"],
        "127.0.0.1",
        "{}",
        trail.text()
    );
}

#[tokio::test]
async fn nginx_asks_no_server_that_another_authority_vouches_for() {
    let app = server(App::builder().config(TRUSTING)).await;
    let other = server(App::builder().config(TRUSTING)).await;
    let nginx = Nginx::before(&app, &authority(&other));
    let reply = nginx.client([127, 0, 0, 9], None).get("/healthz").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    let nginx = Nginx::before(&app, &authority(&app));
    let reply = nginx.client([127, 0, 0, 9], None).get("/healthz").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}
