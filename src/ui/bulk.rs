//! The same act on many things: what is to be done is shown first, then one form does it, and says
//! of each what became of it. Each is judged as if it were alone.

use super::page::Shell;
use crate::domain::{Error, Kind, Result};
use crate::ui::filters;
use crate::ui::terminal::Terminal;
use askama::Template;

/// The most things of one act.
const MOST: usize = 200;

/// What a form, or an address, has picked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Picked {
    /// The word for the act.
    pub act: String,
    /// What makes a form that is sent twice one request.
    pub key: String,
    /// Each once, in the order of the list.
    pub ids: Vec<i64>,
}

impl Picked {
    /// Reads what was sent; other fields are passed over.
    ///
    /// # Errors
    /// `Invalid` where something is no id, or there are too many.
    pub fn read(fields: Vec<(String, String)>) -> Result<Self> {
        let mut picked = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "do" => picked.act = value,
                "key" => picked.key = value,
                "id" => {
                    let id = value.parse();
                    let id = id.map_err(|_| Error::field("id", "must be an id"))?;
                    if !picked.ids.contains(&id) {
                        picked.ids.push(id);
                    }
                    if picked.ids.len() > MOST {
                        return Err(Error::field("id", "can be 200 at once, and no more"));
                    }
                }
                _ => {}
            }
        }
        Ok(picked)
    }
}

/// A thing that was picked.
pub struct Item {
    /// Its id.
    pub id: i64,
    /// What it is called; none where there is no such thing to see.
    pub name: Option<String>,
    /// What is to be known of it, in English.
    pub note: String,
}

/// What an act is called, in English: keys of the catalogue.
pub struct Words {
    /// The heading of what is to be done.
    pub ask: &'static str,
    /// What the button says.
    pub button: &'static str,
    /// The heading of what was done.
    pub done: &'static str,
    /// The act in a form.
    pub act: &'static str,
    /// The list, and what each thing's path begins with.
    pub list: &'static str,
    /// Whether it takes something away.
    pub danger: bool,
}

/// What is to be done.
#[derive(Template)]
#[template(path = "pages/bulk.html")]
pub struct AskPage {
    /// The frame.
    pub shell: Shell,
    /// What it is called.
    pub words: Words,
    /// See [`Picked::key`].
    pub key: String,
    /// What it is done to.
    pub todo: Vec<Item>,
    /// What it cannot be done to.
    pub left: Vec<Item>,
    /// What does the same.
    pub terminal: Terminal,
}

/// The ids of things as the end of a path that curl asks for one after the other, with one password
/// (curl(1), "globbing").
pub fn each(items: &[Item]) -> String {
    let ids: Vec<_> = items.iter().map(|it| it.id.to_string()).collect();
    match ids.as_slice() {
        [one] => one.clone(),
        _ => format!("{{{}}}", ids.join(",")),
    }
}

/// What became of one.
pub struct Line {
    /// What it was done to; its note says what became of it.
    pub item: Item,
    /// Whether it was not done.
    pub refused: bool,
    /// A new thing that came of it, by its path and its number.
    pub new: Option<(String, i64)>,
}

impl Line {
    /// What an error says of one thing among others.
    ///
    /// # Errors
    /// The error itself, where it is about the login or the server, and so about all of them.
    pub fn of(id: i64, name: Option<String>, error: Error) -> Result<Self> {
        match error.kind() {
            Kind::Unauthenticated | Kind::Unconfirmed | Kind::Internal => Err(error),
            _ => Ok(Self {
                item: Item {
                    id,
                    name,
                    note: error.detail().to_owned(),
                },
                refused: true,
                new: None,
            }),
        }
    }
}

/// What was done.
#[derive(Template)]
#[template(path = "pages/bulk_done.html")]
pub struct DonePage {
    /// The frame.
    pub shell: Shell,
    /// What it is called.
    pub words: Words,
    /// One for each thing.
    pub lines: Vec<Line>,
}

impl DonePage {
    fn refused(&self) -> usize {
        self.lines.iter().filter(|line| line.refused).count()
    }

    fn done(&self) -> usize {
        self.lines.len() - self.refused()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_picked_is_each_thing_once_and_bounded() {
        let field = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
        let twice = vec![field("id", &3), field("do", &"cancel"), field("id", &3)];
        let picked = Picked::read(twice).unwrap();
        assert_eq!((picked.ids, picked.act.as_str()), (vec![3], "cancel"));
        assert!(Picked::read(vec![field("id", &"x")]).is_err());
        let ids = |n: i64| (0..n).map(|id| field("id", &id)).collect();
        assert_eq!(Picked::read(ids(200)).unwrap().ids.len(), 200);
        assert!(Picked::read(ids(201)).is_err());
    }
}
