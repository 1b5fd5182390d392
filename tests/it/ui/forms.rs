use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use crate::harness::door::Door;
use crate::harness::people::Person;
use crate::harness::sshd::{Kind, Sshd, fingerprint, user};
use serde_json::json;

fn task<'a>(key: &'a str, instance: &'a str, script: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("key", key),
        ("instance", instance),
        ("user", "nobody"),
        ("name", "a name"),
        ("script", script),
        ("tag", ""),
        ("timeout", ""),
    ]
}

#[tokio::test]
async fn a_form_with_mistakes_keeps_what_was_typed_and_says_what_is_wrong() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let key = hidden(&visitor.read("/tasks/new").await, "key");
    let mut fields = task(&key, "", "echo <kept> &amp;\r\n");
    fields[2].1 = "-oProxyCommand=x";
    fields[6].1 = "soon";
    let reply = visitor.submit("/tasks/new", &fields).await;
    let page = reply.text();
    assert_eq!(reply.status, 400, "{page}");
    for part in [
        "The instance must be chosen.",
        "id=\"user-wrong\"",
        "aria-describedby=\"user-wrong\"",
        "The time limit must be a whole number.",
        "value=\"-oProxyCommand=x\"",
        "value=\"soon\"",
        "echo &#60;kept&#62; &#38;amp;",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let fields = [
        ("key", "k"),
        ("ip", "a b"),
        ("port", "70000"),
        ("tag", "t"),
        ("state", "ACTIVE"),
    ];
    let reply = visitor.submit("/instances/new", &fields).await;
    let page = reply.text();
    assert_eq!(reply.status, 400, "{page}");
    for part in [
        "id=\"ip-wrong\"",
        "id=\"port-wrong\"",
        "value=\"a b\"",
        "value=\"70000\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[tokio::test]
async fn a_form_that_is_sent_twice_makes_one_task() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let instance = app.declare("127.0.0.1", 1).await.to_string();
    let key = hidden(&visitor.read("/tasks/new").await, "key");
    let first = visitor
        .submit("/tasks/new", &task(&key, &instance, "true"))
        .await;
    let second = visitor
        .submit("/tasks/new", &task(&key, &instance, "true"))
        .await;
    assert_eq!(
        (first.status, second.status),
        (303, 303),
        "{}",
        first.text()
    );
    assert_eq!(first.header("location"), second.header("location"));
    let other = visitor
        .submit("/tasks/new", &task(&key, &instance, "false"))
        .await;
    assert_eq!(other.status, 422);
    assert!(other.text().contains("This form was sent before"));
    let fresh = hidden(&other.text(), "key");
    let third = visitor
        .submit("/tasks/new", &task(&fresh, &instance, "false"))
        .await;
    assert_eq!(third.status, 303);
    assert_ne!(third.header("location"), first.header("location"));
}

#[tokio::test]
async fn the_second_of_two_tabs_is_told_and_overwrites_nothing() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let id = app.declare("192.0.2.1", 22).await;
    let edit = format!("/instances/{id}/edit");
    let version = hidden(&visitor.read(&edit).await, "version");
    let fields = |ip, version| {
        vec![
            ("version", version),
            ("ip", ip),
            ("port", "22"),
            ("tag", ""),
            ("state", "ACTIVE"),
        ]
    };
    let first = visitor.submit(&edit, &fields("192.0.2.2", &version)).await;
    assert_eq!(first.status, 303, "{}", first.text());
    let second = visitor.submit(&edit, &fields("192.0.2.3", &version)).await;
    let page = second.text();
    assert_eq!(second.status, 412, "{page}");
    assert!(page.contains("Somebody else changed this"));
    assert!(page.contains("value=\"192.0.2.3\""), "what was typed stays");
    assert!(
        page.contains("<dd>192.0.2.2</dd>"),
        "what it is now is shown"
    );
    let show = visitor.read(&format!("/instances/{id}")).await;
    assert!(show.contains("<dd>192.0.2.2</dd>"));
    let decided = hidden(&page, "version");
    let third = visitor.submit(&edit, &fields("192.0.2.3", &decided)).await;
    assert_eq!(third.status, 303);
    let old = [("version", version.as_str())];
    let delete = visitor
        .submit(&format!("/instances/{id}/delete"), &old)
        .await;
    assert_eq!(delete.status, 412, "what was not seen is not deleted");
}

#[tokio::test]
async fn an_instance_is_added_deactivated_and_deleted_by_forms() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    assert!(visitor.read("/").await.contains("add one first"));
    let key = hidden(&visitor.read("/instances/new").await, "key");
    let fields = [
        ("key", key.as_str()),
        ("ip", "2001:db8::1"),
        ("port", "2222"),
        ("tag", "two\r\nlines"),
        ("state", "ACTIVE"),
    ];
    let added = visitor.submit("/instances/new", &fields).await;
    assert_eq!(added.status, 303, "{}", added.text());
    let path = added.header("location").to_owned();
    let page = visitor.read(&path).await;
    assert!(page.contains("[2001:db8::1]:2222") && page.contains("two\nlines"));
    let state = format!("{path}/state");
    let reply = visitor.submit(&state, &[("state", "DEACTIVATE")]).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    let id = path.rsplit('/').next().expect("an id");
    let key = hidden(&visitor.read("/tasks/new").await, "key");
    let refused = visitor.submit("/tasks/new", &task(&key, id, "true")).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    let version = hidden(&visitor.read(&path).await, "version");
    let deleted = visitor
        .submit(&format!("{path}/delete"), &[("version", &version)])
        .await;
    assert_eq!(deleted.status, 303, "{}", deleted.text());
    assert_eq!(visitor.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_changed_host_key_is_shown_beside_the_old_one_and_trusted_by_a_button() {
    let first = Sshd::builder().host_keys(&[Kind::Ed25519]).start();
    let other = Sshd::builder().host_keys(&[Kind::Ed25519]).start();
    other.authorize(&first.identity());
    let app = App::builder().identity(first.identity()).start().await;
    let door = Door::to(first.address()).await;
    let id = app.declare("127.0.0.1", door.port()).await;
    let path = format!("/instances/{id}");
    let visitor = Visitor::logged_in(&app).await;
    assert!(
        visitor
            .read(&path)
            .await
            .contains("No key is on record yet")
    );
    app.run(id, &user(), "true").await;
    door.lead_to(other.address());
    app.run(id, &user(), "true").await;

    let (old, new) = (Kind::Ed25519, Kind::Ed25519);
    let (old, new) = (
        fingerprint(&first.host_key(old)),
        fingerprint(&other.host_key(new)),
    );
    let page = visitor.read(&path).await;
    for part in [
        format!("<code>{old}</code>"),
        format!("<code>{new}</code>"),
        "changed</span>".into(),
        "Trust the key shown instead".into(),
        "Revoke the key shown".into(),
        "<dt>Last error".into(),
    ] {
        assert!(page.contains(&part), "{part}: {page}");
    }
    let version = hidden(page.split_once("value=\"replace\"").unwrap().1, "version");
    let fields = |action, version| {
        [
            ("action", action),
            ("fingerprint", new.as_str()),
            ("version", version),
        ]
    };
    let decide = format!("{path}/host_key");
    let late = visitor.submit(&decide, &fields("replace", "1")).await;
    assert_eq!(late.status, 412, "{}", late.text());
    let done = visitor.submit(&decide, &fields("replace", &version)).await;
    assert_eq!(done.status, 303, "{}", done.text());
    let page = visitor.read(&path).await;
    assert!(page.contains("trusted</span>") && !page.contains("Trust the key shown"));
    assert!(
        page.contains("put in the place of the one on record"),
        "{page}"
    );
    assert!(visitor.read("/instances").await.contains("trusted</span>"));
}

#[tokio::test]
async fn a_check_by_a_form_shows_each_step_and_what_to_do() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let good = app.declare("127.0.0.1", sshd.port()).await;
    let visitor = Visitor::logged_in(&app).await;
    let check = async |id: i64, user: &str| {
        let fields = [
            ("user", user),
            ("become_user", ""),
            ("become_method", "sudo"),
        ];
        visitor
            .submit(&format!("/instances/{id}/check"), &fields)
            .await
    };
    let reply = check(good, &user()).await;
    let page = reply.text();
    assert_eq!(reply.status, 200, "{page}");
    assert!(page.contains("scripts can run there"), "{page}");
    assert_eq!(page.matches("good</span>").count(), 6, "{page}");
    let reply = check(good, "no-such-user").await;
    let page = reply.text();
    assert!(
        page.contains("fails</span>") && page.contains("authorized_keys"),
        "{page}"
    );
    assert_eq!(page.matches("not tried</span>").count(), 3, "{page}");
    assert_eq!(check(good, "").await.status, 400);
    let wrong = visitor.get(&format!("/instances/{good}/check")).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn labels_identity_and_approval_of_an_instance_are_kept_after_a_mistake_and_saved_then() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let key = hidden(&visitor.read("/instances/new").await, "key");
    let form = |port, labels, identity| {
        vec![
            ("key", key.as_str()),
            ("ip", "web-1.invalid"),
            ("port", port),
            ("tag", ""),
            ("state", "ACTIVE"),
            ("labels", labels),
            ("identity", identity),
            ("approval", "yes"),
        ]
    };
    let two = "env=prod\r\n\r\n rack=7 ";
    for (fields, wrong) in [
        (form("70000", two, "deploy"), "port"),
        (form("22", "env=prod\nno label", "deploy"), "labels"),
        (form("22", "env=prod\nenv=test", "deploy"), "labels"),
        (form("22", "k&y=<b>", "deploy"), "labels"),
        (form("22", two, "two words"), "identity"),
        // There is no such identity.
        (form("22", two, "deploy"), ""),
    ] {
        let reply = visitor.submit("/instances/new", &fields).await;
        let page = reply.text();
        assert!((400..500).contains(&reply.status), "{wrong}: {page}");
        if !wrong.is_empty() {
            assert!(page.contains(&format!("id=\"{wrong}-wrong\"")), "{page}");
        }
        let labels = fields[5].1.replace("\r\n", "\n");
        let typed = labels.replace('&', "&#38;").replace('<', "&#60;");
        let typed = typed.replace('>', "&#62;");
        let kept = page.replace("\r\n", "\n");
        assert!(kept.contains(&typed), "{wrong}: {typed:?} in {page}");
        let identity = format!("name=\"identity\" value=\"{}\"", fields[6].1);
        assert!(page.contains(&identity), "{wrong}: {page}");
        let approval = "<option value=\"yes\" selected>";
        assert!(page.contains(approval), "{wrong}: {page}");
    }
    let reply = visitor.submit("/instances/new", &form("22", two, "")).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    let path = format!("/wsexec{}", reply.header("location"));
    let made = app.client().get(&path).await.json();
    let made = &made["instance"];
    assert_eq!(made["labels"], json!({"env": "prod", "rack": "7"}));
    assert_eq!(made["approval"], true);
    assert!(made["identity"].is_null());
    let edit = format!("{}/edit", reply.header("location"));
    let page = visitor.read(&edit).await;
    assert!(page.contains("env=prod\nrack=7"), "{page}");
}

#[tokio::test]
async fn instances_are_found_by_their_labels_on_the_page_as_in_the_api() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    for (ip, labels) in [
        ("a.invalid", json!({"env": "prod", "team": "x"})),
        ("b.invalid", json!({"env": "prod"})),
        ("c.invalid", json!({"env": "prod-2"})),
        ("d.invalid", json!({})),
    ] {
        let new = json!({"ip": ip, "labels": labels});
        let reply = app.client().post("/wsexec/instances", &new).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    for (label, found) in [
        ("env=prod", "ab"),
        ("env=prod,team=x", "a"),
        ("env=prod-2", "c"),
        ("env=test", ""),
        ("team=x", "a"),
    ] {
        let query: String = url::form_urlencoded::byte_serialize(label.as_bytes()).collect();
        let path = format!("/wsexec/instances?label={query}");
        let reply = app.client().get(&path).await.json();
        let listed = reply["instances"].as_array().expect("a list").iter();
        let listed: String = listed.map(|it| &it["ip"].as_str().unwrap()[..1]).collect();
        assert_eq!(listed, found, "{label}");
        let page = visitor.read(&format!("/instances?label={query}")).await;
        for ip in ["a", "b", "c", "d"] {
            let is_there = page.contains(&format!(">{ip}.invalid</a>"));
            assert_eq!(is_there, found.contains(ip), "{label} {ip}: {page}");
        }
        assert!(page.contains(&format!("value=\"{label}\"")), "{page}");
        assert_eq!(
            page.contains("No instance matches."),
            found.is_empty(),
            "{label}"
        );
    }
    for wrong in ["env", "=prod", "env=%3Cb%3E", "%00=x"] {
        let path = format!("/wsexec/instances?label={wrong}");
        let reply = app.client().get(&path).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
        assert!(reply.text().contains("label"), "{wrong}: {}", reply.text());
        let page = visitor.get(&format!("/instances?label={wrong}")).await;
        assert_eq!(page.status, 400, "{wrong}: {}", page.text());
    }
}

#[tokio::test]
async fn the_second_of_two_tabs_on_a_user_is_told_and_overwrites_nothing() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let olga = Person::add(&app, "olga", json!({"role": "viewer"})).await;
    let path = format!("/users/{}", olga.id);
    let version = hidden(&visitor.read(&path).await, "version");
    let fields = |role, version| vec![("version", version), ("role", role), ("scope", "*@*")];
    let first = visitor.submit(&path, &fields("runner", &version)).await;
    assert_eq!(first.status, 303, "{}", first.text());
    let second = visitor.submit(&path, &fields("operator", &version)).await;
    let page = second.text();
    assert_eq!(second.status, 412, "{page}");
    assert!(page.contains("Somebody else changed this"), "{page}");
    let now = app
        .client()
        .get(&format!("/wsexec/users/{}", olga.id))
        .await;
    assert_eq!(now.json()["user"]["role"], "runner");
    let decided = hidden(&page, "version");
    let third = visitor.submit(&path, &fields("operator", &decided)).await;
    assert_eq!(third.status, 303, "{}", third.text());
    let old = [("version", version.as_str())];
    let delete = visitor.submit(&format!("{path}/delete"), &old).await;
    assert_eq!(delete.status, 412, "{}", delete.text());
}
