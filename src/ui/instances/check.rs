use super::id_of;
use crate::domain::{Become, BecomeMethod, Check, CheckFinding, CheckRequest, Error, Instance};
use crate::http::{BaseUrl, Caller, Form};
use crate::service::Service;
use crate::ui::filters;
use crate::ui::language;
use crate::ui::page::{self, Section, Shell};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::{Data, Path};
use poem::{Response, Result, handler};
use serde::{Deserialize, Serialize};

/// The form that asks for a check.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    user: String,
    become_user: String,
    become_method: String,
}

impl Asked {
    fn become_user(&self) -> crate::domain::Result<Option<Become>> {
        if self.become_user.is_empty() {
            return Ok(None);
        }
        let method = BecomeMethod::parse(&self.become_method)
            .ok_or_else(|| Error::field("become_method", "must be sudo or doas"))?;
        Ok(Some(Become {
            method,
            user: self.become_user.clone(),
            password: None,
        }))
    }
}

#[derive(Template)]
#[template(path = "pages/instances/check.html")]
struct CheckPage {
    shell: Shell,
    instance: Instance,
    check: Check,
    user: String,
    become_user: String,
    become_method: String,
    terminal: Terminal,
}

impl CheckPage {
    /// What was found and what to do about it, which are one text in the catalogue.
    fn said(&self, finding: &CheckFinding) -> (String, Option<String>) {
        let Some(advice) = &finding.advice else {
            return (language::sentence(&finding.detail), None);
        };
        let whole = language::sentence(format!("{} {advice}", finding.detail));
        match whole.split_once(". ") {
            Some((found, advice)) => (format!("{found}."), Some(advice.to_owned())),
            None => (whole, None),
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    user: &'a str,
    #[serde(rename = "become", skip_serializing_if = "Option::is_none")]
    become_user: Option<BecomeBody<'a>>,
}

#[derive(Serialize)]
struct BecomeBody<'a> {
    user: &'a str,
    method: &'static str,
}

#[handler]
pub async fn try_out(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Path(id): Path<String>,
    Form(asked): Form<Asked>,
) -> Result<Response> {
    let id = id_of(&id)?;
    let become_user = asked.become_user()?;
    let body = Body {
        user: &asked.user,
        become_user: become_user.as_ref().map(|it| BecomeBody {
            user: &it.user,
            method: it.method.as_str(),
        }),
    };
    let path = format!("/wsexec/instances/{id}/check");
    let terminal = Terminal::of(&base, &actor).send("Check it", ("POST", path), &body);
    let request = CheckRequest {
        user: asked.user.clone(),
        become_user,
    };
    let check = service.check_instance(&actor, id, request).await?;
    page::html(&CheckPage {
        shell: Shell::of(&actor, Section::Instances),
        instance: service.instance(&actor, id).await?,
        check,
        terminal,
        user: asked.user,
        become_user: asked.become_user,
        become_method: asked.become_method,
    })
}
