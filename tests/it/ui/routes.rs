//! The routes of the pages, as src/ui/mod.rs has them.

use std::collections::BTreeSet;
use std::path::Path;

/// Each as `METHOD PATH`. They stand in one place, one after the other.
pub fn routes() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui/mod.rs");
    let text = std::fs::read_to_string(file).expect("the routes of the pages");
    let mut routes = BTreeSet::new();
    for one in text.split(".at(").skip(1) {
        let path = one.split('"').nth(1).expect("a path");
        let handlers = one.split(".around(").next().unwrap_or_default();
        for method in ["get", "post"] {
            if handlers.contains(&format!("{method}(")) {
                routes.insert(format!("{method} {path}"));
            }
        }
    }
    routes
}
