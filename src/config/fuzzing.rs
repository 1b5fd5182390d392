//! What has to hold of a configuration file, whatever is in it.

use super::load::parse;

/// An error tells a line that there is, on one line. A comment changes nothing, and an unknown key
/// at the end is refused.
///
/// # Panics
/// Where that does not hold.
pub fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let config = match parse(text) {
        Ok(config) => config,
        Err(message) => {
            let line = message.strip_prefix("line ");
            let line = line.and_then(|it| it.split_once(": "));
            let (line, what) = line.unwrap_or_else(|| panic!("no line: {message:?}"));
            let lines = text.matches('\n').count() + 1;
            let is_there = line.parse().is_ok_and(|it| (1..=lines).contains(&it));
            assert!(is_there, "of {lines} lines: {message:?}");
            assert!(!what.is_empty() && !what.contains('\n'), "{message:?}");
            return;
        }
    };
    if let Err(error) = config.validate() {
        let message = error.to_string();
        assert!(message.contains(": "), "{message:?}");
    }
    let commented = parse(&format!("{text}\n# a comment")).expect("only a comment is new");
    assert_eq!(format!("{commented:?}"), format!("{config:?}"));
    let unknown = parse(&format!("{text}\nzz_unknown = 1\n"));
    assert!(unknown.is_err(), "an unknown key is taken");
}
