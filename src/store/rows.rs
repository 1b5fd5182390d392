//! What the row mappings share.

use crate::domain::Scope;
use rusqlite::Row;
use rusqlite::types::Type;

/// A word in the store that this program does not know.
pub(super) fn unknown_word(column: usize, word: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        column,
        Type::Text,
        format!("unknown word {word}").into(),
    )
}

/// Rules with a blank between them.
pub(super) fn scope(row: &Row, column: usize) -> rusqlite::Result<Scope> {
    let text: String = row.get(column)?;
    Scope::parse(text.split_ascii_whitespace())
        .map_err(|why| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into()))
}
