//! A real OpenID provider on loopback, and somebody whose browser goes there and back.

use super::app::{App, Builder};
use super::certificates::Authority;
use super::client::{Client, Reply, send};
use super::npm;
use reqwest::header::LOCATION;
use reqwest::{Certificate, Method};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use url::form_urlencoded::Serializer;

/// What the service is known as from outside.
pub const PUBLIC: &str = "https://wsexec.example";
/// What its login page calls the provider.
pub const NAME: &str = "Example SSO";

/// The provider. Ended when it is dropped.
pub struct Provider {
    child: Child,
    home: TempDir,
    issuer: String,
    secret: Option<String>,
    authority: Option<Authority>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.path().join("log"));
            eprintln!("--- the provider: {}", log.unwrap_or_default());
        }
    }
}

impl Provider {
    /// On HTTPS, with a client that has a secret. None where the provider cannot be had, which is
    /// said on stderr.
    pub fn start() -> Option<Self> {
        let authority = Authority::new("Of the provider");
        Self::start_with(
            Some(authority),
            Some(wsexec::domain::random_token().expose()),
        )
    }

    /// On plain HTTP, with a client that has no secret.
    pub fn start_open() -> Option<Self> {
        Self::start_with(None, None)
    }

    fn start_with(authority: Option<Authority>, secret: Option<&str>) -> Option<Self> {
        let modules = npm::packages(
            "tests/it/security/openid",
            "openid-provider",
            "logins at an OpenID provider are",
        )?;
        let home = tempfile::tempdir().expect("a directory");
        let path = |name: &str| home.path().join(name);
        let mut settings = json!({
            "redirect": format!("{PUBLIC}/login/openid/callback"), "modules": modules,
        });
        if let Some(authority) = &authority {
            authority
                .server(|_| {})
                .write(&path("cert.pem"), &path("key.pem"));
            fs::write(path("ca.pem"), authority.pem()).expect("a file");
            settings["cert"] = json!(path("cert.pem"));
            settings["key"] = json!(path("key.pem"));
        }
        if let Some(secret) = secret {
            settings["secret"] = json!(secret);
            fs::write(path("secret"), format!("{secret}\n")).expect("a file");
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(path("secret"), private).expect("a mode");
        }
        let log = fs::File::create(path("log")).expect("a file");
        let script = root().join("tests/it/security/openid/provider.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .env("PROVIDER", settings.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("Debian's package nodejs is installed");
        let mut issuer = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        let read = BufReader::new(stdout).read_line(&mut issuer);
        read.expect("the provider says where it is");
        assert!(!issuer.is_empty(), "the provider does not start");
        Some(Self {
            child,
            issuer: issuer.trim().to_owned(),
            secret: secret.map(str::to_owned),
            authority,
            home,
        })
    }

    /// It answers nobody from now on.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What its clients show, if anything.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// An app whose users log in here; `more` goes into `[auth.openid]`, `other` before it.
    pub fn app(&self, other: &str, more: &str) -> Builder {
        let file = |name: &str| self.home.path().join(name).display().to_string();
        let mut config = format!(
            "{other}\n[http]\npublic_url = {PUBLIC:?}\n[auth.openid]\nissuer = {:?}\n\
             client_id = \"wsexec\"\nname = {NAME:?}\n",
            self.issuer
        );
        if self.secret.is_some() {
            config.push_str(&format!("client_secret_file = {:?}\n", file("secret")));
        }
        if self.authority.is_some() {
            config.push_str(&format!("ca_file = {:?}\n", file("ca.pem")));
        }
        config.push_str(more);
        App::builder().config(&config)
    }

    /// Signs with another key from now on.
    pub async fn rotate(&self) {
        let client = self.client();
        let reply = client.get(format!("{}/rotate", self.issuer)).send().await;
        assert!(reply.expect("an answer").status().is_success());
    }

    fn client(&self) -> reqwest::Client {
        let authority = self.authority.iter().map(|authority| {
            Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate")
        });
        reqwest::Client::builder()
            .tls_certs_only(authority)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Somebody with a browser that knows neither the service nor the provider yet.
pub struct Traveller<'a> {
    provider: &'a Provider,
    client: Client,
    origin: String,
    there: reqwest::Client,
    cookies: BTreeMap<String, String>,
    cookies_there: BTreeMap<String, String>,
}

impl<'a> Traveller<'a> {
    pub fn new(app: &App, provider: &'a Provider) -> Self {
        Self {
            provider,
            client: app.anonymous(),
            origin: app.url(),
            there: provider.client(),
            cookies: BTreeMap::new(),
            cookies_there: BTreeMap::new(),
        }
    }

    /// Opens a page of the service, and keeps its cookies.
    pub async fn get(&mut self, path: &str) -> Reply {
        let request = self.client.request(Method::GET, path);
        let request = request.header("Cookie", shown(&self.cookies));
        let reply = send(request.header("Accept", "text/html")).await;
        keep(&mut self.cookies, &reply);
        reply
    }

    /// Sends a form of the service, and keeps its cookies.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.request(Method::POST, path);
        let request = request
            .header("Cookie", shown(&self.cookies))
            .header("Accept", "text/html")
            .header("Origin", &self.origin)
            .header("Content-Type", "application/x-www-form-urlencoded");
        let reply = send(request.body(body)).await;
        keep(&mut self.cookies, &reply);
        reply
    }

    /// Takes the way to the provider: gives its address.
    pub async fn depart(&mut self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 303, "{}", reply.text());
        let there = reply.header("location").to_owned();
        assert!(there.starts_with(self.provider.issuer()), "{there}");
        there
    }

    /// Logs in at the provider as this user: gives the way back, from its path on.
    pub async fn log_in_there(&mut self, address: &str, user: &Value) -> String {
        let issuer = self.provider.issuer().to_owned();
        // Nobody is logged in there from before.
        self.cookies_there.clear();
        let mut address = address.to_owned();
        for _ in 0..8 {
            if let Some(path) = address.strip_prefix(PUBLIC) {
                return path.to_owned();
            }
            if address.starts_with('/') {
                address = format!("{issuer}{address}");
            }
            let request = match address.contains("/interaction/") {
                true => {
                    let user = user.to_string();
                    let mut form = Serializer::new(String::new());
                    let body = form.append_pair("user", &user).finish();
                    self.there.post(&address).body(body)
                }
                false => self.there.get(&address),
            };
            let request = request.header("Cookie", shown(&self.cookies_there));
            let reply = send(request).await;
            keep(&mut self.cookies_there, &reply);
            let next = reply.headers.get(LOCATION).map(|it| it.to_str().unwrap());
            address = next
                .unwrap_or_else(|| panic!("{address}: {}", reply.text()))
                .to_owned();
        }
        panic!("no way back: {address}");
    }

    /// All of it: gives what the service answers at the end.
    pub async fn log_in(&mut self, user: &Value) -> Reply {
        let there = self.depart("/login/openid?next=%2Ftasks").await;
        let back = self.log_in_there(&there, user).await;
        self.get(&back).await
    }

    /// A cookie of the service.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// Shows another value of it from now on.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Whether somebody is logged in.
    pub async fn is_in(&mut self) -> bool {
        self.get("/tasks").await.status == 200
    }
}

fn shown(cookies: &BTreeMap<String, String>) -> String {
    let pairs = cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("; ")
}

fn keep(cookies: &mut BTreeMap<String, String>, reply: &Reply) {
    for cookie in reply.headers.get_all("set-cookie") {
        let text = cookie.to_str().expect("visible characters");
        let (pair, how) = text.split_once(';').unwrap_or((text, ""));
        let (name, value) = pair.split_once('=').expect("a name and a value");
        let gone = value.is_empty() || how.contains("Max-Age=0") || how.contains("1970");
        match gone {
            true => cookies.remove(name),
            false => cookies.insert(name.to_owned(), value.to_owned()),
        };
    }
}
