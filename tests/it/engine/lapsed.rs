//! Tasks that wait while whoever posted them loses what let them post it.

use super::{is_current, on, post, reason};
use crate::harness::app::App;
use crate::harness::people::Person;
use crate::harness::sshd::{Sshd, user};
use serde_json::{Value, json};

/// What becomes of somebody after the post, and what the task says then; none where it runs.
async fn lose(app: &App, ann: &Person, how: &str) -> Option<&'static str> {
    match how {
        "scope" => ann.change(app, json!({"scope": ["nobody@*"]})).await,
        "other instance" => ann.change(app, json!({"scope": ["*@web-*"]})).await,
        "role" => ann.change(app, json!({"role": "viewer"})).await,
        "disabled" => ann.change(app, json!({"disabled": true})).await,
        "removed" => {
            let path = format!("/wsexec/users/{}", ann.id);
            assert_eq!(app.client().delete(&path).await.status, 200);
        }
        _ => {
            let narrower = format!("{}@127.0.0.1", user());
            let change = json!({"role": "operator", "scope": [narrower]});
            ann.change(app, change).await;
        }
    }
    match how {
        "scope" | "other instance" => Some("may not run that there any more"),
        "role" => Some("may run nothing any more"),
        "disabled" => Some("was disabled"),
        "removed" => Some("was removed"),
        _ => None,
    }
}

#[tokio::test]
async fn a_task_does_not_run_whose_owner_might_not_post_it_any_more_when_its_turn_comes() {
    let sshd = Sshd::start();
    let config = App::builder().config("[engine]\nmax_per_instance = 1");
    let (app, instance) = on(&sshd, config).await;
    let gate = sshd.dir().join("gate");
    let wait = format!("until test -e {}; do sleep 0.05; done", gate.display());
    let first = post(&app, instance, &wait).await;
    app.wait_until(first, is_current).await;

    let mut waiting = Vec::new();
    for how in [
        "scope",
        "other instance",
        "role",
        "disabled",
        "removed",
        "narrower",
    ] {
        let name = how.replace(' ', "-");
        let ann = Person::add(&app, &name, json!({"role": "runner"})).await;
        let mark = sshd.dir().join(&name);
        let script = format!("touch {}", mark.display());
        let task = json!({
            "name": "n", "instance": instance, "user": user(), "script": script, "retries": 1,
        });
        let reply = ann.client(&app).post("/wsexec/tasks", &task).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["task"]["id"].as_i64().expect("an id");
        waiting.push((how, id, mark, lose(&app, &ann, how).await));
    }
    std::fs::write(&gate, "").unwrap();
    for (how, id, mark, refused) in waiting {
        let task = app.wait_ended(id).await;
        let path = format!("/wsexec/audit?object=task/{id}");
        let trail = app.client().get(&path).await.json();
        let acts = trail["audit"].as_array().expect("the trail").iter();
        let acts: Vec<_> = acts.map(|it| it["action"].as_str().unwrap()).collect();
        let Some(why) = refused else {
            assert_eq!(task["rc"], 0, "{how}: {task:#}");
            assert_eq!(acts, ["task.create", "task.run"], "{how}");
            continue;
        };
        assert_eq!(task["state"], "ABORT", "{how}: {task:#}");
        assert_eq!(task["outcome"], "start_failed", "{how}");
        assert_eq!(task["start"], Value::Null, "{how}");
        assert!(reason(&task).contains(why), "{how}: {task:#}");
        assert!(!mark.exists(), "{how}: it ran");
        assert_eq!(acts, ["task.create", "task.refuse"], "{how}");
        let last = &trail["audit"][1];
        assert_eq!(last["by"], "wsexec", "{how}");
        let told = last["detail"]["why"].as_str().unwrap_or_default();
        assert!(told.contains(why), "{how}: {last:#}");
    }
    // What is posted by who still may goes on.
    assert_eq!(app.run(instance, &user(), "true").await["rc"], 0);
}
