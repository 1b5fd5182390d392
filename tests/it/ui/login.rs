use super::visitor::Visitor;
use crate::harness::app::App;
use crate::harness::client::send;
use reqwest::Method;

#[tokio::test]
async fn who_is_not_logged_in_is_led_to_the_login_and_back() {
    let app = App::start().await;
    let mut visitor = Visitor::of(&app);
    let reply = visitor.get("/tasks?state=DONE").await;
    assert_eq!(reply.status, 303);
    assert_eq!(
        reply.header("location"),
        "/login?next=%2Ftasks%3Fstate%3DDONE"
    );
    let form = visitor.read(reply.header("location")).await;
    assert!(form.contains("value=\"/tasks?state=DONE\""));
    let reply = visitor
        .log_in("admin", app.admin_password(), "/tasks?state=DONE")
        .await;
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, "/tasks?state=DONE")
    );
    visitor.read("/tasks?state=DONE").await;
    let again = visitor.get("/login?next=/instances").await;
    assert_eq!(
        (again.status, again.header("location")),
        (303, "/instances"),
        "who is logged in needs no form"
    );
}

#[tokio::test]
async fn a_login_never_leads_to_another_site() {
    let app = App::start().await;
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example"] {
        let mut visitor = Visitor::of(&app);
        let reply = visitor.log_in("admin", app.admin_password(), next).await;
        assert_eq!((reply.status, reply.header("location")), (303, "/"));
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_read_the_same() {
    let app = App::start().await;
    let mut visitor = Visitor::of(&app);
    let known = visitor.log_in("admin", "wrong", "/").await;
    let unknown = visitor.log_in("nobody", "wrong", "/").await;
    assert_eq!((known.status, unknown.status), (401, 401));
    assert!(known.text().contains("The name or the password is wrong."));
    assert_eq!(
        known.text().replace("value=\"admin\"", ""),
        unknown.text().replace("value=\"nobody\"", "")
    );
    assert_eq!(known.header("set-cookie"), "");
    assert!(!known.text().contains("value=\"wrong\""));
}

#[tokio::test]
async fn the_session_cookie_is_for_this_host_and_for_no_script() {
    let app = App::start().await;
    let mut visitor = Visitor::of(&app);
    let reply = visitor.log_in("admin", app.admin_password(), "/").await;
    let cookie = reply.header("set-cookie");
    let (name, attributes) = cookie.split_once('=').expect("a cookie");
    assert_eq!(name, "__Host-wsexec");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(attributes.contains(attribute), "{cookie}");
    }
    assert!(!attributes.contains("Domain"), "{cookie}");
}

#[tokio::test]
async fn after_a_log_out_the_cookie_opens_nothing() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    visitor.read("/tasks").await;
    let reply = visitor.submit("/logout", &[]).await;
    assert_eq!((reply.status, reply.header("location")), (303, "/login"));
    assert!(reply.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(visitor.get("/tasks").await.status, 303);
    assert_eq!(visitor.get("/wsexec/tasks").await.status, 401);
}

#[tokio::test]
async fn a_form_from_another_site_is_refused() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let fields = [
        ("ip", "192.0.2.1"),
        ("port", "22"),
        ("state", "ACTIVE"),
        ("key", "k"),
    ];
    for origin in ["https://evil.example", "null"] {
        let reply = visitor.submit_from(origin, "/instances/new", &fields).await;
        assert_eq!(reply.status, 403, "{origin}");
    }
    assert!(!visitor.read("/instances").await.contains("192.0.2.1"));
}

#[tokio::test]
async fn a_login_gives_a_new_session_and_ends_the_one_that_the_browser_had() {
    let app = App::start().await;
    let mut visitor = Visitor::logged_in(&app).await;
    let old = visitor.cookie().to_owned();
    let reply = visitor.log_in("admin", app.admin_password(), "/").await;
    assert_eq!(reply.status, 303);
    assert_ne!(visitor.cookie(), old);
    let request = app.anonymous().request(Method::GET, "/wsexec/tasks");
    let reply = send(request.header("Cookie", old)).await;
    assert_eq!(reply.status, 401);
    visitor.read("/tasks").await;
}
