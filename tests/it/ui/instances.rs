//! What an instance's pages offer, and what is said of a key that no machine has shown.

use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use serde_json::json;
use std::process::Command;

#[tokio::test]
async fn the_form_of_an_instance_offers_keys_and_jumps_by_name_and_address() {
    let key = wsexec::vault::generate().expose().to_owned();
    let app = App::builder().env("WSEXEC_MASTER_KEY", key).start().await;
    let jump = app.declare("gate.invalid", 22).await;
    let inner = app.declare("inner.invalid", 22).await;
    for (name, kind) in [("deploy-key", "ssh_key"), ("api", "secret")] {
        let value = wsexec::domain::random_token().expose().to_owned();
        let mut new = json!({"name": name, "kind": kind});
        if kind == "secret" {
            new["value"] = value.into();
        }
        let reply = app.client().post("/wsexec/identities", &new).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let visitor = Visitor::logged_in(&app).await;
    for path in ["/instances/new", &format!("/instances/{inner}/edit")] {
        let page = visitor.read(path).await;
        for part in [
            "list=\"offered-keys\"".to_owned(),
            "<option value=\"deploy-key\">".to_owned(),
            "list=\"offered-jumps\"".to_owned(),
            format!("<option value=\"{jump}\">gate.invalid"),
        ] {
            assert!(page.contains(&part), "{path} has no {part}: {page}");
        }
        assert!(!page.contains("value=\"api\""), "{path}: {page}");
    }
    // Nothing is reached through itself.
    let edit = visitor.read(&format!("/instances/{inner}/edit")).await;
    assert!(!edit.contains(&format!("<option value=\"{inner}\">")));
}

#[tokio::test]
async fn a_key_that_leaked_is_revoked_by_its_fingerprint_before_any_machine_shows_it() {
    let app = App::start().await;
    let id = app.declare("host.invalid", 22).await;
    let visitor = Visitor::logged_in(&app).await;
    let path = format!("/instances/{id}");
    let page = visitor.read(&path).await;
    let (_, form) = page.split_once("Revoke another key").expect("the form");
    let version = hidden(form, "version");
    let leaked = format!("SHA256:{}", "B".repeat(43));
    let fields = |fingerprint| {
        [
            ("action", "revoke"),
            ("fingerprint", fingerprint),
            ("version", &*version),
        ]
    };
    let target = format!("{path}/host_key");
    assert_eq!(visitor.submit(&target, &fields("MD5:no")).await.status, 400);
    let reply = visitor.submit(&target, &fields(&leaked)).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    let page = visitor.read(&path).await;
    assert!(
        page.contains("Revoked by admin") && page.contains(&leaked),
        "{page}"
    );
}

#[tokio::test]
async fn the_line_on_the_page_of_a_bulk_act_does_the_same_with_one_password() {
    let app = App::start().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(app.declare(&format!("host-{n}.invalid"), 22).await);
    }
    let visitor = Visitor::logged_in(&app).await;
    let bulk = format!("/instances/bulk?do=deactivate&id={}&id={}", ids[0], ids[2]);
    let page = visitor.read(&bulk).await;
    let (_, line) = page.split_once("class=\"command\">\n").expect("a line");
    let line = line.split("</pre>").next().expect("a line");
    assert!(line.contains("/{1,3}"), "{line}");
    let line = line.replace("&#39;", "'").replace("&#34;", "\"");
    let login = app.path("login");
    let config = format!("user = \"admin:{}\"\n", app.admin_password());
    std::fs::write(&login, config).expect("a file");
    let line = line
        .replace("-u admin", &format!("-sSf -K {}", login.display()))
        .replace("wsexec.crt", &app.certificate().display().to_string());
    let said = Command::new("sh").args(["-c", &line]).output();
    let said = said.expect("sh runs");
    std::fs::remove_file(&login).expect("the file goes");
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{line}: {errors}");
    for (id, state) in [(0, "DEACTIVATE"), (1, "ACTIVE"), (2, "DEACTIVATE")] {
        let path = format!("/wsexec/instances/{}", ids[id]);
        let now = app.client().get(&path).await.json();
        assert_eq!(now["instance"]["state"], state, "{path}");
    }
}
