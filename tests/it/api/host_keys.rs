//! Host keys: what is known of them, and what somebody decides.

use super::{assert_problem, get_with};
use crate::harness::app::{App, Builder};
use crate::harness::client::{Reply, send};
use crate::harness::door::Door;
use crate::harness::sshd::{Kind, Sshd, fingerprint, public_key, user};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

/// A program, two servers that let it in, and an instance whose address leads to the first one.
struct Bench {
    app: App,
    first: Sshd,
    other: Sshd,
    door: Door,
    instance: i64,
}

impl Bench {
    async fn start(builder: Builder) -> Self {
        let first = Sshd::builder().host_keys(&[Kind::Ed25519]).start();
        let other = Sshd::builder().host_keys(&[Kind::Ed25519]).start();
        other.authorize(&first.identity());
        let app = builder.identity(first.identity()).start().await;
        let door = Door::to(first.address()).await;
        let instance = app.declare("127.0.0.1", door.port()).await;
        Self {
            app,
            first,
            other,
            door,
            instance,
        }
    }

    fn path(&self) -> String {
        format!("/wsexec/instances/{}", self.instance)
    }

    async fn run(&self) -> Value {
        self.app.run(self.instance, &user(), "echo ran").await
    }

    /// What the instance says of its key.
    async fn key(&self) -> Value {
        let reply = self.app.client().get(&self.path()).await;
        reply.json()["instance"]["host_key"].clone()
    }

    async fn record(&self) -> Value {
        let path = format!("{}/host_key", self.path());
        let reply = self.app.client().get(&path).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["host_key"].clone()
    }

    async fn decide(&self, action: &str, fingerprint: &str) -> Reply {
        let path = format!("{}/host_key", self.path());
        let body = json!({"action": action, "fingerprint": fingerprint});
        self.app.client().put(&path, &body).await
    }

    /// The other server answers from now on.
    fn replace_machine(&self) {
        self.door.lead_to(self.other.address());
    }
}

fn key_of(sshd: &Sshd) -> String {
    fingerprint(&sshd.host_key(Kind::Ed25519))
}

fn blob(sshd: &Sshd) -> Vec<u8> {
    let public = public_key(&sshd.host_key(Kind::Ed25519));
    STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap()
}

#[track_caller]
fn assert_refused(task: &Value) -> String {
    assert_eq!(task["outcome"], "host_key_refused", "{task:#}");
    task["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_changed_key_is_shown_beside_the_one_on_record_and_replaces_it_by_a_decision() {
    let bench = Bench::start(App::builder()).await;
    let (old, new) = (key_of(&bench.first), key_of(&bench.other));
    assert_eq!(bench.run().await["state"], "DONE");
    let line = bench.record().await["known_hosts"].clone();
    let expected = public_key(&bench.first.host_key(Kind::Ed25519));
    let place = format!("[127.0.0.1]:{}", bench.door.port());
    assert_eq!(line, json!(format!("{place} {expected}")));

    bench.replace_machine();
    let reason = assert_refused(&bench.run().await);
    assert!(reason.contains(&old) && reason.contains(&new), "{reason}");
    let key = bench.key().await;
    assert_eq!(key["state"], "changed", "{key:#}");
    assert_eq!(key["fingerprint"], json!(old));
    assert_eq!(key["shown"]["fingerprint"], json!(new));
    assert_eq!(key["shown"]["type"], "ssh-ed25519");
    assert!(key["shown"]["at"].is_i64());

    let replaced = bench.decide("replace", &new).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    let key = replaced.json()["host_key"].clone();
    assert_eq!(
        (&key["state"], &key["shown"]),
        (&json!("trusted"), &json!(null))
    );
    assert_eq!(key["fingerprint"], json!(new));
    assert_eq!(bench.run().await["stdout"], "ran\n");

    // Each act is told, newest first, with the fingerprints that there were.
    let history = key["history"].as_array().unwrap();
    let acts: Vec<_> = history
        .iter()
        .map(|it| (&it["action"], &it["by"]))
        .collect();
    let (replace, record) = (json!("replace"), json!("record"));
    let (admin, server) = (json!("admin"), json!("wsexec"));
    assert_eq!(acts, [(&replace, &admin), (&record, &server)]);
    assert_eq!(history[0]["fingerprint"], json!(new));
    assert_eq!(history[0]["on_record"], json!(old));
    assert_eq!(history[0]["shown"], json!(new));
    assert_eq!(history[1]["fingerprint"], json!(old));
    assert_eq!(history[1]["on_record"], json!(null));
}

#[tokio::test]
async fn in_strict_mode_a_key_is_shown_by_a_check_and_counts_once_it_is_approved() {
    let strict = App::builder()
        .argument("--ssh-host-keys")
        .argument("strict");
    let bench = Bench::start(strict).await;
    let right = key_of(&bench.first);
    let early = bench.decide("approve", &right).await;
    assert_problem(&early, 409, &[]);
    assert!(
        early.text().contains("run the check first"),
        "{}",
        early.text()
    );

    let path = format!("{}/check", bench.path());
    let reply = bench
        .app
        .client()
        .post(&path, &json!({"user": user()}))
        .await;
    let steps = reply.json()["check"]["steps"].clone();
    assert_eq!(
        (&steps[0]["ok"], &steps[1]["ok"]),
        (&json!(true), &json!(false)),
        "{steps:#}"
    );
    let key = bench.key().await;
    assert_eq!(key["state"], "unknown", "{key:#}");
    assert_eq!(key["shown"]["fingerprint"], json!(right));
    assert_refused(&bench.run().await);

    let other = key_of(&bench.other);
    let wrong = bench.decide("approve", &other).await;
    assert_problem(&wrong, 409, &[]);
    assert!(
        wrong.text().contains(&right),
        "which one it is: {}",
        wrong.text()
    );
    assert_problem(&bench.decide("replace", &right).await, 409, &[]);
    assert_eq!(bench.decide("approve", &right).await.status, 200);
    assert_eq!(bench.run().await["stdout"], "ran\n");
    let key = bench.key().await;
    assert_eq!(
        (&key["state"], &key["shown"]),
        (&json!("trusted"), &json!(null))
    );
    assert_problem(&bench.decide("approve", &right).await, 409, &[]);
}

#[tokio::test]
async fn a_revoked_key_is_refused_with_who_did_it_and_never_comes_back_at_this_address() {
    let bench = Bench::start(App::builder()).await;
    let (old, new) = (key_of(&bench.first), key_of(&bench.other));
    assert_eq!(bench.run().await["state"], "DONE");
    let revoked = bench.decide("revoke", &old).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    let key = revoked.json()["host_key"].clone();
    assert_eq!(key["state"], "revoked");
    assert_eq!(key["revoked"][0]["fingerprint"], json!(old));
    assert_eq!(key["revoked"][0]["by"], "admin");
    assert_eq!(
        bench.decide("revoke", &old).await.status,
        200,
        "again is no harm"
    );

    let reason = assert_refused(&bench.run().await);
    assert!(
        reason.contains("revoked here by admin") && reason.contains(&old),
        "{reason}"
    );
    for action in ["approve", "replace"] {
        let reply = bench.decide(action, &old).await;
        assert_problem(&reply, 409, &[]);
        assert!(
            reply.text().contains("revoked here by admin"),
            "{}",
            reply.text()
        );
    }

    // The machine gets a new key.
    bench.replace_machine();
    assert_refused(&bench.run().await);
    let key = bench.key().await;
    assert_eq!(
        key["state"], "revoked",
        "what is on record still is: {key:#}"
    );
    assert_eq!(key["shown"]["fingerprint"], json!(new));
    assert_eq!(bench.decide("replace", &new).await.status, 200);
    assert_eq!(bench.run().await["stdout"], "ran\n");
    assert_eq!(bench.key().await["state"], "trusted");

    // Another address is another machine.
    let body = json!({"port": bench.first.port()});
    let reply = bench.app.client().put(&bench.path(), &body).await;
    assert_eq!(reply.json()["instance"]["host_key"]["state"], "unknown");
    let record = bench.record().await;
    assert_eq!(record["revoked"], json!([]));
    assert_eq!(record["history"][0]["action"], "forget");
    assert_eq!(record["history"][0]["by"], "admin");
    assert_eq!(bench.run().await["stdout"], "ran\n");
}

#[tokio::test]
async fn a_key_can_be_revoked_before_it_was_ever_shown() {
    let bench = Bench::start(App::builder()).await;
    let key = key_of(&bench.first);
    assert_eq!(bench.decide("revoke", &key).await.status, 200);
    assert_eq!(bench.key().await["state"], "unknown");
    let reason = assert_refused(&bench.run().await);
    assert!(reason.contains("revoked here by admin"), "{reason}");
    let now = bench.key().await;
    assert_eq!(now["state"], "revoked", "{now:#}");
    assert_eq!(now["fingerprint"], json!(null));
    assert_eq!(now["shown"]["fingerprint"], json!(key));
}

#[tokio::test]
async fn a_key_that_the_server_cannot_prove_to_hold_is_neither_recorded_nor_shown() {
    let strict = App::builder()
        .argument("--ssh-host-keys")
        .argument("strict");
    for builder in [App::builder(), strict] {
        let bench = Bench::start(builder).await;
        bench.door.disguise(blob(&bench.first), blob(&bench.other));
        let task = bench.run().await;
        assert_eq!(task["state"], "ABORT", "{task:#}");
        let key = bench.key().await;
        assert_eq!(
            (&key["state"], &key["shown"]),
            (&json!("unknown"), &json!(null)),
            "{task:#}"
        );
    }
    // Nor is it held against the key on record.
    let bench = Bench::start(App::builder()).await;
    assert_eq!(bench.run().await["state"], "DONE");
    bench.door.disguise(blob(&bench.first), blob(&bench.other));
    let task = bench.run().await;
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.contains("could not prove") || reason.contains("has changed"),
        "{reason}"
    );
    let key = bench.key().await;
    assert_eq!(
        (&key["state"], &key["shown"]),
        (&json!("trusted"), &json!(null)),
        "{key:#}"
    );
}

#[tokio::test]
async fn a_key_that_was_shown_is_forgotten_when_the_right_one_is_back() {
    let bench = Bench::start(App::builder()).await;
    assert_eq!(bench.run().await["state"], "DONE");
    bench.replace_machine();
    assert_refused(&bench.run().await);
    bench.door.lead_to(bench.first.address());
    assert_eq!(bench.run().await["state"], "DONE");
    let key = bench.key().await;
    assert_eq!(
        (&key["state"], &key["shown"]),
        (&json!("trusted"), &json!(null))
    );
}

#[tokio::test]
async fn a_decision_on_what_somebody_else_has_changed_is_refused() {
    let app = App::start().await;
    let instance = app.declare("192.0.2.1", 22).await;
    let path = format!("/wsexec/instances/{instance}/host_key");
    let client = app.client();
    let read = get_with(&client, &path, ("Accept", "*/*")).await;
    let tag = read.header("etag").to_owned();
    let fingerprint = format!("SHA256:{}", "A".repeat(43));
    let revoke = async |tag: &str| {
        let body = json!({"action": "revoke", "fingerprint": fingerprint});
        let request = client.request(Method::PUT, &path).header("If-Match", tag);
        send(request.json(&body)).await
    };
    let done = revoke(&tag).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_ne!(done.header("etag"), tag);
    assert_problem(&revoke(&tag).await, 412, &[]);
}

#[tokio::test]
async fn what_is_no_decision_is_refused() {
    let app = App::start().await;
    let instance = app.declare("192.0.2.1", 22).await;
    let client = app.client();
    let put = async |id: i64, body: Value| {
        let path = format!("/wsexec/instances/{id}/host_key");
        client.put(&path, &body).await
    };
    let right = format!("SHA256:{}", "A".repeat(43));
    let unknown = json!({"action": "revoke", "fingerprint": right});
    assert_problem(&put(instance + 1, unknown).await, 404, &[]);
    assert_problem(
        &put(instance, json!({})).await,
        400,
        &["action", "fingerprint"],
    );
    let wrong = json!({"action": "trust", "fingerprint": "MD5:00:11", "by": "me"});
    let reply = put(instance, wrong).await;
    assert_problem(&reply, 400, &["action", "fingerprint", "by"]);
    let path = format!("/wsexec/instances/{}/host_key", instance + 1);
    assert_problem(&client.get(&path).await, 404, &[]);
}
