use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::sshd::{self, Sshd};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};

/// The beginning of a script: `hear WORD` prints a word once the test has told it. What still
/// runs when the test is over hears that the file is gone, and ends.
fn hearing(file: &std::path::Path) -> String {
    let file = file.display();
    format!(
        "hear() {{ until grep -qx $1 '{file}'; do test -e '{file}' || exit; sleep 0.05; done; echo $1; }}\n"
    )
}

fn tell(file: &std::path::Path, line: &str) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
    writeln!(file, "{line}").unwrap();
}

#[tokio::test]
async fn a_newcomer_adds_a_machine_runs_a_script_watches_it_and_cancels_another() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let browser = Browser::of(&app).await;
    let orders = app.path("orders");
    std::fs::write(&orders, "").unwrap();

    browser.log_in(&app).await;
    browser.wait_text("main", "add one first").await;
    browser.click("main a[href='/instances/new']").await;
    browser.fill("#ip", "127.0.0.1").await;
    browser.fill("#port", &sshd.port().to_string()).await;
    browser.click("form.wide button").await;
    browser.wait_text("h1", "127.0.0.1").await;

    browser.click("a[href^='/tasks/new?instance=']").await;
    browser.fill("#user", &sshd::user()).await;
    browser.fill("#name", "watched").await;
    let script = hearing(&orders) + "echo begun\nhear first\nhear second\necho oops >&2\nexit 4";
    browser.fill("#script", &script).await;
    browser.click("form.wide button").await;
    browser.wait_text("#stdout", "begun").await;
    browser.wait_text("#facts", "CURRENT").await;
    tell(&orders, "first");
    browser
        .wait_for("both lines", async || {
            browser.content("#stdout").await == "begun\nfirst\n"
        })
        .await;
    tell(&orders, "second");
    browser.wait_text("#facts", "rc 4").await;
    assert_eq!(
        browser.content("#stdout").await.trim_end(),
        "begun\nfirst\nsecond"
    );
    assert_eq!(browser.content("#stderr").await.trim_end(), "oops");
    browser.wait_text("#facts", "Run again").await;

    browser.open("/tasks/new").await;
    browser.click("#instance option:last-child").await;
    browser.fill("#user", &sshd::user()).await;
    browser.fill("#name", "cancelled").await;
    browser.fill("#script", "echo sleeping; sleep 600").await;
    browser.click("form.wide button").await;
    browser.wait_text("#stdout", "sleeping").await;
    browser.click("#cancel").await;
    browser.wait_text("#facts", "ABORT").await;

    browser.click(".who button").await;
    browser.wait_text("h1", "Log in").await;
    browser.open("/tasks").await;
    browser.wait_text("h1", "Log in").await;
}

#[tokio::test]
async fn a_page_follows_its_task_over_a_restart_without_a_line_missing_or_doubled() {
    let sshd = Sshd::start();
    let mut app = App::builder().identity(sshd.identity()).start().await;
    let door = Door::to(app.address()).await;
    let browser = Browser::at(&app, format!("https://{}", door.address)).await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let orders = app.path("orders");
    std::fs::write(&orders, "").unwrap();
    let task = app
        .post_task(json!({
            "name": "long", "instance": instance, "user": sshd::user(),
            "script": hearing(&orders) + "echo begun; hear before; hear never",
        }))
        .await;
    let id = task["id"].as_i64().expect("an id");
    app.wait_until(id, |task| task["stdout"] == "begun\n").await;

    browser.log_in(&app).await;
    browser.open(&format!("/tasks/{id}")).await;
    browser.wait_text("#live", "Live").await;
    tell(&orders, "before");
    browser.wait_text("#stdout", "before").await;
    app.kill9().await;
    browser.wait_text("#live", "trying again").await;
    app.restart().await;
    door.lead_to(app.address());
    browser.wait_text("#facts", "ABORT").await;
    assert_eq!(browser.content("#stdout").await.trim_end(), "begun\nbefore");
}

#[tokio::test]
async fn a_flood_of_output_leaves_the_page_small_and_at_its_end() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let browser = Browser::of(&app).await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let gate = app.path("gate");
    browser.log_in(&app).await;
    let task = app
        .post_task(json!({
            "name": "flood", "instance": instance, "user": sshd::user(),
            "script": format!("until test -e '{}'; do sleep 0.1; done; seq 500000", gate.display()),
        }))
        .await;
    browser.open(&format!("/tasks/{}", task["id"])).await;
    browser.wait_text("#live", "Live").await;
    std::fs::write(&gate, "").unwrap();
    browser.wait_text("#facts", "DONE").await;
    let shown = browser
        .eval("const t = document.getElementById('stdout'); return [t.querySelectorAll('.l').length, t.childNodes.length, t.textContent.slice(-14), t.scrollHeight - t.scrollTop - t.clientHeight]")
        .await;
    assert!(shown[0].as_u64().unwrap() <= 6000, "{shown}");
    assert!(shown[1].as_u64().unwrap() < 200, "{shown}");
    assert_eq!(shown[2], "499999\n500000\n");
    assert!(shown[3].as_f64().unwrap() < 24.0, "{shown}");
    browser.wait_text("#output", "Earlier lines").await;
}

/// An address that stays while the server behind it moves.
struct Door {
    address: SocketAddr,
    behind: Arc<Mutex<SocketAddr>>,
    open: tokio::task::JoinHandle<()>,
}

impl Door {
    async fn to(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let behind = Arc::new(Mutex::new(behind));
        let target = behind.clone();
        let open = tokio::spawn(async move {
            let mut visits = tokio::task::JoinSet::new();
            while let Ok((mut visitor, _)) = listener.accept().await {
                let target = *target.lock().unwrap();
                visits.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        let _ = tokio::io::copy_bidirectional(&mut visitor, &mut server).await;
                    }
                });
            }
        });
        Self {
            address,
            behind,
            open,
        }
    }

    fn lead_to(&self, behind: SocketAddr) {
        *self.behind.lock().unwrap() = behind;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.open.abort();
    }
}
