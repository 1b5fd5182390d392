use crate::domain::{
    Error, Instance, InstanceFilter, InstanceState, Labels, Order, Result as Outcome, labels_from,
};
use crate::http::{BaseUrl, Caller};
use crate::service::{Action, Service};
use crate::ui::filters;
use crate::ui::page::{self, Section, Shell};
use crate::ui::paging::{Address, Cursor, Paged, asked, given};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "pages/instances/list.html")]
struct ListPage {
    shell: Shell,
    paged: Paged<Instance>,
    asked: Asked,
    narrowed: bool,
    states: [InstanceState; 2],
    may_manage: bool,
    terminal: Terminal,
}

/// What the address asks for, as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    q: String,
    label: String,
    state: String,
    tag: String,
    ip: String,
    #[serde(flatten)]
    cursor: Cursor,
}

impl Asked {
    fn is_state(&self, state: &InstanceState) -> bool {
        self.state == state.as_str()
    }

    /// Whether what is asked for less often is.
    fn has_more(&self) -> bool {
        !self.tag.is_empty() || !self.ip.is_empty()
    }

    fn filter(&self) -> Outcome<InstanceFilter> {
        let labels = self.label.split(',').map(str::trim);
        Ok(InstanceFilter {
            state: asked(&self.state, InstanceState::parse, "state", "is not a state")?,
            tag: given(&self.tag),
            ip: given(&self.ip),
            labels: match self.label.trim() {
                "" => Labels::new(),
                _ => labels_from(labels).map_err(|message| Error::field("label", message))?,
            },
            q: given(&self.q),
        })
    }

    fn narrowing(&self) -> [(&'static str, &String); 5] {
        [
            ("q", &self.q),
            ("label", &self.label),
            ("state", &self.state),
            ("tag", &self.tag),
            ("ip", &self.ip),
        ]
    }

    fn address(&self) -> Address {
        let order = ("order", self.cursor.order());
        Address::new("/instances", self.narrowing().into_iter().chain([order]))
    }
}

#[handler]
pub async fn index(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let turn = asked.cursor.turn(Order::Asc)?;
    let (filter, page) = (asked.filter()?, turn.page()?);
    let found = service.instances(&actor, &filter, page);
    let paged = turn.paged(found.await?, &asked.address(), |it| it.id.to_string());
    let same = asked.address().on("/wsexec/instances").with(&[]);
    page::html(&ListPage {
        shell: Shell::of(&actor, Section::Instances),
        paged,
        terminal: Terminal::of(&base, &actor).get("List these instances", same),
        states: [InstanceState::Active, InstanceState::Deactivate],
        may_manage: actor.may(Action::ManageInstances),
        narrowed: asked.narrowing().iter().any(|(_, value)| !value.is_empty()),
        asked,
    })
}
