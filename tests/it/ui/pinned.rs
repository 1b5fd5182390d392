//! Tasks that stay, on the pages.

use super::visitor::Visitor;
use crate::harness::app::App;
use serde_json::json;

#[tokio::test]
async fn a_task_is_pinned_and_unpinned_on_its_page_and_marked_in_the_list() {
    let app = App::start().await;
    let instance = app.declare("192.0.2.1", 22).await;
    let task = json!({"name": "kept", "instance": instance, "user": "deploy", "script": "true"});
    let id = app.post_task(task).await["id"].as_i64().expect("an id");
    let path = format!("/wsexec/tasks/{id}");
    app.client().put(&path, &json!({"state": "ABORT"})).await;
    app.wait_ended(id).await;
    let visitor = Visitor::logged_in(&app).await;
    let page = format!("/tasks/{id}");
    let (pin, delete) = (format!("{page}/pin"), format!("{page}/delete"));
    let mark = "<span class=\"pin\">pinned</span>";
    for pinned in ["true", "false"] {
        let reply = visitor.submit(&pin, &[("pinned", pinned)]).await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (303, page.as_str())
        );
        let is_pinned = pinned == "true";
        let task = app.client().get(&path).await.json();
        assert_eq!(task["task"]["pinned"], is_pinned);
        let shown = visitor.get(&page).await.text();
        assert_eq!(shown.contains("stays until it is unpinned"), is_pinned);
        assert_eq!(shown.contains(&delete), !is_pinned);
        assert!(shown.contains(if is_pinned { ">Unpin<" } else { ">Pin<" }));
        for (query, is_there) in [
            ("", true),
            ("?pinned=true", is_pinned),
            ("?pinned=false", !is_pinned),
        ] {
            let list = visitor.get(&format!("/tasks{query}")).await.text();
            assert_eq!(
                list.contains(&format!("href=\"{page}\"")),
                is_there,
                "{query}"
            );
            assert_eq!(list.contains(mark), is_there && is_pinned, "{query}");
        }
    }
    let odd = visitor.submit(&pin, &[("pinned", "perhaps")]).await;
    assert_eq!(odd.status, 400, "{}", odd.text());
    let odd = visitor.get("/tasks?pinned=perhaps").await;
    assert_eq!(odd.status, 400, "{}", odd.text());
}
