use crate::harness::app::App;
use crate::harness::people::{Person, viewer};
use serde_json::json;

/// A password alone would get round the code: basic is refused, and only to who knows the password
/// is it said why.
#[tokio::test]
async fn who_has_a_second_factor_cannot_use_http_basic_and_can_use_a_token() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", viewer()).await;
    let (_, token) = ann.token(&app, json!({"name": "t"})).await;
    let store = rusqlite::Connection::open(app.data().join("wsexec.db")).unwrap();
    store
        .busy_timeout(std::time::Duration::from_secs(30))
        .unwrap();
    let factor = "INSERT INTO second_factors (user, key, sealed, confirmed, created)
                  VALUES (?1, 'k', x'00', ?2, 0)";
    store.execute(factor, (ann.id, false)).unwrap();
    assert_eq!(ann.client(&app).get("/wsexec/tasks").await.status, 200);
    let confirm = "UPDATE second_factors SET confirmed = 1";
    store.execute(confirm, ()).unwrap();
    let reply = ann.client(&app).get("/wsexec/tasks").await;
    assert_eq!(reply.status, 401);
    assert!(reply.text().contains("API token"), "{}", reply.text());
    let wrong = app
        .as_user("ann", "not the password")
        .get("/wsexec/tasks")
        .await;
    assert_eq!(wrong.status, 401);
    assert!(!wrong.text().contains("API token"), "{}", wrong.text());
    assert_eq!(token.get("/wsexec/tasks").await.status, 200);
}
