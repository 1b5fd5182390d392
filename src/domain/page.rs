use super::{ApprovalState, Error, Fate, InstanceId, InstanceState, Labels, Result, State};

/// The order of a list, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// Which part of a list: ids strictly between `after` and `before`, in an order, at most `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page {
    /// At most so many rows; all where there is none.
    pub limit: Option<u32>,
    /// Only ids above this one.
    pub after: Option<i64>,
    /// Only ids below this one.
    pub before: Option<i64>,
    /// By id, which way.
    pub order: Order,
}

impl Page {
    /// The same page with no more than so many rows.
    #[must_use]
    pub fn at_most(self, rows: u32) -> Self {
        Self {
            limit: Some(self.limit.map_or(rows, |limit| limit.min(rows))),
            ..self
        }
    }

    /// The page that follows one that ended with `last`.
    #[must_use]
    pub fn following(self, last: i64) -> Self {
        match self.order {
            Order::Asc => Self {
                after: Some(last),
                ..self
            },
            Order::Desc => Self {
                before: Some(last),
                ..self
            },
        }
    }
}

/// What a list of tasks is narrowed to. Each member that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskFilter {
    /// In this state.
    pub state: Option<State>,
    /// On this instance, removed or not.
    pub instance: Option<InstanceId>,
    /// Logging in as this user.
    pub user: Option<String>,
    /// With exactly this tag.
    pub tag: Option<String>,
    /// With exactly this name.
    pub name: Option<String>,
    /// Ended so.
    pub fate: Option<Fate>,
    /// Whose approval stands there.
    pub approval: Option<ApprovalState>,
    /// With this text in the name, tag or script (ASCII letters in either case).
    pub q: Option<String>,
}

/// The longest text that a list is searched for, in characters.
const SEARCH_MAX: usize = 256;

fn check_search(q: Option<&str>) -> Result<()> {
    let fits = |q: &str| q.chars().count() <= SEARCH_MAX && !q.contains('\0');
    match q {
        Some(q) if !fits(q) => Err(Error::field(
            "q",
            format!("must have at most {SEARCH_MAX} characters, and no NUL"),
        )),
        Some(_) | None => Ok(()),
    }
}

impl TaskFilter {
    /// Checks what can be wrong with it.
    ///
    /// # Errors
    /// [`super::Kind::Invalid`], naming `q`.
    pub fn validate(&self) -> Result<()> {
        check_search(self.q.as_deref())
    }
}

impl InstanceFilter {
    /// Checks what can be wrong with it.
    ///
    /// # Errors
    /// [`super::Kind::Invalid`], naming `q`.
    pub fn validate(&self) -> Result<()> {
        check_search(self.q.as_deref())
    }
}

/// What a list of instances is narrowed to. Each member that is set must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceFilter {
    /// In this state.
    pub state: Option<InstanceState>,
    /// With exactly this tag.
    pub tag: Option<String>,
    /// With exactly this address.
    pub ip: Option<String>,
    /// With each of these labels.
    pub labels: Labels,
    /// With this text in the address or tag.
    pub q: Option<String>,
}
