use super::on;
use crate::harness::app::App;
use crate::harness::sshd::{Kind, Sshd, fingerprint, user};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn the_first_key_is_recorded_and_from_then_on_it_alone_is_right() {
    let first = Sshd::builder().host_keys(&[Kind::Ed25519]).start();
    let other = Sshd::builder().host_keys(&[Kind::Ed25519]).start();
    other.authorize(&first.identity());
    let (app, _) = on(&first, App::builder()).await;
    let door = Door::to(first.address()).await;
    let instance = app.declare("127.0.0.1", door.port).await;
    let path = format!("/wsexec/instances/{instance}");
    assert_eq!(host_key(&app, &path).await["state"], "unknown");
    assert_eq!(app.run(instance, &user(), "true").await["state"], "DONE");
    let recorded = host_key(&app, &path).await;
    let right = fingerprint(&first.host_key(Kind::Ed25519));
    assert_eq!(
        (&recorded["state"], &recorded["fingerprint"]),
        (&json!("trusted"), &json!(right))
    );

    // Somebody else answers at the same address.
    door.lead_to(other.address());
    let marker = other.dir().join("marker");
    let task = app
        .run(instance, &user(), &format!("touch {}", marker.display()))
        .await;
    assert_eq!(
        (&task["state"], &task["outcome"]),
        (&json!("ABORT"), &json!("host_key_refused"))
    );
    let shown = fingerprint(&other.host_key(Kind::Ed25519));
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.contains(&right) && reason.contains(&shown),
        "{reason}"
    );
    assert!(!marker.exists());
    assert_eq!(
        host_key(&app, &path).await,
        recorded,
        "a refused key changes no record"
    );

    // A new port is another machine.
    let reply = app
        .client()
        .put(&path, &json!({"port": other.port()}))
        .await;
    assert_eq!(reply.json()["instance"]["host_key"]["state"], "unknown");
    assert_eq!(app.run(instance, &user(), "true").await["state"], "DONE");
}

#[tokio::test]
async fn a_key_is_not_recorded_when_the_login_fails() {
    let sshd = Sshd::start();
    let stranger = Sshd::start();
    let app = App::builder().identity(stranger.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let task = app.run(instance, &user(), "true").await;
    assert_eq!(task["outcome"], "auth_failed");
    assert!(
        task["reason"].as_str().unwrap().contains("SHA256:"),
        "{}",
        task["reason"]
    );
    let path = format!("/wsexec/instances/{instance}");
    assert_eq!(host_key(&app, &path).await["state"], "unknown");
}

async fn host_key(app: &App, path: &str) -> Value {
    app.client().get(path).await.json()["instance"]["host_key"].clone()
}

/// A port that leads to one server and later to another.
struct Door {
    port: u16,
    target: Arc<Mutex<SocketAddr>>,
}

impl Door {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(Mutex::new(target));
        let leads_to = Arc::clone(&target);
        tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                let target = *leads_to.lock().unwrap();
                tokio::spawn(async move {
                    if let Ok(mut inside) = TcpStream::connect(target).await {
                        let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                    }
                });
            }
        });
        Self { port, target }
    }

    fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }
}
