//! The requests that `wsexec run` makes, each with a deadline and a bound.

use super::Arguments;
use crate::cli::Failure;
use crate::domain::{self, Gap, Secret, Stream};
use reqwest::header::RANGE;
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server sends a comment at least every 15 s: past this the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// The most that an answer may hold, in bytes: a list of 100,000 instances takes 20 MB.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
/// How often a POST is tried again whose answer was lost; by its key it starts nothing twice.
const POST_TRIES: u32 = 6;
/// How often raw output is asked for: the server writes to its store at least once a second, and
/// the events are ahead of it.
const RAW_TRIES: u32 = 20;
const RAW_PAUSE: Duration = Duration::from_millis(250);

/// Where the login comes from.
const LOGIN: &str =
    "the login comes from WSEXEC_TOKEN, an API token, else from WSEXEC_USER and WSEXEC_PASS";

/// A server and a login there.
pub(super) struct Client {
    base: String,
    login: Login,
    inner: reqwest::Client,
}

/// With what it logs in.
enum Login {
    Token(Secret),
    Password(String, Secret),
}

impl Login {
    /// From the environment: a token, else a name and a password.
    fn find() -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(token) = variable("WSEXEC_TOKEN") {
            return Ok(Self::Token(Secret::new(token)));
        }
        let need = |name: &str| {
            let missing = || Failure::new(format!("{name} is not set; {LOGIN}"));
            variable(name).ok_or_else(missing)
        };
        Ok(Self::Password(
            need("WSEXEC_USER")?,
            Secret::new(need("WSEXEC_PASS")?),
        ))
    }
}

/// What this client reads of an instance.
#[derive(Debug, Deserialize)]
pub(super) struct Instance {
    pub(super) id: i64,
    pub(super) ip: String,
    pub(super) tag: String,
}

/// What this client reads of a task.
#[derive(Debug, Deserialize)]
pub(super) struct Task {
    pub(super) id: i64,
    pub(super) state: String,
    pub(super) rc: Option<i64>,
    pub(super) reason: Option<String>,
}

#[derive(Deserialize)]
struct Instances {
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct TaskBody {
    task: Task,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
}

impl Client {
    pub(super) fn new(arguments: &Arguments) -> Result<Self, Failure> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(arguments.insecure);
        if let Some(file) = &arguments.cacert {
            builder = builder.tls_certs_only(certificates(file)?);
        }
        Ok(Self {
            base: arguments.target.url(),
            login: Login::find()?,
            inner: builder
                .build()
                .map_err(|e| Failure::new(format!("cannot set up TLS: {}", chain(&e))))?,
        })
    }

    /// Every instance.
    pub(super) async fn instances(&self) -> Result<Vec<Instance>, Failure> {
        let response = self.send(self.request(Method::GET, "/instances")).await?;
        Ok(self.read::<Instances>(response).await?.instances)
    }

    /// Posts a task. Where the answer is lost it is asked for again, with the same key.
    pub(super) async fn post(
        &self,
        instance: i64,
        new: &Map<String, Value>,
    ) -> Result<Task, Failure> {
        let key = domain::random_token();
        let mut body = new.clone();
        body.insert("instance".into(), instance.into());
        let mut tries = 0;
        loop {
            let request = self
                .request(Method::POST, "/tasks")
                .header("Idempotency-Key", key.expose())
                .json(&body);
            tries += 1;
            match request.send().await {
                Ok(response) if response.status() != StatusCode::SERVICE_UNAVAILABLE => {
                    return Ok(self.read::<TaskBody>(response).await?.task);
                }
                Ok(response) if tries == POST_TRIES => return Err(refused(response).await),
                Err(error) if tries == POST_TRIES => return Err(self.unreachable(&error)),
                Ok(_) | Err(_) => tokio::time::sleep(pause(tries)).await,
            }
        }
    }

    /// The task without its output.
    pub(super) async fn task(&self, id: i64) -> Result<Task, Failure> {
        let request = self.request(Method::GET, &format!("/tasks/{id}?output=none"));
        let response = self.send(request).await?;
        Ok(self.read::<TaskBody>(response).await?.task)
    }

    /// Asks for the end of a task. It is no failure where it has ended by itself.
    pub(super) async fn cancel(&self, id: i64) -> Result<(), Failure> {
        let request = self
            .request(Method::PUT, &format!("/tasks/{id}"))
            .json(&json!({"state": "ABORT"}));
        let response = self.send(request).await?;
        match response.status() {
            StatusCode::CONFLICT => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(refused(response).await),
        }
    }

    /// Opens the events of a task, after the one of that id. None where all was told.
    ///
    /// The outer failure is for good; the inner one is worth another try.
    pub(super) async fn events(
        &self,
        id: i64,
        last: &str,
    ) -> Result<Result<Option<Response>, Failure>, Failure> {
        let mut request = self
            .request(Method::GET, &format!("/tasks/{id}/events"))
            .header("Accept", "text/event-stream");
        if !last.is_empty() {
            request = request.header("Last-Event-ID", last);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Err(self.unreachable(&error))),
        };
        match response.status() {
            StatusCode::NO_CONTENT => Ok(Ok(None)),
            status if status.is_success() => Ok(Ok(Some(response))),
            status if status.is_server_error() => Ok(Err(refused(response).await)),
            _ => Err(refused(response).await),
        }
    }

    /// The bytes `from..to` of a stream as they came. None where they are not kept.
    pub(super) async fn raw(
        &self,
        id: i64,
        stream: Stream,
        from: u64,
        to: u64,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let mut gap: Option<Gap> = None;
        for _ in 0..RAW_TRIES {
            let Some(shift) = left_out_before(gap, from, to) else {
                return Ok(None);
            };
            let range = format!("bytes={}-{}", from - shift, to - shift - 1);
            let request = self
                .request(Method::GET, &format!("/tasks/{id}/{}", stream.as_str()))
                .header(RANGE, range);
            let response = self.send(request).await?;
            let told = gap_of(&response);
            match response.status() {
                StatusCode::PARTIAL_CONTENT if told != gap => {
                    gap = told;
                    continue;
                }
                StatusCode::PARTIAL_CONTENT => {
                    let bytes = self.body(response).await?;
                    if bytes.len() as u64 == to - from {
                        return Ok(Some(bytes));
                    }
                }
                // The whole: while a task with a gap runs, its tail moves and has no ranges.
                StatusCode::OK => return Ok(None),
                StatusCode::RANGE_NOT_SATISFIABLE => {}
                _ => return Err(refused(response).await),
            }
            tokio::time::sleep(RAW_PAUSE).await;
        }
        Ok(None)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .inner
            .request(method, format!("{}/wsexec{path}", self.base));
        match &self.login {
            Login::Token(token) => request.bearer_auth(token.expose()),
            Login::Password(user, password) => request.basic_auth(user, Some(password.expose())),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|e| self.unreachable(&e))
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        serde_json::from_slice(&self.body(response).await?).map_err(|e| {
            Failure::new(format!(
                "{} does not answer as a WSEXEC does: {e}",
                self.base
            ))
        })
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, Failure> {
        bounded(response).await.map_err(|e| self.unreachable(&e))
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        let why = chain(error);
        let advice = if why.contains("certificate") {
            "; --cacert FILE names the certificate to trust"
        } else {
            ""
        };
        Failure::new(format!("cannot reach {}: {why}{advice}", self.base))
    }
}

/// How long to wait after so many tries without success.
pub(super) fn pause(tries: u32) -> Duration {
    Duration::from_millis(200 << tries.min(5)).min(Duration::from_secs(5))
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, Failure> {
    let pem = std::fs::read(file)
        .map_err(|e| Failure::new(format!("cannot read {}: {e}", file.display())))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Failure::new(format!(
            "{} holds no certificate in PEM form",
            file.display()
        ))),
    }
}

/// How many bytes are missing before the range, which has to lie on one side of the gap.
fn left_out_before(gap: Option<Gap>, from: u64, to: u64) -> Option<u64> {
    match gap {
        Some(gap) if from >= gap.offset + gap.length => Some(gap.length),
        Some(gap) if to > gap.offset => None,
        _ => Some(0),
    }
}

fn gap_of(response: &Response) -> Option<Gap> {
    let text = response.headers().get("Wsexec-Gap")?.to_str().ok()?;
    let (offset, length) = text.split_once(',')?;
    Some(Gap {
        offset: offset.trim().parse().ok()?,
        length: length.trim().parse().ok()?,
    })
}

/// The sentence of an answer that says no.
async fn refused(response: Response) -> Failure {
    let status = response.status();
    let body = bounded(response).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    let said = [problem.detail, problem.title]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_else(|| status.to_string());
    let advice = match status {
        StatusCode::UNAUTHORIZED => format!(" ({LOGIN})"),
        _ => String::new(),
    };
    Failure::new(format!(
        "the server says {}: {said}{advice}",
        status.as_u16()
    ))
}

/// The body; cut off where it is larger than any that is expected.
async fn bounded(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            break;
        }
    }
    Ok(body)
}

/// An error with its causes: reqwest's own sentence leaves out what happened.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |e| e.source())
        .map(ToString::to_string)
        .fold(Vec::<String>::new(), |mut said, next| {
            if !said.iter().any(|s| s.contains(&next)) {
                said.push(next);
            }
            said
        })
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_on_either_side_of_the_gap_and_not_within() {
        let gap = Some(Gap {
            offset: 10,
            length: 5,
        });
        assert_eq!(left_out_before(None, 3, 9), Some(0));
        assert_eq!(left_out_before(gap, 3, 10), Some(0));
        assert_eq!(left_out_before(gap, 15, 20), Some(5));
        for (from, to) in [(9, 11), (10, 12), (14, 16), (5, 30)] {
            assert_eq!(left_out_before(gap, from, to), None, "{from}..{to}");
        }
    }
}
