//! The form of a new task: an instance that is typed, and a review before it runs.

use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use crate::harness::people::Person;
use crate::harness::sshd::{self, Sshd};
use serde_json::{Value, json};

async fn instance(app: &App, body: Value) -> i64 {
    let reply = app.client().post("/wsexec/instances", &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["instance"]["id"].as_i64().expect("an id")
}

/// A value as a browser sends it on.
fn unescaped(text: &str) -> String {
    let marks = [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
    ];
    marks
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// What the form answers to a step with an instance that was typed.
async fn typed(visitor: &Visitor, step: &str, instance: &str, more: &[(&str, &str)]) -> String {
    let user = sshd::user();
    let mut fields = vec![
        ("key", "a-key-of-this-test-alone"),
        ("instance", instance),
        ("user", user.as_str()),
        ("name", "typed"),
        ("script", "echo ran"),
        ("step", step),
    ];
    fields.extend(more);
    visitor.submit("/tasks/new", &fields).await.text()
}

#[tokio::test]
async fn an_instance_is_found_by_what_is_typed_of_it() {
    let app = App::start().await;
    let web = json!({"ip": "web-1.invalid", "tag": "Front of the shop", "labels": {"env": "prod", "role": "web"}});
    let web = instance(&app, web).await;
    let odd = instance(
        &app,
        json!({"ip": "web-1.invalid", "port": 2222, "labels": {"env": "prod"}}),
    )
    .await;
    let six = instance(
        &app,
        json!({"ip": "2001:db8::7", "port": 2200, "tag": "Six"}),
    )
    .await;
    let visitor = Visitor::logged_in(&app).await;
    for (text, id) in [
        ("web-1.invalid", web),
        (" WEB-1.invalid ", web),
        ("web-1.invalid:2222", odd),
        ("[web-1.invalid]:2222", odd),
        ("2001:db8::7", six),
        ("[2001:db8::7]:2200", six),
        ("role=web", web),
        ("env=prod,role=web", web),
        ("Front of the shop", web),
        ("shop", web),
        ("Six", six),
        (&odd.to_string(), odd),
    ] {
        let page = typed(&visitor, "review", text, &[]).await;
        assert!(
            page.contains("id=\"review\"") && hidden(&page, "pick") == id.to_string(),
            "{text}: {page}"
        );
    }
    for text in [
        "web-1.invalid:22222",
        "nowhere",
        "env=lab",
        "%",
        "' or 1=1 --",
        "\u{0}",
    ] {
        let page = typed(&visitor, "review", text, &[]).await;
        assert!(
            page.contains("The instance is none that you see"),
            "{text}: {page}"
        );
        assert!(!page.contains("id=\"review\""), "{text}");
    }
    let page = typed(&visitor, "review", " ", &[]).await;
    assert!(page.contains("The instance must be chosen"), "{page}");
    let page = typed(&visitor, "review", "99999", &[]).await;
    assert!(page.contains("There is no such instance."), "{page}");

    let page = typed(&visitor, "review", "env=prod", &[]).await;
    for id in [web, odd] {
        let choice = format!("<input type=\"radio\" name=\"pick\" value=\"{id}\">");
        assert!(page.contains(&choice), "{page}");
    }
    assert!(page.contains("The instance can be more than one"), "{page}");
    let picked = [("pick", &*odd.to_string())];
    let page = typed(&visitor, "review", "env=prod", &picked).await;
    assert!(page.contains("web-1.invalid]:2222"), "{page}");
    // Without the review, as a program might post the form.
    let page = typed(&visitor, "", "env=prod", &[]).await;
    assert!(page.contains("The instance can be more than one"), "{page}");
}

#[tokio::test]
async fn nothing_is_found_or_told_of_what_somebody_does_not_see() {
    let app = App::start().await;
    instance(&app, json!({"ip": "db-1.invalid", "tag": "Payroll"})).await;
    let hidden_id = instance(&app, json!({"ip": "db-2.invalid", "tag": "Payroll too"})).await;
    let operator = json!({"role": "operator", "scope": [format!("{}@db-1.invalid", sshd::user())]});
    let olga = Person::add(&app, "olga", operator).await;
    let mut visitor = Visitor::of(&app);
    visitor.log_in("olga", &olga.password, "/").await;
    let page = typed(&visitor, "review", "Payroll", &[]).await;
    assert!(
        page.contains("id=\"review\"") && !page.contains("db-2"),
        "{page}"
    );
    let page = typed(&visitor, "review", "db-2.invalid", &[]).await;
    assert!(page.contains("The instance is none that you see"), "{page}");
    for step in ["review", "run", "change"] {
        let page = typed(
            &visitor,
            step,
            "db-1.invalid",
            &[("pick", &hidden_id.to_string())],
        )
        .await;
        assert!(
            !page.contains("db-2") && !page.contains("Payroll too"),
            "{step}: {page}"
        );
    }
    let form = visitor
        .read(&format!("/tasks/new?instance={hidden_id}"))
        .await;
    assert!(
        !form.contains("db-2") && form.contains("db-1.invalid"),
        "{form}"
    );
}

#[tokio::test]
async fn the_review_says_all_of_it_and_runs_it_once() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let id = app.declare("127.0.0.1", sshd.port()).await;
    let visitor = Visitor::logged_in(&app).await;
    let first = visitor.read("/tasks/new").await;
    let address = format!("127.0.0.1:{}", sshd.port());
    let user = sshd::user();
    let script = "echo \"$WHERE <b>\"\ncat\n# the end";
    let fields = [
        ("key", &*hidden(&first, "key")),
        ("instance", &*address),
        ("user", &*user),
        ("name", "a <i>name</i>"),
        ("script", script),
        ("tag", "why it runs"),
        ("timeout", "70"),
        ("mode", "attached"),
        ("env", "WHERE=here and \"there\""),
        ("cwd", "/tmp"),
        ("stdin", "from\nthe form\n"),
        ("retries", "2"),
        ("retry_delay", "5"),
        ("step", "review"),
    ];
    let review = visitor.submit("/tasks/new", &fields).await.text();
    for part in [
        "a &#60;i&#62;name&#60;/i&#62;",
        "echo &#34;$WHERE &#60;b&#62;&#34;\ncat\n# the end",
        "WHERE",
        "here and &#34;there&#34;",
        "/tmp",
        "70 s",
        "14 bytes",
        "why it runs",
        "5 s before each",
        "Nothing has run yet.",
    ] {
        assert!(review.contains(part), "{part}: {review}");
    }
    let tasks = app.client().get("/wsexec/tasks").await.json();
    assert_eq!(tasks["tasks"], json!([]), "nothing has run");

    // As a browser sends on what the review has.
    let kept: Vec<(&str, String)> = fields
        .iter()
        .filter(|(name, _)| *name != "step")
        .map(|(name, _)| *name)
        .chain(["pick"])
        .map(|name| (name, unescaped(&hidden(&review, name))))
        .collect();
    let sent = |step: &'static str| {
        let kept = kept.iter().map(|(name, value)| (*name, value.as_str()));
        kept.chain([("step", step)]).collect::<Vec<_>>()
    };
    let form = visitor.submit("/tasks/new", &sent("change")).await.text();
    assert!(
        form.contains("echo &#34;$WHERE &#60;b&#62;&#34;\ncat\n# the end</textarea>"),
        "{form}"
    );
    for (name, value) in [("timeout", "70"), ("cwd", "/tmp"), ("retries", "2")] {
        assert!(
            form.contains(&format!("name=\"{name}\" value=\"{value}\""))
                || form.contains(&format!("value=\"{value}\"")),
            "{name}: {form}"
        );
    }
    assert!(
        form.contains(&format!("[127.0.0.1]:{}", sshd.port())),
        "{form}"
    );

    let runs = [
        visitor.submit("/tasks/new", &sent("run")).await,
        visitor.submit("/tasks/new", &sent("run")).await,
    ];
    let paths = runs.each_ref().map(|it| it.header("location").to_owned());
    assert_eq!(paths[0], paths[1], "{}", runs[0].text());
    let task = paths[0].rsplit('/').next().and_then(|it| it.parse().ok());
    let task = app.wait_ended(task.expect("an id")).await;
    assert_eq!(
        task["stdout"], "here and \"there\" <b>\nfrom\nthe form\n",
        "{task:#}"
    );
    assert_eq!(task["instance"], id);
    let tasks = app.client().get("/wsexec/tasks").await.json();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_review_says_that_a_second_person_is_needed_and_that_no_task_is_taken() {
    let app = App::start().await;
    instance(&app, json!({"ip": "guard.invalid", "approval": true})).await;
    instance(&app, json!({"ip": "free.invalid"})).await;
    instance(&app, json!({"ip": "off.invalid", "state": "DEACTIVATE"})).await;
    let visitor = Visitor::logged_in(&app).await;
    let needs = "A second person has to approve this task";
    let takes = "This instance takes no tasks now.";
    for (host, person, state) in [
        ("guard.invalid", true, false),
        ("free.invalid", false, false),
        ("off.invalid", false, true),
    ] {
        let page = typed(&visitor, "review", host, &[]).await;
        assert_eq!(
            (page.contains(needs), page.contains(takes)),
            (person, state),
            "{host}: {page}"
        );
    }
    let page = typed(&visitor, "run", "off.invalid", &[]).await;
    assert!(page.contains("role=\"alert\""), "{page}");
}

#[tokio::test]
async fn the_user_is_remembered_by_person_and_instance() {
    let app = App::start().await;
    let web = instance(&app, json!({"ip": "web.invalid"})).await;
    let db = instance(&app, json!({"ip": "db.invalid"})).await;
    let other = instance(&app, json!({"ip": "other.invalid"})).await;
    for (user, instance) in [("deploy", web), ("postgres", db)] {
        app.post_task(json!({"name": "one", "instance": instance, "user": user, "script": "true"}))
            .await;
    }
    let visitor = Visitor::logged_in(&app).await;
    let user = async |visitor: &Visitor, path: String| {
        let page = visitor.read(&path).await;
        let rest = page.split("id=\"user\" name=\"user\" value=\"").nth(1);
        rest.and_then(|it| it.split('"').next())
            .expect("the field")
            .to_owned()
    };
    let on = |id: i64| format!("/tasks/new?instance={id}");
    assert_eq!(user(&visitor, on(web)).await, "deploy");
    assert_eq!(user(&visitor, on(db)).await, "postgres");
    assert_eq!(user(&visitor, on(other)).await, "");
    assert_eq!(user(&visitor, "/tasks/new".into()).await, "postgres");
    let olga = Person::add(&app, "olga", json!({"role": "operator"})).await;
    let mut hers = Visitor::of(&app);
    hers.log_in("olga", &olga.password, "/").await;
    assert_eq!(user(&hers, on(web)).await, "", "each has their own");
}
