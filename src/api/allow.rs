use crate::domain::{Error, Kind};
use poem::error::MethodNotAllowedError;
use poem::http::HeaderValue;
use poem::http::header::ALLOW;
use poem::{Endpoint, EndpointExt, Response};
use poem_openapi::OpenApi;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which methods each path has.
#[derive(Clone)]
pub struct Methods(Arc<BTreeMap<String, String>>);

impl Methods {
    /// Those of an API. What can be got can be asked for its head, too.
    pub fn of<T: OpenApi>() -> Self {
        let mut methods = BTreeMap::<String, String>::new();
        for path in T::meta().into_iter().flat_map(|api| api.paths) {
            for operation in path.operations {
                let known = methods.entry(path.path.clone()).or_default();
                let separator = if known.is_empty() { "" } else { ", " };
                let name = operation.method.as_str();
                let head = if name == "GET" { ", HEAD" } else { "" };
                *known += &format!("{separator}{name}{head}");
            }
        }
        Self(Arc::new(methods))
    }

    /// Those of one path that can only be got.
    pub fn get_only(path: &str) -> Self {
        let methods = BTreeMap::from([(path.to_owned(), "GET, HEAD".to_owned())]);
        Self(Arc::new(methods))
    }

    /// The same endpoint; where a path does not have a method, it says which it has (RFC 9110
    /// section 15.5.6).
    pub fn told_by(self, endpoint: impl Endpoint + 'static) -> impl Endpoint<Output = Response> {
        endpoint.map_to_response().around(move |endpoint, request| {
            let allowed = self.at(request.uri().path());
            async move {
                match endpoint.call(request).await {
                    Err(error) if error.is::<MethodNotAllowedError>() => Ok(refusal(allowed)),
                    other => other,
                }
            }
        })
    }

    fn at(&self, path: &str) -> Option<HeaderValue> {
        let matches = |template: &str| {
            let mut segments = path.split('/');
            template.split('/').all(|part| {
                let segment = segments.next();
                part.starts_with('{') || segment == Some(part)
            }) && segments.next().is_none()
        };
        let (_, methods) = self.0.iter().find(|(template, _)| matches(template))?;
        methods.parse().ok()
    }
}

fn refusal(allowed: Option<HeaderValue>) -> Response {
    let error = Error::new(
        Kind::MethodNotAllowed,
        "This path does not have this method.",
    );
    let mut response = poem::Error::from(error).into_response();
    if let Some(allowed) = allowed {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::super::Api;
    use super::*;

    #[test]
    fn every_path_knows_its_methods() {
        let methods = Methods::of::<Api>();
        let at = |path: &str| methods.at(path).map(|it| it.to_str().unwrap().to_owned());
        let has = |path, expected: &[&str]| {
            let all = at(path).unwrap();
            let mut all: Vec<_> = all.split(", ").collect();
            all.sort_unstable();
            assert_eq!(all, expected, "{path}");
        };
        has("/wsexec/tasks", &["GET", "HEAD", "POST", "PUT"]);
        has("/wsexec/tasks/7", &["DELETE", "GET", "HEAD", "PUT"]);
        has("/wsexec/tasks/7/stdout", &["GET", "HEAD"]);
        has("/wsexec/instances/x", &["DELETE", "GET", "HEAD", "PUT"]);
        assert_eq!(at("/wsexec/tasks/7/x"), None);
        assert_eq!(at("/wsexec"), None);
    }
}
