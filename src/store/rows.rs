//! What the row mappings share.

use rusqlite::types::Type;

/// A word in the store that this program does not know.
pub(super) fn unknown_word(column: usize, word: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        column,
        Type::Text,
        format!("unknown word {word}").into(),
    )
}
