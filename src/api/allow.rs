use super::Api;
use poem_openapi::OpenApi;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The methods of each path template, from the same description that routes them.
static METHODS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let only_get = |path: &str| (path.to_owned(), "GET, HEAD".to_owned());
    let mut methods = BTreeMap::from(["/openapi.json", "/docs"].map(only_get));
    for path in Api::meta().into_iter().flat_map(|api| api.paths) {
        let known = methods.entry(path.path).or_default();
        for operation in path.operations {
            if !known.is_empty() {
                known.push_str(", ");
            }
            // What can be got can be asked for its head, too.
            known.push_str(match operation.method.as_str() {
                "GET" => "GET, HEAD",
                other => other,
            });
        }
    }
    methods
});

/// The methods of the resource at a path, for `Allow`.
pub fn methods(path: &str) -> Option<&'static str> {
    let matches = |template: &str| {
        let mut segments = path.split('/');
        template.split('/').all(|part| {
            let segment = segments.next();
            segment == Some(part) || (segment.is_some() && part.starts_with('{'))
        }) && segments.next().is_none()
    };
    let (_, methods) = METHODS.iter().find(|(template, _)| matches(template))?;
    Some(methods)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_knows_its_methods() {
        for (path, expected) in [
            ("/wsexec/tasks", "GET, HEAD, POST, PUT"),
            ("/wsexec/tasks/7", "DELETE, GET, HEAD, PUT"),
            ("/wsexec/tasks/7/stdout", "GET, HEAD"),
            ("/wsexec/instances/x", "DELETE, GET, HEAD, PUT"),
            ("/docs", "GET, HEAD"),
        ] {
            let mut all: Vec<_> = methods(path).unwrap().split(", ").collect();
            all.sort_unstable();
            assert_eq!(all.join(", "), expected, "{path}");
        }
        for path in [
            "/wsexec",
            "/wsexec/tasks/7/x",
            "/wsexec/tasks/7/stdout/x",
            "/",
        ] {
            assert_eq!(methods(path), None, "{path}");
        }
    }
}
