use crate::domain::{
    Error, Instance, InstanceChange, InstanceId, InstanceState, Kind, Result as Outcome,
};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Service};
use crate::ui::bulk::{AskPage, DonePage, Item, Line, Picked, Words, each};
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde_json::json;

fn state(word: &str) -> Outcome<InstanceState> {
    match word {
        "activate" => Ok(InstanceState::Active),
        "deactivate" => Ok(InstanceState::Deactivate),
        _ => Err(Error::field("do", "must be activate or deactivate")),
    }
}

fn words(state: InstanceState) -> Words {
    match state {
        InstanceState::Deactivate => Words {
            ask: "Deactivate these instances?",
            button: "Deactivate them",
            done: "Instances deactivated",
            act: "deactivate",
            list: "/instances",
            danger: true,
        },
        InstanceState::Active => Words {
            ask: "Activate these instances?",
            button: "Activate them",
            done: "Instances activated",
            act: "activate",
            list: "/instances",
            danger: false,
        },
    }
}

#[handler]
pub async fn ask(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response> {
    actor.require(Action::ManageInstances)?;
    let picked = Picked::read(fields)?;
    let wanted = state(&picked.act)?;
    let (mut todo, mut left) = (Vec::new(), Vec::new());
    for id in picked.ids {
        match service.instance(&actor, InstanceId(id)).await {
            Ok(it) if it.state == wanted => left.push(item(&it, "It is so already.")),
            Ok(it) => todo.push(item(&it, it.state.as_str())),
            Err(error) if error.kind() == Kind::NotFound => {
                left.push(Line::of(id, None, error)?.item);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut terminal = Terminal::of(&base, &actor);
    if !todo.is_empty() {
        let path = format!("/wsexec/instances/{}", each(&todo));
        let body = json!({"state": wanted.as_str()});
        terminal = terminal.send(words(wanted).button, ("PUT", path), &body);
    }
    page::html(&AskPage {
        shell: Shell::of(&actor, Section::Instances),
        words: words(wanted),
        key: String::new(),
        terminal,
        todo,
        left,
    })
}

#[handler]
pub async fn carry_out(
    Caller(actor): Caller,
    Data(service): Data<&Service>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response> {
    actor.require(Action::ManageInstances)?;
    let picked = Picked::read(fields)?;
    let wanted = state(&picked.act)?;
    let mut lines = Vec::with_capacity(picked.ids.len());
    for id in picked.ids {
        let change = InstanceChange {
            state: Some(wanted),
            ..InstanceChange::default()
        };
        let id = InstanceId(id);
        lines.push(
            match service.change_instance(&actor, id, change, None).await {
                Ok(it) => Line {
                    item: item(&it, it.state.as_str()),
                    refused: false,
                    new: None,
                },
                Err(error) => {
                    let seen = service.instance(&actor, id).await.ok();
                    Line::of(id.0, seen.map(|it| it.address()), error)?
                }
            },
        );
    }
    page::html(&DonePage {
        shell: Shell::of(&actor, Section::Instances),
        words: words(wanted),
        lines,
    })
}

fn item(it: &Instance, note: &str) -> Item {
    Item {
        id: it.id.0,
        name: Some(it.address()),
        note: note.to_owned(),
    }
}
