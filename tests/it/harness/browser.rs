//! Headless Chromium, driven by chromedriver.

use super::app::{App, DEADLINE};
use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use thirtyfour::prelude::*;

const CHROMEDRIVER: &str = "/usr/bin/chromedriver";
const CHROMIUM: &str = "/usr/bin/chromium";

/// A browser with a profile of its own. It and all its processes are gone when it is dropped.
pub struct Browser {
    _group: Group,
    driver: WebDriver,
    base: String,
    /// Of chromedriver.
    port: u16,
    _profile: TempDir,
}

/// chromedriver and what it started.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

impl Browser {
    /// A browser that trusts this app's certificate, and looks at `base`
    /// (`https://ADDR:PORT`).
    pub async fn at(app: &App, base: String) -> Self {
        let profile = TempDir::new().expect("a temporary directory");
        let (group, port) = chromedriver(profile.path());
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary(CHROMIUM).expect("a path");
        for argument in [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.path().join("data").display()),
            &format!("--host-resolver-rules=MAP *.example:443 {}", app.address()),
            &format!(
                "--ignore-certificate-errors-spki-list={}",
                pin(&app.certificate())
            ),
        ] {
            wanted.add_arg(argument).expect("an argument");
        }
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted)
            .await
            .expect("Chromium starts");
        // Left to itself the handle ends its session when it is dropped, and waits two minutes for
        // an answer on the thread that it needs: the end of the process group does it at once.
        driver.clone().leak().expect("it was not ended before");
        Self {
            driver,
            base,
            port,
            _group: group,
            _profile: profile,
        }
    }

    /// A browser for this app.
    pub async fn of(app: &App) -> Self {
        Self::at(app, app.url()).await
    }

    /// Lets a script run in each page from now on, before anything of the page does; the page's
    /// policy does not count for it.
    pub async fn before_each_page(&self, script: &str) {
        let script = serde_json::json!({"source": script});
        self.devtools("Page.addScriptToEvaluateOnNewDocument", script)
            .await;
    }

    /// Shows pages so many pixels wide and as long as they are, in the light or the dark scheme.
    pub async fn look(&self, width: u32, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = serde_json::json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            serde_json::json!({"features": features}),
        )
        .await;
        for height in [800, 0] {
            let height = match height {
                0 => {
                    self.eval("return document.documentElement.scrollHeight")
                        .await
                }
                _ => height.into(),
            };
            let metrics = serde_json::json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
            });
            self.devtools("Emulation.setDeviceMetricsOverride", metrics)
                .await;
        }
    }

    /// Shows pages in the few colours that a reader has chosen for all.
    pub async fn look_forced(&self) {
        let features = serde_json::json!([{"name": "forced-colors", "value": "active"}]);
        let features = serde_json::json!({"features": features});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Shows pages as they are printed.
    pub async fn look_printed(&self) {
        let media = serde_json::json!({"media": "print"});
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// No page runs a script from now on; what the test asks by [`Browser::eval`] still does.
    pub async fn without_javascript(&self) {
        let off = serde_json::json!({"value": true});
        self.devtools("Emulation.setScriptExecutionDisabled", off)
            .await;
    }

    /// A picture of the page as it is shown, PNG.
    pub async fn picture(&self) -> Vec<u8> {
        self.driver.screenshot_as_png().await.expect("a picture")
    }

    /// Forgets who is logged in, and what was chosen.
    pub async fn forget(&self) {
        self.devtools("Network.clearBrowserCookies", serde_json::json!({}))
            .await;
    }

    /// Forgets who is logged in, and nothing else.
    pub async fn forget_session(&self) {
        let cookie = serde_json::json!({"name": "__Host-wsexec", "url": self.base});
        self.devtools("Network.deleteCookies", cookie).await;
    }

    /// A command of the DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: serde_json::Value) {
        let session = self.driver.session_id();
        let url = format!(
            "http://127.0.0.1:{}/session/{session}/goog/cdp/execute",
            self.port
        );
        let command = serde_json::json!({
            "cmd": command, "params": parameters,
        });
        let client = reqwest::Client::builder().no_proxy().build();
        let reply = client.expect("a client").post(url).json(&command);
        let reply = reply.send().await.expect("chromedriver answers");
        assert!(reply.status().is_success(), "{reply:?}");
    }

    /// Opens a page of the service.
    pub async fn open(&self, path: &str) {
        let url = format!("{}{path}", self.base);
        self.driver.goto(url).await.expect("the page opens");
    }

    /// Loads the page anew.
    pub async fn reload(&self) {
        self.driver.refresh().await.expect("the page loads");
    }

    /// Opens the log-in page and logs in as `admin`.
    pub async fn log_in(&self, app: &App) {
        self.open("/login").await;
        self.fill("#name", "admin").await;
        self.fill("#password", app.admin_password()).await;
        self.click("main button").await;
        self.wait_for("the overview", async || self.path().await == "/")
            .await;
    }

    /// The path that is shown.
    pub async fn path(&self) -> String {
        let url = self.driver.current_url().await.expect("an address");
        url.path().to_owned()
    }

    /// Gives the window another size; the page in it may be a little smaller.
    pub async fn resize(&self, width: u32, height: u32) {
        let set = self.driver.set_window_rect(0, 0, width, height).await;
        set.expect("a window");
    }

    /// Types into a field.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.element(css).await;
        field.clear().await.expect("it can be emptied");
        field.send_keys(text).await.expect("it takes text");
    }

    /// Clicks.
    pub async fn click(&self, css: &str) {
        // What is live may put another in its place between the look and the click.
        let mut clicked = self.element(css).await.click().await;
        if clicked.is_err() {
            clicked = self.element(css).await.click().await;
        }
        clicked.expect("it can be clicked");
    }

    /// Clicks on what leads to another page, and waits until that is there.
    pub async fn press(&self, css: &str) {
        self.eval("document.documentElement.dataset.old = ''").await;
        self.click(css).await;
        let there = "return document.readyState === 'complete' && !('old' in document.documentElement.dataset)";
        self.wait_for("another page", async || {
            let there = self.driver.execute(there, Vec::new()).await;
            there.is_ok_and(|it| it.json() == true)
        })
        .await;
    }

    /// The text of an element as it is rendered; empty where there is none.
    pub async fn text(&self, css: &str) -> String {
        self.eval(&format!(
            "return document.querySelector({css:?})?.innerText ?? ''"
        ))
        .await
        .as_str()
        .unwrap_or_default()
        .to_owned()
    }

    /// The text of an element as it stands in the page, whether shown or not.
    pub async fn content(&self, css: &str) -> String {
        let script = format!("return document.querySelector({css:?})?.textContent ?? ''");
        let found = self.eval(&script).await;
        found.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks on what opens a tab, and goes there; gives the tab of before.
    pub async fn follow_to_tab(&self, css: &str) -> WindowHandle {
        let before = self.driver.window().await.expect("a tab");
        self.click(css).await;
        let opened = async || self.driver.windows().await.expect("tabs").len() > 1;
        self.wait_for("a second tab", opened).await;
        let all = self.driver.windows().await.expect("tabs");
        let new = all.into_iter().find(|it| *it != before).expect("two");
        let to = self.driver.switch_to_window(new).await;
        to.expect("the new tab");
        before
    }

    /// Closes the tab that is looked at, and goes to another.
    pub async fn close_tab(&self, other: &WindowHandle) {
        self.driver.close_window().await.expect("it closes");
        let to = self.driver.switch_to_window(other.clone()).await;
        to.expect("the other tab");
    }

    /// Keeps a picture of the page in the directory that `WSEXEC_TEST_PICTURES` names, for whoever
    /// wants to look; nothing where there is none.
    pub async fn shot(&self, name: &str) {
        if let Some(directory) = std::env::var_os("WSEXEC_TEST_PICTURES") {
            let file = Path::new(&directory).join(format!("{name}.png"));
            self.driver.screenshot(&file).await.expect("a picture");
        }
    }

    /// What a script gives.
    pub async fn eval(&self, script: &str) -> serde_json::Value {
        let returned = self.driver.execute(script, Vec::new()).await;
        returned.expect("the script runs").json().clone()
    }

    /// Waits until the text of an element holds this.
    pub async fn wait_text(&self, css: &str, part: &str) {
        self.wait_for(part, async || self.text(css).await.contains(part))
            .await;
    }

    /// Whether such an element is on the page.
    pub async fn has(&self, css: &str) -> bool {
        let found = self.driver.find_all(By::Css(css)).await;
        !found.expect("the page can be looked through").is_empty()
    }

    /// Waits until such an element is on the page.
    pub async fn wait_element(&self, css: &str) {
        self.wait_for(css, async || self.has(css).await).await;
    }

    /// Waits until the condition holds.
    ///
    /// # Panics
    /// When it does not in time; it then says what was waited for and what the page shows.
    pub async fn wait_for<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let begin = Instant::now();
        while !holds().await {
            if begin.elapsed() > DEADLINE {
                panic!("no {what}: {}", self.text("body").await);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn element(&self, css: &str) -> WebElement {
        let found = self
            .driver
            .query(By::Css(css))
            .wait(DEADLINE, Duration::from_millis(30));
        found.first().await.expect("it is on the page")
    }
}

/// Starts chromedriver on a port that it chooses, in a process group of its own.
fn chromedriver(home: &Path) -> (Group, u16) {
    let child = Command::new(CHROMEDRIVER)
        .arg("--port=0")
        .env("HOME", home)
        .env("TMPDIR", home)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("Debian's chromium-driver is installed");
    let mut group = Group(child);
    let stdout = group.0.stdout.take().expect("it is piped");
    let port = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let port = line.split_once("started successfully on port ")?.1;
            port.trim_end_matches('.').parse().ok()
        })
        .expect("chromedriver says its port");
    (group, port)
}

/// SHA-256 of the certificate's public key, in base64, as Chromium pins it.
fn pin(certificate: &Path) -> String {
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).expect("X.509");
    let digest = Sha256::digest(parsed.tbs_certificate.subject_pki.raw);
    base64::engine::general_purpose::STANDARD.encode(digest)
}
