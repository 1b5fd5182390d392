use crate::harness::app::App;
use crate::harness::people::{Person, viewer};
use serde_json::json;

#[tokio::test]
async fn everybody_sees_and_ends_their_sessions_and_an_admin_those_of_others() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", viewer()).await;
    let bob = Person::add(&app, "bob", viewer()).await;
    let (first, one) = ann.session(&app).await;
    let (second, two) = ann.session(&app).await;
    let listed = two.get("/wsexec/sessions").await.json();
    let shown: Vec<_> = listed["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["id"].as_i64().unwrap(), it["current"].as_bool().unwrap()))
        .collect();
    assert_eq!(shown, [(second, true), (first, false)]);
    assert_eq!(listed["sessions"][0]["address"], "127.0.0.1");
    assert_eq!(listed["sessions"][0]["method"], "password");

    let path = format!("/wsexec/sessions/{first}");
    assert_eq!(bob.client(&app).delete(&path).await.status, 404);
    let theirs = format!("/wsexec/sessions?user={}", ann.id);
    assert_eq!(bob.client(&app).get(&theirs).await.status, 403);
    assert_eq!(one.get("/wsexec/users/me").await.status, 200);
    assert_eq!(two.delete(&path).await.json(), json!({"result": true}));
    assert_eq!(one.get("/wsexec/users/me").await.status, 401);
    assert_eq!(two.delete(&path).await.status, 404);

    let seen = app.client().get(&theirs).await.json();
    assert_eq!(seen["sessions"].as_array().unwrap().len(), 1);
    let path = format!("/wsexec/sessions/{second}");
    assert_eq!(app.client().delete(&path).await.status, 200);
    assert_eq!(two.get("/wsexec/users/me").await.status, 401);
}
