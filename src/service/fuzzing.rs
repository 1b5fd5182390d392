//! What has to hold of what is told of output, and of where a reader stands, whatever is written.

use super::text::Decoder;
use super::{EventId, Place};
use crate::domain::Stream;
use crate::domain::fuzzing::pieces;

/// Pieces decode to what the whole decodes to, and no more than the beginning of a character waits.
///
/// # Panics
/// Where that does not hold.
pub fn text(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    let mut decoder = Decoder::default();
    let mut text = String::new();
    for piece in pieces {
        text.push_str(&decoder.push(piece));
        assert!(decoder.held() < 4);
    }
    text.push_str(&decoder.finish());
    assert_eq!(text, String::from_utf8_lossy(bytes));
}

/// A place in the output, and a `Last-Event-ID`, is read as it is written.
///
/// # Panics
/// Where that does not hold.
pub fn places(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
        if let EventId::At { stdout, stderr } = id {
            assert!(stdout.max(stderr) <= i64::MAX as u64);
        }
    }
    if let Ok(place) = text.parse::<Place>() {
        assert_eq!(place.to_string().parse(), Ok(place));
        let both = Stream::ALL.map(|stream| place.of(stream));
        assert_eq!(place.position(), both.iter().sum::<u64>());
    }
}
