//! What lists are narrowed by.

use crate::domain::{Order, Page};
use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

/// The `WHERE`, `ORDER BY` and `LIMIT` of a list, with their values.
pub(super) struct Conditions {
    terms: Vec<String>,
    values: Vec<Box<dyn ToSql + Send>>,
    tail: String,
}

impl Conditions {
    pub(super) fn page(page: Page) -> Self {
        let order = match page.order {
            Order::Asc => "ASC",
            Order::Desc => "DESC",
        };
        let limit = page.limit.map_or(-1, i64::from);
        let mut it = Self {
            terms: Vec::new(),
            values: Vec::new(),
            tail: format!("ORDER BY id {order} LIMIT {limit}"),
        };
        it.compare("id", ">", page.after);
        it.compare("id", "<", page.before);
        it
    }

    pub(super) fn equal(&mut self, column: &str, value: Option<impl ToSql + Send + 'static>) {
        self.compare(column, "=", value);
    }

    fn compare(
        &mut self,
        column: &str,
        operator: &str,
        value: Option<impl ToSql + Send + 'static>,
    ) {
        if let Some(value) = value {
            self.values.push(Box::new(value));
            self.terms
                .push(format!("{column} {operator} ?{}", self.values.len()));
        }
    }

    /// A term as it is.
    pub(super) fn is(&mut self, term: &str) {
        self.terms.push(term.to_owned());
    }

    /// A term with one `?` in it, for the value.
    pub(super) fn hold(&mut self, term: &str, value: impl ToSql + Send + 'static) {
        self.values.push(Box::new(value));
        let place = format!("?{}", self.values.len());
        self.terms.push(term.replace('?', &place));
    }

    /// The text stands, as it is, in one of the columns.
    pub(super) fn contains(&mut self, columns: &[&str], text: Option<&str>) {
        if let Some(text) = text {
            let escaped = text
                .replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_");
            self.values.push(Box::new(format!("%{escaped}%")));
            let place = self.values.len();
            let any: Vec<_> = columns
                .iter()
                .map(|c| format!("{c} LIKE ?{place} ESCAPE '\\'"))
                .collect();
            self.terms.push(format!("({})", any.join(" OR ")));
        }
    }

    pub(super) fn select<T>(
        &self,
        c: &Connection,
        columns: &str,
        table: &str,
        map: fn(&Row) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let values = self.values.iter().map(|v| v.as_ref() as &dyn ToSql);
        c.prepare_cached(&self.sql(columns, table))?
            .query_map(rusqlite::params_from_iter(values), map)?
            .collect()
    }

    /// Gives each row to `take`, for as long as that says true.
    pub(super) fn each(
        &self,
        c: &Connection,
        columns: &str,
        table: &str,
        mut take: impl FnMut(&Row) -> rusqlite::Result<bool>,
    ) -> rusqlite::Result<()> {
        let values = self.values.iter().map(|v| v.as_ref() as &dyn ToSql);
        let mut statement = c.prepare_cached(&self.sql(columns, table))?;
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if !take(row)? {
                break;
            }
        }
        Ok(())
    }

    fn sql(&self, columns: &str, table: &str) -> String {
        let filter = if self.terms.is_empty() {
            "TRUE".to_owned()
        } else {
            self.terms.join(" AND ")
        };
        format!("SELECT {columns} FROM {table} WHERE {filter} {}", self.tail)
    }
}
