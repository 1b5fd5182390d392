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
    browser.wait_element("#run").await;
    browser.click("#run").await;
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
    browser
        .fill("#instance", &format!("127.0.0.1:{}", sshd.port()))
        .await;
    browser.fill("#user", &sshd::user()).await;
    browser.fill("#name", "cancelled").await;
    browser.fill("#script", "echo sleeping; sleep 600").await;
    browser.click("form.wide button").await;
    browser.wait_element("#run").await;
    browser.click("#run").await;
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

#[tokio::test]
async fn what_comes_live_looks_as_it_does_on_reload_and_a_reader_who_scrolls_up_stays_there() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let browser = Browser::of(&app).await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let orders = app.path("orders");
    std::fs::write(&orders, "").unwrap();
    let script = "seq 300; printf '\\033[32mgreen\\n'; hear part; printf 'more\\033[0m'; sleep 1; echo err >&2; sleep 1; printf '<b>&\\000\\n'; hear flood; seq 3000; hear last";
    browser.log_in(&app).await;
    let task = app
        .post_task(json!({
            "name": "looks", "instance": instance, "user": sshd::user(),
            "script": hearing(&orders) + script,
        }))
        .await;
    let path = format!("/tasks/{}", task["id"]);
    browser.open(&format!("{path}?view=together")).await;
    browser.wait_text("#live", "Live").await;
    tell(&orders, "part");
    browser.wait_text("#output", "<b>&").await;
    let rows = "return [...document.querySelectorAll('.l')].slice(-5).map(it => it.outerHTML)";
    let live = browser.eval(rows).await;
    browser.open(&path).await;
    browser.wait_text("#live", "Live").await;
    assert_eq!(
        live,
        browser.eval(rows).await,
        "live, and as the page has it"
    );
    browser
        .eval("const pre = document.querySelector('pre.output'); pre.scrollTop = pre.scrollHeight - pre.clientHeight - 500; pre.dispatchEvent(new Event('scroll'))")
        .await;
    let place = "return document.querySelector('pre.output').scrollTop";
    let before = browser.eval(place).await;
    tell(&orders, "flood");
    browser
        .wait_for("the flood", async || {
            browser
                .content("pre.output")
                .await
                .ends_with("\n2999\n3000\n")
        })
        .await;
    assert_eq!(before, browser.eval(place).await, "the reader stays");
    tell(&orders, "last");
    browser.wait_text("#facts", "DONE").await;
}

#[tokio::test]
async fn earlier_and_later_lines_come_while_the_reader_scrolls() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let browser = Browser::of(&app).await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    browser.log_in(&app).await;
    let task = app.run(instance, &sshd::user(), "seq 20000").await;
    browser
        .open(&format!("/tasks/{}?line=10000#o10000", task["id"]))
        .await;
    let edge = |at: i32| {
        format!(
            "const t = [...document.querySelectorAll('#stdout .l > a')].at({at}); return Number(t.dataset.n)"
        )
    };
    assert_eq!(browser.eval(&edge(0)).await, 9_900);
    let seen = "const row = document.getElementById('o10000').getBoundingClientRect(); const pre = document.getElementById('stdout').getBoundingClientRect(); return row.top >= pre.top && row.bottom <= pre.bottom";
    assert_eq!(browser.eval(seen).await, true, "the line is in sight");
    let scroll = |to: &str| {
        format!(
            "const t = document.getElementById('stdout'); t.scrollTop = {to}; t.dispatchEvent(new Event('scroll'))"
        )
    };
    browser.eval(&scroll("0")).await;
    browser
        .wait_for("earlier lines", async || {
            browser.eval(&edge(0)).await == 9_400
        })
        .await;
    browser.eval(&scroll("t.scrollHeight")).await;
    browser
        .wait_for("later lines", async || {
            browser.eval(&edge(-1)).await.as_u64() >= Some(10_899)
        })
        .await;
    let all = "const t = [...document.querySelectorAll('#stdout .l > a')].map(it => Number(it.dataset.n)); return t.every((n, at) => at === 0 || n === t[at - 1] + 1)";
    assert_eq!(browser.eval(all).await, true, "none is missing or doubled");
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

#[tokio::test]
async fn pictures_of_output_are_there_for_whoever_wants_to_look() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let browser = Browser::of(&app).await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let state = app.path("state");
    let run = async |name: &str, outcome: &str| {
        std::fs::write(&state, outcome).unwrap();
        let script = format!(
            "#!/bin/sh\n# Rolls out release 4.2\nset -u\nprintf '\\033[1mRelease 4.2\\033[0m to \\033[36mweb-1 web-2 web-3\\033[0m\\n'\nfor n in 0 1 2 3 4 5 6 7; do printf \"\\033[3${{n}}mcolour $n\\033[0m \\033[9${{n}}mbright\\033[0m \\033[4${{n}}mground\\033[0m \\033[7mturned\\033[0m\\n\"; done\nprintf '\\033[38;5;208mwarning:\\033[0m disk at 91 %%\\n' >&2\nsleep 0.1\nseq -f 'copied file %03.0f' 40\nstate=$(cat {})\necho \"health: $state\"\ntest \"$state\" = good || {{ printf '\\033[31merror:\\033[0m web-2 does not answer on port 443\\n' >&2; exit 4; }}\n",
            state.display()
        );
        let task =
            json!({"name": name, "instance": instance, "user": sshd::user(), "script": script});
        let task = app.post_task(task).await;
        app.wait_ended(task["id"].as_i64().unwrap()).await["id"].clone()
    };
    let good = run("Roll out 4.2", "good").await;
    let bad = run("Roll out 4.2", "lost").await;
    browser.log_in(&app).await;
    for (name, path) in [
        ("apart", format!("/tasks/{bad}")),
        ("together", format!("/tasks/{bad}?view=together")),
        (
            "search",
            format!("/tasks/{bad}?view=apart&q=file%2002&line=25"),
        ),
        ("diff", format!("/tasks/{bad}/diff?with={good}")),
    ] {
        for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
            browser.look(width, dark).await;
            browser.open(&path).await;
            browser.look(width, dark).await;
            let wide = "return document.documentElement.scrollWidth <= window.innerWidth";
            assert_eq!(browser.eval(wide).await, true, "{path} fits in {width}");
            let scheme = if dark { "dark" } else { "light" };
            browser
                .shot(&format!("output-{name}-{width}-{scheme}"))
                .await;
        }
    }
    browser.look(800, false).await;
    browser
        .open(&format!("/tasks/{bad}?view=together&wrap=off"))
        .await;
    browser.look_printed().await;
    let seen = "const seen = css => [...document.querySelectorAll(css)].some(it => it.checkVisibility()); const pre = document.querySelector('pre.output'); return [seen('nav, button, .curl, input'), seen('#facts dl'), seen('pre.script'), pre.scrollHeight <= pre.clientHeight + 1]";
    let printed = browser.eval(seen).await;
    assert_eq!(printed, json!([false, true, true, true]));
    browser.shot("output-printed").await;
}
