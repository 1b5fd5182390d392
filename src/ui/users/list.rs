use crate::domain::{Order, Result as Outcome, Role, User};
use crate::http::{BaseUrl, Caller};
use crate::service::Service;
use crate::ui::filters;
use crate::ui::page::{self, Section, Shell};
use crate::ui::paging::{Address, Cursor, Paged, asked};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "pages/users/list.html")]
struct ListPage {
    shell: Shell,
    paged: Paged<User>,
    asked: Asked,
    narrowed: bool,
    roles: [Role; 4],
    terminal: Terminal,
}

/// What the address asks for, as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    q: String,
    role: String,
    login: String,
    #[serde(flatten)]
    cursor: Cursor,
}

impl Asked {
    fn is_role(&self, role: &Role) -> bool {
        self.role == role.as_str()
    }

    fn fits(&self) -> Outcome<impl Fn(&User) -> bool + use<>> {
        let role = asked(&self.role, Role::parse, "role", "is not a role")?;
        let disabled = |word: &str| match word {
            "yes" => Some(false),
            "no" => Some(true),
            _ => None,
        };
        let disabled = asked(&self.login, disabled, "login", "must be yes or no")?;
        let part = self.q.to_lowercase();
        Ok(move |user: &User| {
            role.is_none_or(|role| user.role == role)
                && disabled.is_none_or(|disabled| user.disabled == disabled)
                && user.name.to_lowercase().contains(&part)
        })
    }

    fn narrowing(&self) -> [(&'static str, &String); 3] {
        [("q", &self.q), ("role", &self.role), ("login", &self.login)]
    }

    fn address(&self) -> Address {
        let order = ("order", self.cursor.order());
        Address::new("/users", self.narrowing().into_iter().chain([order]))
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
    let fits = asked.fits()?;
    let mut users = service.users(&actor).await?;
    users.retain(|user| fits(user));
    page::html(&ListPage {
        shell: Shell::of(&actor, Section::Users),
        paged: turn.of_all(users, &asked.address(), |user| &user.name),
        narrowed: asked.narrowing().iter().any(|(_, value)| !value.is_empty()),
        roles: Role::ALL,
        terminal: Terminal::of(&base, &actor)
            .get("List the users", "/wsexec/users")
            .or_there(["user", "list"]),
        asked,
    })
}
