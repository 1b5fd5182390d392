use crate::harness::app::App;
use crate::harness::client::send;
use crate::harness::people::{Person, viewer};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn an_admin_adds_changes_and_removes_users() {
    let app = App::start().await;
    let admin = app.client();
    let new = json!({
        "name": "ann", "role": "runner", "scope": ["deploy@web-*", "!root@*"],
        "password": "what nobody guesses",
    });
    let reply = admin.post("/wsexec/users", &new).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert!(!reply.text().contains("what nobody"), "{}", reply.text());
    let user = reply.json()["user"].clone();
    assert_eq!(reply.header("location"), user["uri"]);
    assert_eq!(user["scope"], json!(["deploy@web-*", "!root@*"]));
    let path = format!("/wsexec/users/{}", user["id"]);
    let read = admin.get(&path).await;
    assert_eq!(read.json()["user"], user);
    let tag = read.header("etag").to_owned();

    // What was read can be sent back, and changes nothing.
    let same = admin.put(&path, &user).await;
    assert_eq!(
        (same.status, same.header("etag")),
        (200, &*tag),
        "{}",
        same.text()
    );
    let change = json!({"role": "operator", "scope": []});
    let reply = admin.put(&path, &change).await;
    assert_eq!(reply.json()["user"]["role"], "operator", "{}", reply.text());
    assert_eq!(reply.json()["user"]["scope"], json!([]));
    let late = admin.request(Method::PUT, &path).header("If-Match", &tag);
    let late = send(late.json(&json!({"disabled": true}))).await;
    assert_eq!(late.status, 412, "{}", late.text());
    assert_eq!(admin.put(&path, &json!({"name": "bob"})).await.status, 409);

    let listed = admin.get("/wsexec/users").await.json();
    let names: Vec<_> = listed["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["admin", "ann"]);
    let ann = app.as_user("ann", "what nobody guesses");
    assert_eq!(ann.get("/wsexec/users").await.status, 403);
    assert_eq!(ann.get("/wsexec/tasks").await.status, 200);
    assert_eq!(
        admin.put(&path, &json!({"disabled": true})).await.status,
        200
    );
    assert_eq!(ann.get("/wsexec/tasks").await.status, 401);
    let change = json!({"disabled": false, "password": "another that nobody guesses"});
    assert_eq!(admin.put(&path, &change).await.status, 200);
    assert_eq!(ann.get("/wsexec/tasks").await.status, 401);
    let ann = app.as_user("ann", "another that nobody guesses");
    assert_eq!(ann.get("/wsexec/tasks").await.status, 200);
    assert_eq!(admin.delete(&path).await.json(), json!({"result": true}));
    assert_eq!(ann.get("/wsexec/tasks").await.status, 401);
    assert_eq!(admin.get(&path).await.status, 404);
}

#[tokio::test]
async fn what_no_user_can_be_is_named() {
    let app = App::start().await;
    let admin = app.client();
    for (body, field) in [
        (json!({"role": "viewer"}), "name"),
        (json!({"name": "a:b", "role": "viewer"}), "name"),
        (json!({"name": "ann"}), "role"),
        (json!({"name": "ann", "role": "root"}), "role"),
        (
            json!({"name": "ann", "role": "viewer", "scope": ["deploy"]}),
            "scope",
        ),
        (
            json!({"name": "ann", "role": "viewer", "password": "eleven char"}),
            "password",
        ),
        (
            json!({"name": "ann", "role": "viewer", "password": "password123456"}),
            "password",
        ),
        (
            json!({"name": "robert", "role": "viewer", "password": "robert-wsexec"}),
            "password",
        ),
        (
            json!({"name": "ann", "role": "viewer", "password": "x".repeat(257)}),
            "password",
        ),
        (
            json!({"name": "ann", "role": "viewer", "subject": ""}),
            "subject",
        ),
        (json!({"name": "ann", "role": "viewer", "id": 7}), "id"),
    ] {
        let reply = admin.post("/wsexec/users", &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert_eq!(
            reply.json()["errors"][0]["field"],
            field,
            "{}",
            reply.text()
        );
    }
    // Twelve characters that are not twelve bytes, and all that HTTP basic carries.
    let body =
        json!({"name": "ann", "role": "viewer", "password": "ñ:\u{1f409}é ∅ß\u{4f60}\u{597d}ø,ł"});
    assert_eq!(admin.post("/wsexec/users", &body).await.status, 201);
    let ann = app.as_user("ann", body["password"].as_str().unwrap());
    assert_eq!(ann.get("/wsexec/users/me").await.status, 200);
    assert_eq!(admin.post("/wsexec/users", &body).await.status, 409);
    assert_eq!(admin.delete("/wsexec/users/1").await.status, 409);
    let last = admin
        .put("/wsexec/users/1", &json!({"role": "viewer"}))
        .await;
    assert_eq!(last.status, 409, "{}", last.text());
}

#[tokio::test]
async fn everybody_reads_who_they_are_and_changes_their_password() {
    let app = App::start().await;
    let scoped = json!({"role": "viewer", "scope": ["*@web-*"]});
    let ann = Person::add(&app, "ann", scoped).await;
    let client = ann.client(&app);
    let me = client.get("/wsexec/users/me").await.json()["user"].clone();
    assert_eq!(
        (&me["name"], &me["role"]),
        (&json!("ann"), &json!("viewer"))
    );
    assert_eq!(me["scopes"], json!([["*@web-*"]]));
    assert_eq!(
        me["permissions"],
        json!(["read_instances", "read_tasks", "own_account"])
    );
    let put = async |old: &str, new: &str| {
        let body = json!({"old": old, "new": new});
        client.put("/wsexec/users/me/password", &body).await
    };
    let reply = put("not the one", "a new one that is long").await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(reply.json()["errors"][0]["field"], "old");
    let reply = put(&ann.password, "ann-ann-ann-ann").await;
    assert_eq!(reply.json()["errors"][0]["field"], "new");
    let (_, session) = ann.session(&app).await;
    let reply = put(&ann.password, "a new one that is long").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(client.get("/wsexec/users/me").await.status, 401);
    assert_eq!(session.get("/wsexec/users/me").await.status, 401);
    let client = app.as_user("ann", "a new one that is long");
    assert_eq!(client.get("/wsexec/users/me").await.status, 200);
}

#[tokio::test]
async fn the_old_password_is_guessed_at_as_slowly_as_at_a_login() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", viewer()).await;
    let (_, session) = ann.session(&app).await;
    let mut statuses = Vec::new();
    for guess in 0..25 {
        let body = json!({"old": format!("guess {guess}"), "new": "a new one that is long"});
        let reply = session.put("/wsexec/users/me/password", &body).await;
        statuses.push(reply.status);
    }
    assert_eq!(statuses[0], 400);
    assert_eq!(statuses[24], 429, "{statuses:?}");
}

#[tokio::test]
async fn the_file_of_the_first_password_goes_when_it_is_changed_over_the_api() {
    let app = App::start().await;
    let file = app.data().join("admin-password");
    assert!(file.exists());
    let body = json!({"old": app.admin_password(), "new": "a new one that is long"});
    let reply = app.client().put("/wsexec/users/me/password", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!file.exists());
}
