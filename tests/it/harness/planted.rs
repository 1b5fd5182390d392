//! Secrets that a test gives to the program, and the places where none of them may turn up: as
//! they are, in hexadecimal, or in base64.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::path::Path;

/// A secret, by what it is.
#[derive(Debug, Clone)]
pub struct Planted {
    name: String,
    shapes: Vec<Vec<u8>>,
}

impl Planted {
    /// One that is long enough not to stand anywhere by chance.
    pub fn new(name: &str, secret: &str) -> Self {
        assert!(secret.len() >= 8, "{name} is too short to be looked for");
        let bytes = secret.as_bytes();
        let hex = |upper: bool| -> Vec<u8> {
            let digits = bytes.iter().map(|b| match upper {
                true => format!("{b:02X}"),
                false => format!("{b:02x}"),
            });
            digits.collect::<String>().into_bytes()
        };
        let mut shapes = vec![bytes.to_vec(), hex(false), hex(true)];
        for before in 0..3 {
            for engine in [STANDARD, URL_SAFE] {
                shapes.push(inside(
                    &engine.encode([&vec![0; before], bytes].concat()),
                    before,
                ));
            }
        }
        Self {
            name: name.to_owned(),
            shapes,
        }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        self.shapes
            .iter()
            .any(|shape| memchr::memmem::find(text, shape).is_some())
    }
}

/// The characters of a text in base64 that hold nothing of its neighbours, whatever these are.
fn inside(encoded: &str, before: usize) -> Vec<u8> {
    let padding = encoded.bytes().filter(|b| *b == b'=').count();
    let first = match before {
        0 => 0,
        bytes => bytes + 1,
    };
    let last = encoded.len() - if padding > 0 { padding + 1 } else { 0 };
    encoded.as_bytes()[first..last].to_vec()
}

/// Fails where one of them stands in the text.
pub fn assert_none(secrets: &[Planted], place: &str, text: &[u8]) {
    for secret in secrets {
        assert!(!secret.is_in(text), "{} stands in {place}", secret.name);
    }
}

/// Fails where one of them stands in a file below a directory; `but` names those that hold secrets
/// for that is what they are for.
pub fn assert_none_below(secrets: &[Planted], directory: &Path, but: &[&str]) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if but.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            assert_none_below(secrets, &path, but);
        } else if let Ok(bytes) = std::fs::read(&path) {
            assert_none(secrets, &path.display().to_string(), &bytes);
        }
    }
}

#[test]
fn a_secret_is_found_in_every_shape_whatever_stands_beside_it() {
    let secret = Planted::new("it", "correct horse");
    for beside in ["", "a", "ab", "abc", "abcd"] {
        let text = format!("{beside}correct horse{beside}");
        assert!(secret.is_in(text.as_bytes()));
        assert!(
            secret.is_in(STANDARD.encode(&text).as_bytes()),
            "{beside:?}"
        );
        assert!(
            secret.is_in(URL_SAFE.encode(&text).as_bytes()),
            "{beside:?}"
        );
    }
    assert!(secret.is_in(b"x 636f727265637420686f727365 x"));
    assert!(!secret.is_in(b"correct house"));
}
