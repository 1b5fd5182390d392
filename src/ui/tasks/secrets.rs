//! What a script is given in secret, as a form has it: rows of a name and an identity.

use crate::domain::SECRETS_MAX;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One row.
#[derive(Default, Clone)]
pub struct Row {
    /// What the script calls it.
    pub name: String,
    /// The identity that it is of.
    pub identity: String,
}

/// As many rows as a script takes secrets: fields `secret_N` and `identity_N`, from 1.
#[derive(Deserialize)]
#[serde(from = "BTreeMap<String, String>")]
pub struct Rows(Vec<Row>);

impl Default for Rows {
    fn default() -> Self {
        Self(vec![Row::default(); SECRETS_MAX])
    }
}

impl From<BTreeMap<String, String>> for Rows {
    /// Of all the fields of a form.
    fn from(mut fields: BTreeMap<String, String>) -> Self {
        let mut take = |field: &str, number| {
            let typed = fields.remove(&format!("{field}_{number}"));
            typed.map_or_else(String::new, |it| it.trim().to_owned())
        };
        let row = |number| Row {
            name: take("secret", number),
            identity: take("identity", number),
        };
        Self((1..=SECRETS_MAX).map(row).collect())
    }
}

impl Rows {
    /// Those of a task.
    pub fn of(secrets: &[(String, String)]) -> Self {
        let mut rows = Self::default();
        for (row, (name, identity)) in rows.0.iter_mut().zip(secrets) {
            row.name.clone_from(name);
            row.identity.clone_from(identity);
        }
        rows
    }

    /// All of them with their numbers, the empty ones too.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &Row)> {
        (1..).zip(&self.0)
    }

    /// How many rows there are to see at first: those with something in them, and one more.
    pub fn seen(&self) -> usize {
        let last = self.0.iter().rposition(|row| !row.is_empty());
        last.map_or(0, |last| last + 1) + 1
    }

    /// Whether there are more than [`Rows::seen`].
    pub fn has_rest(&self) -> bool {
        self.seen() < self.0.len()
    }

    /// What was typed, the rows that were left empty apart.
    pub fn given(&self) -> Vec<(String, String)> {
        let filled = self.0.iter().filter(|row| !row.is_empty());
        filled
            .map(|row| (row.name.clone(), row.identity.clone()))
            .collect()
    }

    /// The fields, with what was typed.
    pub fn fields(&self) -> impl Iterator<Item = (String, &str)> {
        self.numbered().flat_map(|(number, row)| {
            [
                (format!("secret_{number}"), row.name.as_str()),
                (format!("identity_{number}"), row.identity.as_str()),
            ]
        })
    }
}

impl Row {
    fn is_empty(&self) -> bool {
        self.name.is_empty() && self.identity.is_empty()
    }
}
