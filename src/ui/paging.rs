//! Pages of lists by cursor: the address says after or before which row, so that a page can be
//! shared and what is added meanwhile moves nothing.

use crate::domain::{Error, Order, Page, Result};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

/// Rows of a page.
pub const ROWS: u32 = 50;

/// Which part of a list the address asks for, as it was typed. `before` and `after` are what they
/// are in the API.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Cursor {
    order: String,
    before: String,
    after: String,
}

/// A part of a list.
pub struct Turn {
    order: Order,
    /// Read from its far end, to lead back.
    back: bool,
    before: Option<String>,
    after: Option<String>,
}

/// A page of a list, and where others are.
pub struct Paged<T> {
    /// The rows, in the order that was asked for.
    pub rows: Vec<T>,
    /// The beginning, where this is not it.
    pub first: Option<String>,
    /// The page before.
    pub previous: Option<String>,
    /// The page behind.
    pub next: Option<String>,
    /// The row up to which was looked, where there may be more.
    pub reached: Option<String>,
}

impl<T> Paged<T> {
    /// The same links around other rows.
    pub fn with<U>(self, rows: Vec<U>) -> Paged<U> {
        Paged {
            rows,
            first: self.first,
            previous: self.previous,
            next: self.next,
            reached: self.reached,
        }
    }
}

/// An address of a list without its cursor.
pub struct Address {
    path: &'static str,
    query: Vec<(&'static str, String)>,
}

impl Address {
    /// What is empty narrows nothing and is left out.
    pub fn new<'a>(
        path: &'static str,
        narrowing: impl IntoIterator<Item = (&'static str, &'a String)>,
    ) -> Self {
        let given = narrowing.into_iter().filter(|(_, value)| !value.is_empty());
        let query = given.map(|(name, value)| (name, value.clone())).collect();
        Self { path, query }
    }

    /// With more in its query.
    pub fn with(&self, more: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(&self.query).extend_pairs(more);
        match query.finish() {
            query if query.is_empty() => self.path.to_owned(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// The same query elsewhere.
    pub fn on(self, path: &'static str) -> Self {
        Self { path, ..self }
    }
}

impl Cursor {
    /// The order where none is asked for is `usual`.
    ///
    /// # Errors
    /// `Invalid`, naming `order`.
    pub fn turn(&self, usual: Order) -> Result<Turn> {
        let order = match self.order.as_str() {
            "" => usual,
            "asc" => Order::Asc,
            "desc" => Order::Desc,
            _ => return Err(Error::field("order", "must be asc or desc")),
        };
        let given = |text: &String| Some(text.clone()).filter(|it| !it.is_empty());
        let (before, after) = (given(&self.before), given(&self.after));
        let back = match order {
            Order::Asc => before.is_some() && after.is_none(),
            Order::Desc => after.is_some() && before.is_none(),
        };
        Ok(Turn {
            order,
            back,
            before,
            after,
        })
    }

    /// Whether the address asks for this order, where the form offers it.
    pub fn is_order(&self, order: &str) -> bool {
        self.order == order
    }

    /// The order, for an address.
    pub fn order(&self) -> &String {
        &self.order
    }
}

impl Turn {
    /// For a list by id: one row more than is shown, to know whether there are more.
    ///
    /// # Errors
    /// `Invalid`, naming what is no id.
    pub fn page(&self) -> Result<Page> {
        let id = |name: &'static str, text: &Option<String>| {
            let text = text.as_deref().map(str::trim);
            let wrong = |_| Error::field(name, "must be an id");
            text.map(|text| text.parse().map_err(wrong)).transpose()
        };
        Ok(Page {
            limit: Some(ROWS + 1),
            before: id("before", &self.before)?,
            after: id("after", &self.after)?,
            order: match (self.order, self.back) {
                (Order::Asc, false) | (Order::Desc, true) => Order::Asc,
                (Order::Desc, false) | (Order::Asc, true) => Order::Desc,
            },
        })
    }

    /// The page of what a list gave for [`Turn::page`].
    pub fn paged<T>(
        &self,
        rows: Vec<T>,
        address: &Address,
        key: impl Fn(&T) -> String,
    ) -> Paged<T> {
        self.paged_to((rows, None), address, key)
    }

    /// The same, where it was looked no further than to a row.
    pub fn paged_to<T>(
        &self,
        (mut rows, reached): (Vec<T>, Option<String>),
        address: &Address,
        key: impl Fn(&T) -> String,
    ) -> Paged<T> {
        let more = rows.len() > ROWS as usize || reached.is_some();
        rows.truncate(ROWS as usize);
        if self.back {
            rows.reverse();
        }
        let begun = self.before.is_none() && self.after.is_none();
        let (has_previous, has_next) = match self.back {
            true => (more, true),
            false => (!begun, more),
        };
        let (onward, back) = match self.order {
            Order::Asc => ("after", "before"),
            Order::Desc => ("before", "after"),
        };
        let far = |end: bool| reached.clone().filter(|_| end);
        let first = far(self.back).or_else(|| rows.first().map(&key));
        let last = far(!self.back).or_else(|| rows.last().map(&key));
        let link = |cursor, key: Option<String>| key.map(|key| address.with(&[(cursor, &key)]));
        Paged {
            first: (!begun).then(|| address.with(&[])),
            previous: link(back, first).filter(|_| has_previous),
            next: link(onward, last).filter(|_| has_next),
            rows,
            reached,
        }
    }

    /// A page of all of a list, which goes by a name.
    pub fn of_all<T>(
        &self,
        mut all: Vec<T>,
        address: &Address,
        name: impl Fn(&T) -> &str,
    ) -> Paged<T> {
        let after = |it: &T| self.after.as_deref().is_none_or(|bound| name(it) > bound);
        let before = |it: &T| self.before.as_deref().is_none_or(|bound| name(it) < bound);
        all.retain(|it| after(it) && before(it));
        all.sort_by(|a, b| name(a).cmp(name(b)));
        if (self.order == Order::Desc) != self.back {
            all.reverse();
        }
        self.paged(all, address, |it| name(it).to_owned())
    }
}

/// What was typed into a filter that takes one of several words.
///
/// # Errors
/// `Invalid`, naming the filter.
pub fn asked<T>(
    text: &str,
    read: impl Fn(&str) -> Option<T>,
    name: &'static str,
    wrong: &'static str,
) -> Result<Option<T>> {
    match text {
        "" => Ok(None),
        text => match read(text) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::field(name, wrong)),
        },
    }
}

/// What was typed into a filter, where anything was.
pub fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(cursor: &Cursor, all: &[i64]) -> Paged<i64> {
        let names = all.iter().map(|n| format!("{n:03}")).collect();
        let turn = cursor.turn(Order::Asc).expect("an order");
        let order = cursor.order.clone();
        let address = Address::new("/x", [("order", &order)]);
        let paged = turn.of_all(names, &address, |it: &String| it);
        let rows = paged.rows.iter().map(|it| it.parse().expect("a number"));
        let rows = rows.collect();
        paged.with(rows)
    }

    /// The cursor of a link.
    fn follow(link: Option<String>) -> Cursor {
        let url = format!("https://h{}", link.expect("a link"));
        let url = url::Url::parse(&url).expect("an address");
        let mut cursor = Cursor::default();
        for (name, value) in url.query_pairs() {
            match &*name {
                "order" => cursor.order = value.into(),
                "before" => cursor.before = value.into(),
                _ => cursor.after = value.into(),
            }
        }
        cursor
    }

    #[test]
    fn links_lead_on_and_back_over_every_row_once_in_either_order() {
        let all: Vec<i64> = (1..=120).collect();
        for order in ["", "desc"] {
            let mut expected = all.clone();
            if order == "desc" {
                expected.reverse();
            }
            let mut cursor = Cursor {
                order: order.into(),
                ..Cursor::default()
            };
            let mut seen = Vec::new();
            let last = loop {
                let page = walk(&cursor, &all);
                seen.extend_from_slice(&page.rows);
                if page.next.is_none() {
                    break page;
                }
                cursor = follow(page.next);
            };
            assert_eq!(seen, expected);
            let middle = walk(&follow(last.previous), &all);
            assert_eq!(middle.rows, expected[50..100]);
            let first = walk(&follow(middle.previous), &all);
            assert_eq!(first.rows, expected[..50]);
            assert!(first.previous.is_none() && first.next.is_some());
        }
    }
}
