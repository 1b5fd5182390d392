//! Texts that attack whoever shows them: through every field, into a real browser.

use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::client::{Client, send};
use crate::harness::people::Person;
use crate::harness::sshd::{Sshd, user};
use base64::Engine as _;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use url::form_urlencoded::{Serializer, byte_serialize};

/// What would run, call home or show a dialog where it became markup or a link.
const CORES: [&str; 30] = [
    "<script>ran(1)</script>",
    "<ScRiPt src=//evil.invalid/x.js></sCrIpT>",
    "<img src=x onerror=ran(1)>",
    "<svg/onload=ran(1)>",
    "<svg><script href=data:,ran(1) /></svg>",
    "<svg><animate onbegin=ran(1) attributeName=x dur=1s>",
    "<iframe src=javascript:parent.ran(1)></iframe>",
    "<iframe srcdoc='<script>parent.ran(1)</script>'></iframe>",
    "<object data=data:text/html,<script>ran(1)</script>></object>",
    "<embed src=//evil.invalid/x.swf>",
    "<a href=javascript:ran(1) autofocus onfocus=ran(1) tabindex=0>x</a>",
    "<input autofocus onfocus=ran(1)>",
    "<select autofocus onfocus=ran(1)></select>",
    "<details open ontoggle=ran(1)><summary>x</summary></details>",
    "<video><source onerror=ran(1)></video>",
    "<audio src=x onerror=ran(1)>",
    "<body onload=ran(1) onpageshow=ran(1)>",
    "<style>@import'//evil.invalid/x.css';*{background:url(//evil.invalid/y)}</style>",
    "<link rel=stylesheet href=//evil.invalid/x.css>",
    "<meta http-equiv=refresh content='0;url=javascript:ran(1)'>",
    "<base href=//evil.invalid/>",
    "<form action=//evil.invalid/><button autofocus onfocus=ran(1)>x</button></form>",
    "<marquee onstart=ran(1)>x</marquee>",
    "<math><mtext><table><mglyph><style><img src=x onerror=ran(1)>",
    "<noscript><p title=\"</noscript><img src=x onerror=ran(1)>\">",
    "<template><script>ran(1)</script></template>",
    "<p style=\"animation-name:x\" onanimationstart=ran(1)>x</p>",
    "' onmouseover='ran(1)' autofocus onfocus='ran(1)' x='",
    "\" autofocus onfocus=\"ran(1)\" x=\"",
    "`-ran(1)-`${ran(1)}{{ran(1)}}{%raw%}",
];

/// Where they break out of; `X` is the core.
const FRAMES: [&str; 14] = [
    "X",
    "\">X",
    "'>X",
    "</title>X",
    "</textarea>X",
    "</pre></bdi></dd>X",
    "</script>X",
    "</style>X",
    "--><!--X",
    "]]>X<![CDATA[",
    "\u{202e}X\u{202c}",
    "\u{1b}]8;;X\u{7}",
    "\u{feff}<\u{0130}X",
    "\r\nLocation: //evil.invalid\r\n\r\nX",
];

fn strings() -> Vec<String> {
    let mut all: Vec<String> = FRAMES
        .iter()
        .flat_map(|frame| CORES.map(|core| frame.replace('X', core)))
        .collect();
    let percent = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let entities = |text: &str| text.replace('<', "&lt;").replace('>', "&#x3e;");
    let wide = |text: &str| text.replace('<', "\u{ff1c}").replace('>', "\u{ff1e}");
    let escaped = |text: &str| text.replace('<', "\\u003c").replace('>', "\\x3e");
    for core in CORES {
        all.extend([percent(core), entities(core), wide(core), escaped(core)]);
    }
    all.extend(
        [
            "javascript:ran(1)",
            "JaVaScRiPt:ran(1)//",
            "java\tscript:ran(1)",
            "\u{1}javascript:ran(1)",
            "data:text/html,<script>ran(1)</script>",
            "vbscript:ran(1)",
            "//evil.invalid/",
            "\\\\evil.invalid\\x",
            "../../../etc/passwd",
            "{{7*7}}${7*7}<%=7*7%>#{7*7}",
            "$(touch /tmp/x)`id`;id|id&&id",
            "' OR 1=1; DROP TABLE tasks; --",
            "%00%0d%0aSet-Cookie:x=y",
            "\u{2028}ran(1)\u{2029}",
            "\u{e000}\u{fffe}\u{10ffff}",
            "\u{1b}[2J\u{9b}2J\u{90}q\u{9c}",
        ]
        .map(str::to_owned),
    );
    all.push(format!("{}<img src=x onerror=ran(1)>", "a".repeat(220)));
    all.push("e\u{301}".repeat(100));
    all
}

/// Notes what ran, what asked for a dialog, and what the policy stopped.
const WATCH: &str = "
    const note = what => sessionStorage.setItem('seen',
        (sessionStorage.getItem('seen') || '') + location.pathname + ' ' + what + '\\n');
    window.ran = () => note('ran');
    for (const dialog of ['alert', 'confirm', 'prompt', 'print']) window[dialog] = () => note(dialog);
    document.addEventListener('securitypolicyviolation',
        e => note('policy ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample));";

/// What none of our pages has, but for what a text has become.
const FOREIGN: &str = "
    const own = 'script[src^=\"/static/\"]';
    const bad = [...document.querySelectorAll('script, iframe, object, embed, base, style, math, '
        + 'video, audio, img, template, marquee, meta[http-equiv], link[rel=stylesheet]')]
        .filter(e => !e.matches(own) && !e.matches('link[href^=\"/static/\"]'));
    for (const e of document.querySelectorAll('*')) {
        for (const a of e.attributes) {
            if (a.name.startsWith('on') || a.name === 'style' || a.name === 'srcdoc') bad.push(e);
            if (['href', 'src', 'action', 'formaction', 'xlink:href'].includes(a.name)
                && !/^[/#?][^/\\\\]|^[/#?]$/.test(a.value)) bad.push(e);
        }
    }
    return bad.map(e => e.outerHTML.slice(0, 200)).join('\\n');";

async fn made(client: &Client, path: &str, noun: &str, body: Value) -> i64 {
    let reply = client.post(path, &body).await;
    assert_eq!(reply.status, 201, "{body}: {}", reply.text());
    reply.json()[noun]["id"].as_i64().expect("an id")
}

struct Look<'a> {
    browser: &'a Browser,
    pages: usize,
}

impl Look<'_> {
    async fn at(&mut self, path: &str) {
        self.browser.open(path).await;
        let foreign = self.browser.eval(FOREIGN).await;
        assert_eq!(foreign, json!(""), "{path}");
        self.pages += 1;
    }

    async fn seen(&self) -> String {
        let seen = "return sessionStorage.getItem('seen') || ''";
        self.browser
            .eval(seen)
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

#[tokio::test]
async fn hundreds_of_hostile_texts_through_every_field_run_nothing_in_a_browser() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let (admin, (ann, _)) = (app.client(), app.add_user("ann", "operator", &[]).await);
    let texts = strings();
    assert!(texts.len() >= 500, "{}", texts.len());
    let machine = app.declare("127.0.0.1", sshd.port()).await;
    let asks = json!({"ip": "asks.invalid", "approval": true});
    let asks = made(&admin, "/wsexec/instances", "instance", asks).await;

    // Names, descriptions, scripts, variables, comments and reasons; descriptions of instances.
    let (mut tasks, mut instances) = (Vec::new(), Vec::new());
    for text in &texts {
        // Scripts, variables and output take everything; the others no control characters.
        let tag: String = text.chars().filter(|c| !c.is_control()).collect();
        let name: String = tag.chars().take(255).collect();
        let new = json!({
            "name": name, "tag": tag, "script": text, "user": "ann", "instance": asks,
            "env": {"HOSTILE": text},
        });
        let id = made(&admin, "/wsexec/tasks", "task", new).await;
        let refused = json!({"decision": "refuse", "comment": tag});
        let reply = ann
            .put(&format!("/wsexec/tasks/{id}/approval"), &refused)
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        tasks.push(id);
        let new = json!({"ip": "h.invalid", "tag": tag});
        instances.push(made(&admin, "/wsexec/instances", "instance", new).await);
    }
    // Output: all of them, on both streams, from a real machine.
    let stdin = base64::engine::general_purpose::STANDARD.encode(texts.join("\n"));
    let output = json!({
        "name": "output", "script": "tee /dev/stderr", "user": user(), "instance": machine,
        "stdin_base64": stdin,
    });
    let output = made(&admin, "/wsexec/tasks?wait=60", "task", output).await;
    assert_eq!(app.wait_ended(output).await["rc"], 0);

    let browser = Browser::of(&app).await;
    browser.before_each_page(WATCH).await;
    browser.log_in(&app).await;
    let mut look = Look {
        browser: &browser,
        pages: 0,
    };
    look.at("/").await;
    let last = tasks.last().copied().unwrap_or_default() + 2;
    for from in (0..=texts.len() as i64).step_by(50) {
        look.at(&format!("/tasks?before={}", last - from)).await;
    }
    for from in (0..=texts.len() as i64).step_by(100) {
        look.at(&format!("/instances?after={from}")).await;
    }
    look.at(&format!("/tasks/{output}")).await;
    for id in &tasks {
        look.at(&format!("/tasks/{id}")).await;
    }
    for id in instances.iter().step_by(25) {
        look.at(&format!("/instances/{id}")).await;
        look.at(&format!("/instances/{id}/edit")).await;
    }
    for (text, id) in texts.iter().zip(&tasks).step_by(25) {
        let text: String = byte_serialize(text.as_bytes()).collect();
        look.at(&format!("/tasks/new?from={id}")).await;
        look.at(&format!("/tasks?q={text}")).await;
        look.at(&format!("/tasks?state={text}")).await;
        look.at(&format!("/instances?q={text}&label={text}")).await;
        look.at(&format!("/login?next={text}")).await;
        look.at(&format!("/tasks/{text}")).await;
        look.at(&format!("/{text}")).await;
    }
    assert!(look.pages > texts.len(), "{}", look.pages);
    assert_eq!(look.seen().await, "");

    // The watch is awake: what a page itself would do wrong is seen.
    browser.open("/").await;
    let wrong = "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=ran(1)>')";
    browser.eval(wrong).await;
    browser
        .wait_for("a policy report", async || {
            look.seen().await.contains("policy script-src")
        })
        .await;
    assert_ne!(browser.eval(FOREIGN).await, json!(""));
}

#[tokio::test]
async fn raw_output_is_saved_and_never_shown_as_a_page() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let task = app
        .run(instance, &user(), "echo '<script>alert(1)</script>'")
        .await;
    for stream in ["stdout", "stderr", "output"] {
        let path = format!("/wsexec/tasks/{}/{stream}", task["id"]);
        let reply = send(
            app.client()
                .request(Method::GET, &path)
                .header("Accept", "text/html"),
        )
        .await;
        assert_eq!(
            reply.header("content-type"),
            "application/octet-stream",
            "{stream}"
        );
        assert!(
            reply
                .header("content-disposition")
                .starts_with("attachment")
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        let policy = reply.header("content-security-policy");
        assert!(
            policy.contains("sandbox") && policy.contains("default-src 'none'"),
            "{policy}"
        );
    }
}

/// Fills fields of the form of a page in and sends it, as it stands: what a browser itself would
/// not let anyone type, too.
async fn send_form(look: &mut Look<'_>, path: &str, fields: &[(&str, &str)]) {
    look.browser.open(path).await;
    let fields = json!(fields);
    let send = format!(
        "const form = document.querySelector('main form[method=post]');
         for (const [name, value] of {fields}) {{
             const field = form.elements[name];
             if (field.tagName === 'INPUT') field.type = 'text';
             field.value = value;
         }}
         window.left = true;
         HTMLFormElement.prototype.submit.call(form);"
    );
    look.browser.eval(&send).await;
    let is_there = "return window.left === undefined && document.readyState === 'complete'";
    look.browser
        .wait_for("the answer", async || {
            look.browser.eval(is_there).await == json!(true)
        })
        .await;
    let foreign = look.browser.eval(FOREIGN).await;
    assert_eq!(foreign, json!(""), "{path}: {fields}");
    look.pages += 1;
}

#[tokio::test]
async fn hostile_names_of_tokens_browsers_users_labels_and_identities_run_nothing_in_a_browser() {
    let key = wsexec::vault::generate();
    let builder = App::builder().env("WSEXEC_MASTER_KEY", key.expose());
    let app = builder.start().await;
    let admin = app.client();
    let instance = app.declare("h.invalid", 22).await;
    let texts = strings();
    let browser = Browser::of(&app).await;
    browser.before_each_page(WATCH).await;
    browser.log_in(&app).await;
    let mut look = Look {
        browser: &browser,
        pages: 0,
    };

    // What may be anything: names of tokens, and what a browser calls itself. A user has so many of
    // either at most.
    let (mut tokens, mut agents) = (0, 0);
    for (number, part) in texts.chunks(30).enumerate() {
        let ann = Person::add(&app, &format!("ann{number}"), json!({"role": "viewer"})).await;
        for (at, text) in part.iter().enumerate() {
            let name: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
            let new = json!({"name": format!("{name}{at}")});
            let reply = ann.client(&app).post("/wsexec/tokens", &new).await;
            assert_eq!(reply.status, 201, "{new}: {}", reply.text());
            tokens += 1;
            // No other characters reach the program in a header.
            let Ok(agent) = HeaderValue::from_str(text) else {
                continue;
            };
            let form = [
                ("name", &*ann.name),
                ("password", &ann.password),
                ("next", "/"),
            ];
            let form = Serializer::new(String::new()).extend_pairs(form).finish();
            let login = app
                .anonymous()
                .request(Method::POST, "/login")
                .header("Origin", app.url())
                .header("User-Agent", agent)
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form);
            assert_eq!(send(login).await.status, 303, "{text}");
            agents += i32::from(text.is_ascii());
        }
        look.at(&format!("/users/{}", ann.id)).await;
        let shown = browser.text("main").await;
        assert!(shown.contains("ran(1)"), "they are there to see: {shown}");
    }
    assert!(tokens >= 500 && agents >= 400, "{tokens} {agents}");
    look.at("/users").await;

    // What is of few characters is refused, and shown again beside the reason.
    let password = wsexec::domain::random_token();
    let password = password.expose();
    for text in texts.iter().step_by(13) {
        let one: String = text.lines().collect();
        let refused = [
            json!({"name": one, "role": "viewer", "password": password}),
            json!({"name": "x", "role": one, "password": password}),
            json!({"name": "x", "role": "viewer", "scope": [one], "password": password}),
        ];
        for body in refused {
            let reply = admin.post("/wsexec/users", &body).await;
            assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        }
        let body = json!({"name": one, "kind": "ssh_key"});
        let reply = admin.post("/wsexec/identities", &body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        for labels in [json!({one.clone(): "v"}), json!({"k": one})] {
            let body = json!({"ip": "h.invalid", "labels": labels});
            let reply = admin.post("/wsexec/instances", &body).await;
            // A few are what labels may be.
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:+".contains(c);
            let right = one.chars().all(plain) && reply.status == 201;
            assert!(right || reply.status == 400, "{body}: {}", reply.text());
        }
        let user = [("name", &*one), ("scope", &one), ("password", password)];
        send_form(&mut look, "/users/new", &user).await;
        let identity = [("name", &*one), ("scope", &one)];
        send_form(&mut look, "/identities/new", &identity).await;
        let named = [("ip", "h.invalid"), ("labels", &*one), ("identity", &one)];
        send_form(&mut look, "/instances/new", &named).await;
        let path = format!("/instances/{instance}/edit");
        let named = [("labels", &*one), ("identity", &one), ("jump_user", &one)];
        send_form(&mut look, &path, &named).await;
        let token = [("name", &*one), ("scope", &one), ("days", &one)];
        send_form(&mut look, "/account/tokens/new", &token).await;
        look.at(&format!(
            "/audit?{}",
            Serializer::new(String::new())
                .extend_pairs([("by", &*one), ("object", &one)])
                .finish()
        ))
        .await;
    }
    look.at("/audit").await;
    look.at("/account").await;
    assert_eq!(look.seen().await, "");
}
