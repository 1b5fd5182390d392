use super::post::post;
use crate::domain::{Error, Kind, NewTask, Result as Outcome, State, Task, TaskId, random_token};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::{Action, Actor, Service, TaskUpdate};
use crate::ui::bulk::{AskPage, DonePage, Item, Line, Picked, Words, each};
use crate::ui::form::once;
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde_json::json;

/// What can be done to many tasks.
#[derive(Clone, Copy)]
enum Act {
    Cancel,
    Rerun,
}

impl Act {
    fn parse(word: &str) -> Outcome<Self> {
        match word {
            "cancel" => Ok(Self::Cancel),
            "rerun" => Ok(Self::Rerun),
            _ => Err(Error::field("do", "must be cancel or rerun")),
        }
    }

    fn words(self) -> Words {
        match self {
            Self::Cancel => Words {
                ask: "Cancel these tasks?",
                button: "Cancel them",
                done: "Tasks cancelled",
                act: "cancel",
                list: "/tasks",
                danger: true,
            },
            Self::Rerun => Words {
                ask: "Run these tasks again?",
                button: "Run them again",
                done: "Tasks run again",
                act: "rerun",
                list: "/tasks",
                danger: false,
            },
        }
    }

    /// Why it would be refused; none where nothing is known that forbids it.
    fn hindrance(self, actor: &Actor, task: &Task) -> Option<&'static str> {
        match self {
            Self::Cancel if task.state.has_ended() => Some("It has ended already."),
            Self::Cancel if !actor.may_change(task) => Some("It is somebody else's."),
            Self::Cancel | Self::Rerun => None,
        }
    }

    async fn carry_out(
        self,
        service: &Service,
        actor: &Actor,
        id: TaskId,
        key: &str,
    ) -> Outcome<Task> {
        match self {
            Self::Cancel => {
                let update = TaskUpdate {
                    state: Some(State::Abort),
                    ..TaskUpdate::default()
                };
                service.update_task(actor, id, update, None).await
            }
            Self::Rerun => {
                let number = id.to_string();
                let key = once(&format!("{key}.{number}"), &["rerun", &number])?;
                service.rerun_task(actor, id, Some(key)).await
            }
        }
    }
}

#[handler]
pub async fn ask(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response> {
    actor.require(Action::RunTasks)?;
    let picked = Picked::read(fields)?;
    let act = Act::parse(&picked.act)?;
    let (mut todo, mut left) = (Vec::new(), Vec::new());
    let mut terminal = Terminal::of(&base, &actor);
    for id in picked.ids {
        match service.task(&actor, TaskId(id)).await {
            Ok(task) => match act.hindrance(&actor, &task) {
                Some(why) => left.push(item(&task, why)),
                None => {
                    todo.push(item(&task, task.state.as_str()));
                    if matches!(act, Act::Rerun) && todo.len() == 1 && task.stdin_bytes == 0 {
                        let again = NewTask::again(task, None);
                        terminal = post(terminal, "Run the first of them again", &again);
                    }
                }
            },
            Err(error) if error.kind() == Kind::NotFound => {
                left.push(Line::of(id, None, error)?.item);
            }
            Err(error) => return Err(error.into()),
        }
    }
    if matches!(act, Act::Cancel) && !todo.is_empty() {
        let path = format!("/wsexec/tasks/{}", each(&todo));
        let body = json!({"state": State::Abort.as_str()});
        terminal = terminal.send(act.words().button, ("PUT", path), &body);
    }
    page::html(&AskPage {
        shell: Shell::of(&actor, Section::Tasks),
        words: act.words(),
        key: random_token().expose().to_owned(),
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
    actor.require(Action::RunTasks)?;
    let picked = Picked::read(fields)?;
    let act = Act::parse(&picked.act)?;
    let mut lines = Vec::with_capacity(picked.ids.len());
    for id in picked.ids {
        let done = act.carry_out(service, &actor, TaskId(id), &picked.key);
        lines.push(match done.await {
            Ok(task) => line(act, id, &task),
            Err(error) => {
                let seen = service.task(&actor, TaskId(id)).await.ok();
                Line::of(id, seen.map(|task| task.name), error)?
            }
        });
    }
    page::html(&DonePage {
        shell: Shell::of(&actor, Section::Tasks),
        words: act.words(),
        lines,
    })
}

fn item(task: &Task, note: &str) -> Item {
    Item {
        id: task.id.0,
        name: Some(task.name.clone()),
        note: note.to_owned(),
    }
}

fn line(act: Act, id: i64, task: &Task) -> Line {
    let note = match act {
        Act::Cancel if task.state.has_ended() => "Cancelled before it began.",
        Act::Cancel => "Its end is asked for.",
        Act::Rerun => "It runs again.",
    };
    let new = task.id.0;
    Line {
        item: Item {
            id,
            ..item(task, note)
        },
        refused: false,
        new: (new != id).then(|| (format!("/tasks/{new}"), new)),
    }
}
