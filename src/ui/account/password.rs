use super::show_again;
use crate::domain::{Error, Secret};
use crate::http::{self, BaseUrl, Caller, Form};
use crate::service::Service;
use crate::ui::page;
use poem::web::Data;
use poem::{Response, Result, handler};
use serde::Deserialize;

/// The form; a browser's keeper of passwords knows its fields by their `autocomplete`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Typed {
    old: String,
    new: String,
    again: String,
}

#[handler]
pub async fn change(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let (old, new) = (Secret::new(typed.old), Secret::new(typed.new));
    if new.expose() != typed.again {
        let differs = Error::field("again", "is not the same as the new password");
        return show_again(service, (&actor, &base), differs).await;
    }
    match service.change_own_password(&actor, &old, &new).await {
        Ok(()) => {
            let mut response = page::see("/login?changed=yes");
            http::clear_session(&mut response);
            Ok(response)
        }
        Err(error) => show_again(service, (&actor, &base), error).await,
    }
}
