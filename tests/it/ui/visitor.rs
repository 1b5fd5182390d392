//! A person whose browser has no JavaScript: follows links and sends forms.

use crate::harness::app::App;
use crate::harness::client::{Client, Reply, send};
use reqwest::Method;
use url::form_urlencoded::Serializer;

/// Somebody with a browser: cookies, an origin, and a wish for HTML.
pub struct Visitor {
    client: Client,
    origin: String,
    cookie: Option<String>,
    /// What the forms of the session carry.
    form_token: Option<String>,
}

impl Visitor {
    /// Somebody who is not logged in.
    pub fn of(app: &App) -> Self {
        Self {
            client: app.anonymous(),
            origin: app.url(),
            cookie: None,
            form_token: None,
        }
    }

    /// The service, as an `Origin`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Somebody who has logged in as `admin`.
    pub async fn logged_in(app: &App) -> Self {
        let mut visitor = Self::of(app);
        let reply = visitor.log_in("admin", app.admin_password(), "/").await;
        assert_eq!(reply.status, 303, "{}", reply.text());
        visitor
    }

    /// Sends the login form and keeps the cookie that comes back.
    pub async fn log_in(&mut self, name: &str, password: &str, next: &str) -> Reply {
        let fields = [("name", name), ("password", password), ("next", next)];
        let reply = self.submit("/login", &fields).await;
        self.keep_cookie(&reply).await;
        reply
    }

    /// Sends a code to a page of the second half of a login, and keeps the cookie.
    pub async fn finish(&mut self, path: &str, code: &str) -> Reply {
        let reply = self.submit(path, &[("code", code), ("next", "/")]).await;
        if matches!(reply.status, 200 | 303) {
            self.keep_cookie(&reply).await;
        }
        reply
    }

    /// Sends forms with what those of another login carry.
    pub fn take_form_token_of(&mut self, other: &Self) {
        self.form_token = other.form_token.clone();
    }

    async fn keep_cookie(&mut self, reply: &Reply) {
        let cookies = reply.headers.get_all("set-cookie").iter();
        let mut cookies = cookies.filter_map(|it| it.to_str().ok()?.split(';').next());
        let cookie = cookies.rfind(|it| !it.ends_with('='));
        let Some(cookie) = cookie.map(str::to_owned) else {
            self.cookie = None;
            return;
        };
        let page = match cookie.starts_with("__Host-wsexec-login=") {
            true => reply.header("location").to_owned(),
            false => "/".to_owned(),
        };
        self.cookie = Some(cookie);
        self.form_token = Some(hidden(&self.read(&page).await, "form_token"));
    }

    /// The cookie of the session, `NAME=VALUE`.
    pub fn cookie(&self) -> &str {
        self.cookie.as_deref().expect("somebody is logged in")
    }

    /// What the forms of the session carry.
    pub fn form_token(&self) -> &str {
        self.form_token.as_deref().expect("somebody is logged in")
    }

    /// Opens a page; redirects are not followed.
    pub async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }

    /// Opens a page that has to be there.
    pub async fn read(&self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.text()
    }

    /// Sends a form from a page of the service.
    pub async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.submit_from(&self.origin, path, fields).await
    }

    /// Sends a form from a page of any site.
    pub async fn submit_from(&self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = self.form_token.as_deref();
        let token = token.map(|token| ("form_token", token));
        let fields: Vec<_> = fields.iter().copied().chain(token).collect();
        self.submit_bare(origin, path, &fields).await
    }

    /// Sends these fields alone, from a page of any site.
    pub async fn submit_bare(&self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .request(Method::POST, path)
            .header("Origin", origin)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        send(request).await
    }

    /// Goes on at the same service, which listens elsewhere by now.
    pub fn move_to(&mut self, app: &App) {
        (self.client, self.origin) = (app.anonymous(), app.url());
    }

    /// A request that can be given more headers.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .client
            .request(method, path)
            .header("Accept", "text/html,application/xhtml+xml");
        match &self.cookie {
            Some(cookie) => request.header("Cookie", cookie),
            None => request,
        }
    }
}

/// The value of a hidden field in a page.
pub fn hidden(page: &str, name: &str) -> String {
    let begin = format!("name=\"{name}\" value=\"");
    let rest = page.split_once(&begin).expect("the field is there").1;
    rest.split_once('"').expect("the value ends").0.to_owned()
}
