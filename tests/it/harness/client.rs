//! A client of the API that trusts the made certificate and nothing else.

use reqwest::header::HeaderMap;
use reqwest::{Certificate, Method, RequestBuilder};
use serde_json::Value;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Longer than the longest `?wait=`.
const DEADLINE: Duration = Duration::from_secs(90);

/// A client; cheap to clone.
#[derive(Clone)]
pub struct Client {
    base: String,
    login: Option<(String, String)>,
    header: Option<(String, String)>,
    inner: reqwest::Client,
    certificate: Certificate,
}

impl Client {
    /// For the server at `base` (`https://ADDR:PORT`) that shows this certificate.
    pub fn new(base: String, certificate: &Path, login: Option<(String, String)>) -> Self {
        let pem = std::fs::read(certificate).expect("the certificate was made");
        let certificate = Certificate::from_pem(&pem).expect("PEM");
        Self {
            base,
            login,
            header: None,
            inner: connector(&certificate, None),
            certificate,
        }
    }

    /// The same from another address of this machine, over connections of its own.
    pub fn from(self, address: IpAddr) -> Self {
        Self {
            inner: connector(&self.certificate, Some(address)),
            ..self
        }
    }

    /// The same with this login, over the same connections.
    pub fn with_login(self, name: &str, password: &str) -> Self {
        let login = Some((name.to_owned(), password.to_owned()));
        Self { login, ..self }
    }

    /// The same with a header in each request, as a page of the server itself would send it.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.header = Some((name.to_owned(), value.to_owned()));
        self
    }

    /// A request to build further. `path` begins with a slash.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.inner.request(method, format!("{}{path}", self.base));
        let request = match &self.header {
            // A cookie counts only where the page that sends it is known.
            Some((name, value)) if name == "Cookie" => request
                .header(name, value)
                .header("Sec-Fetch-Site", "same-origin"),
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        match &self.login {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        send(self.request(Method::PUT, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        send(self.request(Method::DELETE, path)).await
    }
}

fn connector(certificate: &Certificate, from: Option<IpAddr>) -> reqwest::Client {
    reqwest::Client::builder()
        .tls_certs_only([certificate.clone()])
        .timeout(DEADLINE)
        .redirect(reqwest::redirect::Policy::none())
        .local_address(from)
        .no_proxy()
        .build()
        .expect("a client")
}

/// Sends a request and reads the whole answer.
pub async fn send(request: RequestBuilder) -> Reply {
    let response = request.send().await.expect("an answer");
    Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.bytes().await.expect("a whole answer").to_vec(),
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// One header, empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |v| v.to_str().expect("visible characters"))
    }
}
