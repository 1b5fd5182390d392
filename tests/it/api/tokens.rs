use crate::harness::app::App;
use crate::harness::people::{Person, viewer};
use serde_json::{Value, json};

#[tokio::test]
async fn a_token_is_shown_once_and_does_what_it_may() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", json!({"role": "operator"})).await;
    let new = json!({"name": "ci", "role": "viewer", "scope": ["*@web-*"], "expires_in": 3600});
    let reply = ann.client(&app).post("/wsexec/tokens", &new).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let token = reply.json()["token"].clone();
    assert_eq!(reply.header("location"), token["uri"]);
    let text = token["token"].as_str().unwrap();
    assert!(text.starts_with("wsx_") && text.len() == 52, "{text}");
    let life = token["expires"].as_i64().unwrap() - token["created"].as_i64().unwrap();
    assert_eq!(life, 3600);

    let (web, db) = (app.declare("web-1", 1).await, app.declare("db-1", 1).await);
    let client = app.with_header("Authorization", &format!("Bearer {text}"));
    let see = async |id: i64| client.get(&format!("/wsexec/instances/{id}")).await.status;
    assert_eq!((see(web).await, see(db).await), (200, 404));
    let path = format!("/wsexec/instances/{web}");
    assert_eq!(client.put(&path, &json!({"tag": "t"})).await.status, 403);
    let me = client.get("/wsexec/users/me").await.json()["user"].clone();
    assert_eq!(me["token"], token["id"]);
    assert_eq!(me["role"], "viewer");

    let listed = client.get("/wsexec/tokens").await;
    assert!(!listed.text().contains(text));
    let listed = &listed.json()["tokens"][0];
    assert_eq!(listed["used_from"], "127.0.0.1");
    assert!(listed["used"].is_i64() && listed.get("token").is_none());
    let store = std::fs::read(app.data().join("wsexec.db")).unwrap();
    let log = std::fs::read(app.data().join("wsexec.db-wal")).unwrap_or_default();
    for bytes in [store, log] {
        assert!(!bytes.windows(text.len()).any(|it| it == text.as_bytes()));
    }
}

#[tokio::test]
async fn a_token_is_no_wider_than_its_owner_and_does_not_live_for_ever() {
    let app = App::start().await;
    let narrow = json!({"role": "runner", "scope": ["deploy@web-*", "!root@*"]});
    let ann = Person::add(&app, "ann", narrow).await;
    let client = ann.client(&app);
    for (new, field) in [
        (json!({}), "name"),
        (json!({"name": "t", "role": "operator"}), "role"),
        (json!({"name": "t", "scope": ["deploy@*"]}), "scope"),
        (json!({"name": "t", "scope": ["ann@web-1"]}), "scope"),
        (json!({"name": "t", "expires": 1}), "expires"),
        (json!({"name": "t", "expires_in": 400 * 86400}), "expires"),
        (json!({"name": "t", "expires_in": 0}), "expires"),
        (
            json!({"name": "t", "expires": i64::MAX, "expires_in": 60}),
            "expires_in",
        ),
    ] {
        let reply = client.post("/wsexec/tokens", &new).await;
        assert_eq!(reply.status, 400, "{new}: {}", reply.text());
        assert_eq!(reply.json()["errors"][0]["field"], field, "{new}");
    }
    let reply = client.post("/wsexec/tokens", &json!({"name": "t"})).await;
    let token = reply.json()["token"].clone();
    let life = token["expires"].as_i64().unwrap() - token["created"].as_i64().unwrap();
    assert_eq!(life, 90 * 86400);
    assert_eq!(
        client
            .post("/wsexec/tokens", &json!({"name": "t"}))
            .await
            .status,
        409
    );

    // What its owner loses, it loses.
    let (_, token) = ann.token(&app, json!({"name": "u"})).await;
    ann.change(&app, json!({"role": "viewer"})).await;
    let me = token.get("/wsexec/users/me").await.json()["user"].clone();
    assert_eq!(me["role"], "viewer");
}

#[tokio::test]
async fn a_token_begets_no_token_and_changes_nothing_that_its_owner_logs_in_with() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", json!({"role": "admin"})).await;
    let (own, token) = ann.token(&app, json!({"name": "t"})).await;
    let (other, _) = ann.token(&app, json!({"name": "u"})).await;
    let (session, _) = ann.session(&app).await;
    let itself = format!("/wsexec/users/{}", ann.id);
    let password = json!({"old": ann.password, "new": "a new one that is long"});
    for (method, path, body) in [
        ("POST", "/wsexec/tokens", json!({"name": "v"})),
        ("PUT", "/wsexec/users/me/password", password),
        (
            "PUT",
            &itself,
            json!({"password": "a new one that is long"}),
        ),
        ("DELETE", &format!("/wsexec/tokens/{other}"), Value::Null),
    ] {
        let reply = match method {
            "POST" => token.post(path, &body).await,
            "PUT" => token.put(path, &body).await,
            _ => token.delete(path).await,
        };
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text());
    }
    let bob = Person::add(&app, "bob", viewer()).await;
    let (_, his) = bob.token(&app, json!({"name": "t"})).await;
    let (his_session, _) = bob.session(&app).await;
    let path = format!("/wsexec/sessions/{his_session}");
    assert_eq!(his.delete(&path).await.status, 403);
    assert_eq!(
        token
            .get(&format!("/wsexec/sessions/{session}"))
            .await
            .status,
        405
    );
    // But it may end itself.
    let path = format!("/wsexec/tokens/{own}");
    assert_eq!(token.delete(&path).await.status, 200);
    assert_eq!(token.get("/wsexec/users/me").await.status, 401);
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_there_but_for_admins() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", viewer()).await;
    let bob = Person::add(&app, "bob", viewer()).await;
    let (id, token) = ann.token(&app, json!({"name": "t"})).await;
    let (path, mine) = (
        format!("/wsexec/tokens/{id}"),
        format!("/wsexec/tokens?user={}", ann.id),
    );
    for (status, reply) in [
        (404, bob.client(&app).get(&path).await),
        (404, bob.client(&app).delete(&path).await),
        (403, bob.client(&app).get(&mine).await),
        (200, ann.client(&app).get(&mine).await),
        (200, ann.client(&app).get(&path).await),
        (200, app.client().get(&path).await),
    ] {
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    let all = app.client().get(&mine).await.json();
    assert_eq!(all["tokens"][0]["id"], id);
    assert_eq!(
        bob.client(&app).get("/wsexec/tokens").await.json()["tokens"],
        json!([])
    );
    assert_eq!(app.client().delete(&path).await.status, 200);
    assert_eq!(token.get("/wsexec/users/me").await.status, 401);
    assert_eq!(app.client().delete(&path).await.status, 404);
}

#[tokio::test]
async fn what_is_no_token_is_401_and_says_how_to_log_in() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", viewer()).await;
    let (_, good) = ann.token(&app, json!({"name": "t"})).await;
    let unknown = wsexec::auth::new_api_token();
    let unknown = app.with_header("Authorization", &format!("Bearer {}", unknown.expose()));
    let reply = unknown.get("/wsexec/tasks").await;
    assert_eq!(reply.status, 401);
    let told: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
    assert!(
        told.iter()
            .any(|it| it.to_str().unwrap().starts_with("Basic "))
    );
    let bearer = "Bearer realm=\"wsexec\", error=\"invalid_token\"";
    assert!(told.iter().any(|it| *it == bearer), "{told:?}");
    let mut last = 0;
    for _ in 0..30 {
        last = unknown.get("/wsexec/tasks").await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(good.get("/wsexec/tasks").await.status, 200);
    app.wait_stderr("no such token").await;
}
