use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use crate::harness::client::send;
use crate::harness::sshd::{self, Sshd};
use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::json;
use std::io::Read as _;

async fn with_machine() -> (Sshd, App, i64) {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    (sshd, app, instance)
}

#[tokio::test]
async fn a_task_that_was_posted_by_a_form_is_complete_on_reload() {
    let (sshd, app, instance) = with_machine().await;
    let visitor = Visitor::logged_in(&app).await;
    let form = visitor
        .read(&format!("/tasks/new?instance={instance}"))
        .await;
    let address = format!("value=\"[127.0.0.1]:{}\"", sshd.port());
    assert!(form.contains(&address), "{form}");
    let fields = [
        ("key", hidden(&form, "key")),
        ("instance", instance.to_string()),
        ("user", sshd::user()),
        ("name", "two streams".into()),
        // A browser sends CR LF: a shell would take the CR for a part of the word.
        (
            "script",
            "printf '\\nout é'\r\nprintf err >&2\r\nexit 3\r\n".into(),
        ),
        ("tag", String::new()),
        ("timeout", "60".into()),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let posted = visitor.submit("/tasks/new", &fields).await;
    assert_eq!(posted.status, 303, "{}", posted.text());
    let path = posted.header("location").to_owned();
    let id = path.rsplit('/').next().and_then(|id| id.parse().ok());
    let task = app.wait_ended(id.expect("an id")).await;
    assert_eq!(task["rc"], 3, "{task:#}");
    let page = visitor.read(&path).await;
    for part in [
        "></a>out é\n</span>",
        ">err\n</span>",
        "rc 3",
        "<dt>Time limit</dt><dd>60 s</dd>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.len() < 50_000, "{} bytes", page.len());

    let key = hidden(&page, "key");
    let again = format!("{path}/rerun");
    let first = visitor.submit(&again, &[("key", &key)]).await;
    let second = visitor.submit(&again, &[("key", &key)]).await;
    assert_eq!(
        (first.status, second.status),
        (303, 303),
        "{}",
        first.text()
    );
    assert_eq!(first.header("location"), second.header("location"));
    let rerun = visitor.read(first.header("location")).await;
    assert!(rerun.contains("exit 3"));

    let version = hidden(&page, "version");
    let deleted = visitor
        .submit(&format!("{path}/delete"), &[("version", &version)])
        .await;
    assert_eq!(deleted.status, 303, "{}", deleted.text());
    assert_eq!(visitor.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_running_task_shows_what_came_and_can_be_cancelled() {
    let (_sshd, app, instance) = with_machine().await;
    let visitor = Visitor::logged_in(&app).await;
    let task = app
        .post_task(json!({
            "name": "long", "instance": instance, "user": sshd::user(),
            "script": "echo begun; sleep 600",
        }))
        .await;
    let id = task["id"].as_i64().expect("an id");
    app.wait_until(id, |task| task["stdout"] == "begun\n").await;
    let path = format!("/tasks/{id}");
    let page = visitor.read(&path).await;
    assert!(
        page.contains(">begun\n</span>") && page.contains("data-from=\"6-0\""),
        "{page}"
    );
    let bare = visitor.read(&format!("{path}?output=none")).await;
    assert!(!bare.contains(">begun\n</span>") && bare.contains("id=\"facts\""));
    let reply = visitor.submit(&format!("{path}/cancel"), &[]).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "cancelled", "{task:#}");
    assert!(visitor.read(&path).await.contains("cancelled"));
}

#[tokio::test]
async fn long_output_is_cut_in_the_page_and_the_raw_has_all() {
    let (_sshd, app, instance) = with_machine().await;
    let visitor = Visitor::logged_in(&app).await;
    let task = app
        .run(
            instance,
            &sshd::user(),
            "seq -f 'é%06.0f' 30000; echo the end",
        )
        .await;
    let page = visitor.read(&format!("/tasks/{}", task["id"])).await;
    assert!(page.contains(">é030000\n</span>") && page.contains(">the end\n</span></span></pre>"));
    assert!(!page.contains("é000001"));
    assert!(!page.contains('\u{fffd}'), "no character is cut in two");
    assert!(page.contains(">Earlier lines</a>") && page.contains("data-n=\"30001\""));
    assert!(page.len() < 3 * 64 * 1024, "{} bytes", page.len());
    let raw = visitor
        .read(&format!("/wsexec/tasks/{}/stdout", task["id"]))
        .await;
    assert!(raw.starts_with("é000001\n") && raw.ends_with("the end\n"));
}

#[tokio::test]
async fn what_scripts_and_people_write_is_shown_and_never_obeyed() {
    let (_sshd, app, instance) = with_machine().await;
    let visitor = Visitor::logged_in(&app).await;
    let script = "printf '</pre><script>alert(1)</script>\\033[31m\\007\\342\\200\\256'; printf '%010000d' 0 >&2 # \u{202e} \"'<b>";
    let task = app
        .post_task(json!({
            "name": "</title><script>alert(2)</script>\u{202e}", "tag": "\"><img src=x>",
            "instance": instance, "user": sshd::user(), "script": script,
        }))
        .await;
    let id = task["id"].as_i64().expect("an id");
    app.wait_ended(id).await;
    for path in [
        format!("/tasks/{id}"),
        format!("/tasks/new?from={id}"),
        "/tasks".into(),
        "/tasks?q=%22%3E%3Cscript%3Ealert(3)".into(),
        "/".into(),
        format!("/instances/{instance}"),
    ] {
        let page = visitor.read(&path).await;
        for bad in [
            "<script>alert",
            "<img src=x>",
            "<b>",
            "</pre><script",
            "\u{1b}",
            "\u{7}",
        ] {
            assert!(!page.contains(bad), "{bad:?} in {path}");
        }
        if !path.contains("from=") {
            assert!(!page.contains('\u{202e}'), "{path}");
        }
        assert_eq!(page.matches("<script").count(), 1, "{path}");
    }
    let page = visitor.read(&format!("/tasks/{id}")).await;
    assert!(page.contains("<span class=\"f1\">␇[U+202E]"), "{page}");
}

#[tokio::test]
async fn the_list_goes_from_newer_to_older_and_back_and_is_narrowed_by_its_address() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let instance = app.declare("192.0.2.1", 22).await;
    let client = app.client();
    let off = json!({"state": "DEACTIVATE"});
    for n in 1..=60 {
        let task = json!({"name": format!("number-{n}."), "instance": instance, "user": "u", "script": "true"});
        app.post_task(task).await;
    }
    client
        .put(&format!("/wsexec/instances/{instance}"), &off)
        .await;
    let newest = visitor.read("/tasks").await;
    assert!(newest.contains("number-60.") && newest.contains("number-11."));
    assert!(!newest.contains("number-10.") && !newest.contains(">Previous<"));
    let link = |page: &str, rel: &str| {
        let rest = page
            .split_once(&format!("rel=\"{rel}\" href=\""))
            .expect("a link")
            .1;
        rest.split_once('"')
            .expect("an end")
            .0
            .replace("&#38;", "&")
    };
    let older = visitor.read(&link(&newest, "next")).await;
    assert!(older.contains("number-10.") && older.contains("number-1."));
    assert!(!older.contains("number-11.") && !older.contains(">Next<"));
    let back = visitor.read(&link(&older, "prev")).await;
    assert!(back.contains("number-60.") && back.contains("number-11."));
    let one = visitor
        .read(&format!("/tasks?q=number-7.&instance={instance}"))
        .await;
    assert!(one.contains("number-7.") && !one.contains("number-8."));
    assert!(
        visitor
            .read("/tasks?q=nothing")
            .await
            .contains("No task matches.")
    );
    assert_eq!(visitor.get("/tasks?state=NOPE").await.status, 400);
}

#[tokio::test]
async fn errors_are_pages_that_show_the_request_id() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    for path in [
        "/nope",
        "/tasks/1",
        "/tasks/abc",
        "/tasks/99999999999999999999",
        "/instances/-1",
    ] {
        let reply = visitor.get(path).await;
        let page = reply.text();
        assert_eq!(reply.status, 404, "{path}");
        assert!(
            reply.header("content-type").starts_with("text/html"),
            "{path}"
        );
        assert!(page.contains("<h1>Not found</h1>"), "{path}: {page}");
        assert!(
            page.contains(reply.header("x-request-id")),
            "{path}: {page}"
        );
    }
    let wrong = visitor.get("/logout").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "POST"));
    let program = app.anonymous().get("/nope").await;
    assert_eq!(program.status, 404);
    assert_eq!(program.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn static_files_may_be_kept_for_ever_and_pages_not_at_all() {
    let app = App::start().await;
    let visitor = Visitor::of(&app);
    let reply = visitor.get("/login").await;
    let page = reply.text();
    assert_eq!(reply.header("cache-control"), "no-store");
    assert!(
        reply
            .header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    assert!(!page.contains("style=") && !page.contains("<style") && !page.contains(" on"));
    for (begin, kind) in [
        ("/static/app.", "text/css; charset=utf-8"),
        ("/static/live.", "text/javascript; charset=utf-8"),
        ("/static/icon.", "image/svg+xml"),
    ] {
        let at = page.find(begin).expect("the page names it");
        let path = page[at..].split('"').next().expect("an end");
        let reply = visitor.get(path).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, kind));
        assert_eq!(
            reply.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(
            (reply.header("vary"), reply.header("content-encoding")),
            ("Accept-Encoding", "")
        );
        let request = app.anonymous().request(Method::GET, path);
        let small = send(request.header("accept-encoding", "br, gzip")).await;
        assert_eq!(small.header("content-encoding"), "gzip");
        assert_eq!(small.header("content-type"), kind);
        let mut whole = Vec::new();
        let unpacked = GzDecoder::new(&*small.body).read_to_end(&mut whole);
        unpacked.expect("it is gzip");
        assert!(whole == reply.body, "{begin} comes out as it is");
        assert!(small.body.len() < reply.body.len() || kind == "image/svg+xml");
    }
    // A page holds the form's token beside what a request chooses: its length must not tell of it.
    let request = app.anonymous().request(Method::GET, "/login");
    let page = send(request.header("accept-encoding", "gzip")).await;
    assert_eq!(page.header("content-encoding"), "");
    assert_eq!(visitor.get("/static/app.css").await.status, 404);
}
