//! The pages of somebody whom a scope narrows: what is out of sight is not there.

use super::visitor::Visitor;
use crate::harness::app::App;
use crate::harness::people::Person;
use serde_json::{Value, json};

const HIDDEN: &str = "db-secret.invalid";

async fn made(app: &App, path: &str, noun: &str, new: Value) -> i64 {
    let reply = app.client().post(path, &new).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()[noun]["id"].as_i64().expect("an id")
}

#[tokio::test]
async fn pages_neither_show_nor_count_what_is_out_of_sight() {
    let app = App::builder()
        .config("[ssh]\nconnect_timeout = 1")
        .start()
        .await;
    let declare = async |ip: &str, approval: bool| {
        let new = json!({"ip": ip, "port": 1, "approval": approval, "tag": format!("tag-of-{ip}")});
        made(&app, "/wsexec/instances", "instance", new).await
    };
    let (seen, hidden) = (
        declare("web-1.invalid", false).await,
        declare(HIDDEN, false).await,
    );
    let (asks, hidden_asks) = (
        declare("web-2.invalid", true).await,
        declare("db-asks.invalid", true).await,
    );
    let post = async |user: &str, instance: i64| {
        let new = json!({
            "name": format!("n-{user}-{instance}"), "script": format!("echo s-{user}-{instance}"),
            "user": user, "instance": instance,
        });
        made(&app, "/wsexec/tasks", "task", new).await
    };
    let own = post("deploy", seen).await;
    let foreign = [
        post("root", seen).await,
        post("deploy", hidden).await,
        post("root", hidden).await,
    ];
    for id in foreign.iter().chain([&own]) {
        app.wait_ended(*id).await;
    }
    let undecided = post("deploy", asks).await;
    let hidden_undecided = [
        post("root", asks).await,
        post("deploy", hidden_asks).await,
        post("root", hidden_asks).await,
    ];

    for role in ["operator", "admin", "viewer"] {
        let body = json!({"role": role, "scope": ["deploy@web-*"]});
        let ann = Person::add(&app, &format!("ann-{role}"), body).await;
        let mut visitor = Visitor::of(&app);
        let reply = visitor.log_in(&ann.name, &ann.password, "/").await;
        assert_eq!(reply.status, 303, "{}", reply.text());

        let home = visitor.read("/").await;
        let decides = usize::from(role != "viewer");
        assert!(
            home.contains(&format!("<strong>{decides}</strong> waiting for you<")),
            "{role}: {home}"
        );
        assert!(home.contains(&format!("n-deploy-{seen}")), "{role}: {home}");
        let pages = [
            "/".to_owned(),
            "/instances".to_owned(),
            "/instances?q=invalid".to_owned(),
            "/instances?q=secret".to_owned(),
            "/tasks".to_owned(),
            "/tasks?q=echo".to_owned(),
            "/tasks?q=root".to_owned(),
            "/tasks?approval=waiting".to_owned(),
            format!("/tasks?instance={hidden}"),
            format!("/tasks?before={}", hidden_undecided[2] + 1),
            format!("/instances/{seen}"),
            format!("/tasks/{own}"),
        ];
        for path in pages {
            let page = visitor.read(&path).await;
            for id in foreign.iter().chain(&hidden_undecided) {
                assert!(
                    !page.contains(&format!("/tasks/{id}\"")),
                    "{role} {path}: {page}"
                );
            }
            for text in ["n-root-", "s-root-", "tag-of-db", "tag-of-db-asks"] {
                assert!(!page.contains(text), "{role} {path}: {page}");
            }
            // What was searched for stands in the field again.
            let searched = path.contains("secret");
            assert!(searched || !page.contains("db-"), "{role} {path}: {page}");
        }
        let list = visitor.read("/tasks").await;
        assert!(list.contains(&format!("/tasks/{own}\"")), "{role}: {list}");
        assert!(
            list.contains(&format!("/tasks/{undecided}\"")),
            "{role}: {list}"
        );
        // No page of older ones leads to nothing.
        assert!(!list.contains("rel=\"next\""), "{role}: {list}");

        for (path, ids) in [("/tasks", &foreign[..]), ("/tasks", &hidden_undecided)] {
            for id in ids {
                let there = visitor.get(&format!("{path}/{id}")).await;
                let never = visitor.get(&format!("{path}/999999")).await;
                assert_eq!((there.status, never.status), (404, 404), "{role} {id}");
                assert!(!there.text().contains("n-deploy"), "{}", there.text());
            }
        }
        for id in [hidden, hidden_asks] {
            for page in ["", "/edit"] {
                let reply = visitor.get(&format!("/instances/{id}{page}")).await;
                assert_eq!(reply.status, 404, "{role} {id}{page}");
            }
        }
        let from = visitor
            .get(&format!("/tasks/new?from={}", foreign[1]))
            .await;
        assert!(!from.text().contains("s-deploy"), "{role}: {}", from.text());
        let new = visitor.get("/tasks/new").await.text();
        assert!(!new.contains("db-"), "{role}: {new}");

        // The trail tells of everything: it is for those alone whom no scope narrows.
        for path in [
            "/audit",
            "/audit?object=instance/1",
            "/users",
            "/wsexec/audit",
        ] {
            let reply = visitor.get(path).await;
            assert_eq!(reply.status, 403, "{role} {path}");
        }
        for part in ["href=\"/audit\"", "href=\"/users\""] {
            assert!(!home.contains(part), "{role}: {part}");
        }
        for (path, field) in [
            (
                format!("/tasks/{}/cancel", hidden_undecided[0]),
                ("version", "1"),
            ),
            (format!("/tasks/{}/delete", foreign[1]), ("version", "1")),
            (
                format!("/tasks/{}/approval", hidden_undecided[1]),
                ("decision", "approve"),
            ),
            (format!("/instances/{hidden}/delete"), ("version", "1")),
        ] {
            let reply = visitor.submit(&path, &[field]).await;
            // A role that may do it to nothing is told so whether it is there or not.
            let never = match role {
                "viewer" => &[404, 403][..],
                _ => &[404],
            };
            assert!(
                never.contains(&reply.status),
                "{role} {path}: {}",
                reply.text()
            );
        }
    }
}
