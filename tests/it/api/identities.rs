//! `/wsexec/identities`: what is kept by name, and never given back.

use crate::harness::app::App;
use serde_json::json;

async fn app() -> App {
    let key = wsexec::vault::generate();
    App::builder()
        .env("WSEXEC_MASTER_KEY", key.expose())
        .start()
        .await
}

#[tokio::test]
async fn an_identity_is_made_read_changed_and_removed_and_its_secret_never_shown() {
    let app = app().await;
    let client = app.client();
    let secret = "correct horse battery";
    let new = json!({"name": "db", "kind": "secret", "value": secret, "scope": ["deploy@web-*"]});
    let made = client.post("/wsexec/identities", &new).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["identity"]["id"].as_i64().unwrap();
    let path = format!("/wsexec/identities/{id}");
    let again = client.post("/wsexec/identities", &new).await;
    assert_eq!(again.status, 409, "{}", again.text());
    let changed = client
        .put(&path, &json!({"scope": [], "value": "another secret"}))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(changed.json()["identity"]["scope"], json!([]));
    let listed = client.get("/wsexec/identities").await;
    for reply in [&made, &changed, &listed, &client.get(&path).await] {
        assert!(!reply.text().contains("horse") && !reply.text().contains("another"));
    }
    for file in std::fs::read_dir(app.data()).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        let plain = bytes
            .windows(secret.len())
            .any(|it| it == secret.as_bytes());
        assert!(!plain, "{}", file.path().display());
    }
    assert_eq!(client.delete(&path).await.status, 200);
    assert_eq!(client.get(&path).await.status, 404);
}

#[tokio::test]
async fn without_a_master_key_the_server_runs_and_keeps_no_secret() {
    let app = App::start().await;
    app.wait_stderr("wsexec secrets init").await;
    let new = json!({"name": "db", "kind": "secret", "value": "correct horse"});
    let reply = app.client().post("/wsexec/identities", &new).await;
    assert_eq!(reply.status, 409, "{}", reply.text());
    assert!(reply.text().contains("wsexec secrets init"));
    let listed = app.client().get("/wsexec/identities").await;
    assert_eq!(listed.json()["identities"], json!([]));
}

#[tokio::test]
async fn what_could_not_be_masked_or_used_is_refused_with_its_field() {
    let app = app().await;
    for (new, field) in [
        (
            json!({"name": "a", "kind": "secret", "value": "1234567"}),
            "value",
        ),
        (
            json!({"name": "a", "kind": "secret", "value": "x".repeat(65_537)}),
            "value",
        ),
        (json!({"name": "a", "kind": "secret"}), "value"),
        (
            json!({"name": "a", "kind": "become_password", "value": "two\nlines"}),
            "value",
        ),
        (
            json!({"name": "a", "kind": "ssh_key", "value": "no key at all"}),
            "value",
        ),
        (
            json!({"name": "a", "kind": "ssh_key", "passphrase": "a passphrase"}),
            "value",
        ),
        (json!({"name": "a b", "kind": "ssh_key"}), "name"),
        (json!({"name": "a", "kind": "other"}), "kind"),
        (
            json!({"name": "a", "kind": "ssh_key", "scope": ["x"]}),
            "scope",
        ),
        (
            json!({"name": "a", "kind": "ssh_key", "host_keys": ["x"]}),
            "host_keys",
        ),
        (json!({"name": "a", "kind": "ssh_key", "more": 1}), "more"),
    ] {
        let reply = app.client().post("/wsexec/identities", &new).await;
        assert_eq!(reply.status, 400, "{field}: {}", reply.text());
        assert_eq!(
            reply.json()["errors"][0]["field"],
            field,
            "{}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn a_key_is_made_in_the_server_and_stays_while_an_instance_uses_it() {
    let app = app().await;
    let client = app.client();
    let new = json!({"name": "deploy", "kind": "ssh_key"});
    let made = client.post("/wsexec/identities", &new).await.json()["identity"].clone();
    let line = made["public_key"].as_str().unwrap();
    assert!(
        line.starts_with("ssh-ed25519 ") && line.ends_with(" deploy"),
        "{line}"
    );
    let instance = json!({"ip": "web-1.example", "identity": "none"});
    assert_eq!(
        client.post("/wsexec/instances", &instance).await.status,
        400
    );
    let instance = json!({"ip": "web-1.example", "identity": "deploy"});
    let instance = client.post("/wsexec/instances", &instance).await;
    assert_eq!(instance.status, 201, "{}", instance.text());
    let path = format!("/wsexec/identities/{}", made["id"]);
    let refused = client.delete(&path).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    let at = format!("/wsexec/instances/{}", instance.json()["instance"]["id"]);
    assert_eq!(
        client.put(&at, &json!({"identity": null})).await.status,
        200
    );
    assert_eq!(client.delete(&path).await.status, 200);
}

#[tokio::test]
async fn all_secrets_together_have_a_bound() {
    let app = app().await;
    let mut kept = 0;
    let refused = loop {
        let value = "x".repeat(60_000);
        let new = json!({"name": format!("it-{kept}"), "kind": "secret", "value": value});
        let reply = app.client().post("/wsexec/identities", &new).await;
        if reply.status != 201 {
            break reply;
        }
        kept += 1;
    };
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(
        refused.text().contains("All secrets together"),
        "{}",
        refused.text()
    );
    assert_eq!(kept, 34, "2 MiB of 60,000 bytes each");
    let list = app.client().get("/wsexec/identities").await.json();
    assert_eq!(list["identities"].as_array().unwrap().len(), kept);
}
