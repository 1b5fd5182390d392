use super::input::{FromJson, Input, Members, Nullable, Number, Texts};
use super::wire::{BecomeJson, TaskJson};
use super::word::OneOf;
use crate::domain::{
    self, Amendment, Become, BecomeMethod, Error, InstanceId, Launch, Mode, NewTask, Result, State,
};
use crate::service::TaskUpdate;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem_openapi::Object;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use url::Url;

/// An integer, or a string that holds one. Written out, because what poem-openapi makes of a union
/// is said to be an object, which neither of the two is.
pub struct NumberOrText(pub i64);

impl Type for NumberOrText {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "NumberOrText".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            any_of: vec![i64::schema_ref(), String::schema_ref()],
            ..MetaSchema::ANY
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for NumberOrText {
    fn to_json(&self) -> Option<Value> {
        self.0.to_json()
    }
}

impl ParseFromJSON for NumberOrText {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let number = i64::parse_from_json(value).map_err(ParseError::propagate)?;
        Ok(Self(number))
    }
}

/// What is needed to post a task.
#[derive(Object)]
#[oai(rename = "NewTask", example, skip_serializing_if_is_none)]
pub struct NewTaskBody {
    /// What to call it: 1 to 255 characters.
    name: String,
    /// A description; empty unless given.
    tag: Option<String>,
    /// The id of the instance.
    instance: NumberOrText,
    /// What to run: 1 to 120,000 bytes, no NUL; several lines are fine. With an `interpreter` up
    /// to 4 MiB.
    script: String,
    /// The user to log in as: 1 to 64 letters, digits and `. _ @ + - $ \`, not beginning with `-`.
    user: String,
    /// A deadline for the whole run, in seconds.
    #[oai(nullable)]
    timeout: Option<u32>,
    /// `attached` ends with the server's connection, `detached` goes on without it; the instance's
    /// own unless given.
    mode: Option<OneOf<Mode>>,
    /// Environment variables: up to 256, 65,536 bytes in all. They need no `AcceptEnv`, and `ps`
    /// does not show them.
    env: Option<HashMap<String, String>>,
    /// The directory to start in.
    #[oai(nullable)]
    cwd: Option<String>,
    /// What the script reads, up to 16 MiB; nothing unless given.
    stdin: Option<String>,
    /// The same in base64, for what is not text.
    stdin_base64: Option<String>,
    /// What runs the script, which it gets as a file, such as `python3`; `#!` for what the script's
    /// own first line names; the login shell unless given.
    #[oai(nullable)]
    interpreter: Option<String>,
    /// As which other user to run.
    #[oai(rename = "become", nullable)]
    become_user: Option<BecomeJson>,
    /// Whether to run on a terminal; then everything is standard output.
    pty: Option<bool>,
    /// Identities of the kind `secret` by the names that the script has for them: it finds each value in the file
    /// that the variable NAME_FILE names.
    secrets: Option<HashMap<String, String>>,
    /// How often to try again where the machine cannot be reached: 0, unless given, to 100.
    retries: Option<u32>,
    /// Seconds before that; 10 unless given.
    retry_delay: Option<u32>,
    /// Whether it stays when it has ended, whatever `[retention]` says; false unless given.
    pinned: Option<bool>,
}

impl Example for NewTaskBody {
    fn example() -> Self {
        Self {
            name: "ls".into(),
            tag: Some("essai".into()),
            instance: NumberOrText(1),
            script: "ls -als".into(),
            user: "antoine".into(),
            timeout: Some(600),
            mode: None,
            env: None,
            cwd: None,
            stdin: None,
            stdin_base64: None,
            interpreter: None,
            become_user: None,
            pty: None,
            secrets: None,
            retries: None,
            retry_delay: None,
            pinned: None,
        }
    }
}

impl Input for NewTask {
    type Schema = NewTaskBody;

    fn large(members: &Members) -> usize {
        let script = members.has("interpreter").then_some("script");
        let names: Vec<_> = ["stdin", "stdin_base64"]
            .into_iter()
            .chain(script)
            .collect();
        members.size(&names)
    }

    fn read(mut members: Members) -> Result<Self> {
        let new = Self {
            name: members.need("name"),
            tag: members.take("tag").unwrap_or_default(),
            instance: InstanceId(members.need::<Number>("instance").0),
            script: members.need("script"),
            user: members.need("user"),
            timeout: timeout(&mut members),
            mode: members.take::<OneOf<Mode>>("mode").map(|it| it.0),
            launch: launch(&mut members),
            secrets: secrets(&mut members),
            stdin: stdin(&mut members),
            retries: count(&mut members, "retries", domain::retries).unwrap_or(0),
            retry_delay: count(&mut members, "retry_delay", domain::retry_delay)
                .unwrap_or(NewTask::RETRY_DELAY),
            pinned: members.take("pinned").unwrap_or(false),
        };
        if new.instance.0 < 1 {
            members.wrong("instance", "must be the id of an instance");
        }
        members.finish(new, Self::validate)
    }
}

fn secrets(members: &mut Members) -> Vec<(String, String)> {
    members.take::<Texts>("secrets").unwrap_or_default().0
}

fn timeout(members: &mut Members) -> Option<u32> {
    count(members, "timeout", domain::timeout)
}

fn count(
    members: &mut Members,
    name: &'static str,
    check: fn(i64) -> std::result::Result<(), String>,
) -> Option<u32> {
    let number = members.take::<Nullable<i64>>(name)?.0?;
    if let Err(message) = check(number) {
        members.wrong(name, message);
    }
    u32::try_from(number).ok()
}

fn launch(members: &mut Members) -> Launch {
    let mut text = |name| members.take::<Nullable<String>>(name).and_then(|it| it.0);
    Launch {
        cwd: text("cwd"),
        interpreter: text("interpreter"),
        env: members.take::<Texts>("env").unwrap_or_default().0,
        become_user: members
            .take::<Nullable<Become>>("become")
            .and_then(|it| it.0),
        pty: members.take("pty").unwrap_or(false),
    }
}

fn stdin(members: &mut Members) -> Option<Vec<u8>> {
    let text: Option<String> = members.take("stdin");
    let encoded: Option<Base64> = members.take("stdin_base64");
    if text.is_some() && encoded.is_some() {
        members.wrong("stdin_base64", "cannot be given beside stdin");
    }
    text.map(String::into_bytes)
        .or(encoded.map(|bytes| bytes.0))
}

/// Bytes as base64 with padding (RFC 4648 section 4).
struct Base64(Vec<u8>);

impl FromJson for Base64 {
    fn expected() -> String {
        "a string of base64".into()
    }

    fn from_json(value: Value) -> Option<Self> {
        STANDARD.decode(value.as_str()?).ok().map(Self)
    }
}

impl FromJson for Become {
    fn expected() -> String {
        "an object with user, and perhaps method (sudo or doas) and password (a name that the \
         server's configuration has)"
            .into()
    }

    fn from_json(value: Value) -> Option<Self> {
        let Value::Object(mut members) = value else {
            return None;
        };
        let user = String::from_json(members.remove("user")?)?;
        let method = match members.remove("method") {
            Some(word) => OneOf::from_json(word)?.0,
            None => BecomeMethod::default(),
        };
        let password = match members.remove("password") {
            Some(name) => Nullable::from_json(name)?.0,
            None => None,
        };
        members.is_empty().then_some(Self {
            method,
            user,
            password,
        })
    }
}

/// The members of a body that may not be changed, as they were sent.
pub struct Fixed(Map<String, Value>);

impl Fixed {
    /// Takes those of these members that are there.
    pub fn take(members: &mut Members, names: &[&'static str]) -> Self {
        let given = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), members.take_raw(name)?)));
        Self(given.collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes them where they say what is, or may have changed by themselves.
    ///
    /// # Errors
    /// A conflict that names one which does not.
    pub fn require_unchanged(self, present: &impl Serialize, moving: &[&str]) -> Result<()> {
        let present = serde_json::to_value(present).map_err(Error::internal)?;
        for (name, value) in self.0 {
            let same = match name.as_str() {
                "uri" => path(&value).is_some_and(|it| Some(it) == path(&present[&name])),
                "instance" => value.as_str().map_or_else(
                    || value == present[&name],
                    |text| text.parse().ok() == present[&name].as_i64(),
                ),
                _ => value == present[&name],
            };
            if !same && !moving.contains(&name.as_str()) {
                return Err(Error::conflict(format!(
                    "{name}: may not be changed, and is not what it is now."
                )));
            }
        }
        Ok(())
    }
}

/// The path of a URL: one thing has one path, whatever name of the server the caller used.
fn path(uri: &Value) -> Option<String> {
    let text = uri.as_str()?;
    if text.starts_with('/') {
        return Some(text.to_owned());
    }
    Url::parse(text).ok().map(|url| url.path().to_owned())
}

/// The id that a change names.
pub fn id(members: &mut Members) -> Option<i64> {
    let id = members.take::<i64>("id")?;
    if id < 1 {
        members.wrong("id", "must be an integer from 1 to 9223372036854775807");
    }
    Some(id)
}

/// The id that a change in a list's own path names.
///
/// # Errors
/// Where it names none.
pub fn named(id: Option<i64>) -> Result<i64> {
    id.ok_or_else(|| Error::field("id", "is required"))
}

/// The path says which one is changed, and the body may say it too.
///
/// # Errors
/// A conflict where they do not agree.
pub fn require_same_id(named: Option<i64>, id: i64) -> Result<()> {
    match named {
        Some(other) if other != id => Err(Error::conflict(format!(
            "id: may not be changed; the path says {id}."
        ))),
        _ => Ok(()),
    }
}

/// A partial update of a task: what is left out stays as it is. The other members of a task are
/// taken too where they are unchanged, so that what was read can be sent back.
#[derive(Object)]
#[oai(rename = "TaskChange", example, skip_serializing_if_is_none)]
pub struct TaskChangeBody {
    /// Which task; required where the path does not say it.
    id: Option<i64>,
    /// `ABORT` asks for a cancel; no other state may be set.
    state: Option<OneOf<State>>,
    /// Whether it stays, whatever `[retention]` says; at any time.
    pinned: Option<bool>,
    /// A new name; after the end.
    name: Option<String>,
    /// A new description; after the end.
    tag: Option<String>,
    /// A new exit code, or null; after the end.
    #[oai(nullable)]
    rc: Option<NumberOrText>,
    /// What to show as standard output from now on; after the end.
    stdout: Option<String>,
    /// What to show as standard error from now on; after the end.
    stderr: Option<String>,
}

impl Example for TaskChangeBody {
    fn example() -> Self {
        Self {
            id: Some(1),
            state: None,
            pinned: None,
            name: None,
            tag: None,
            rc: Some(NumberOrText(5)),
            stdout: Some("ok".into()),
            stderr: None,
        }
    }
}

/// What a PUT on a task says.
pub struct TaskChange {
    /// The task that it names.
    pub id: Option<i64>,
    update: TaskUpdate,
    fixed: Fixed,
}

impl TaskChange {
    const FIXED: [&'static str; 29] = [
        "uri",
        "instance",
        "script",
        "user",
        "start",
        "end",
        "outcome",
        "reason",
        "signal",
        "created",
        "created_by",
        "timeout",
        "mode",
        "env",
        "cwd",
        "interpreter",
        "become",
        "pty",
        "secrets",
        "approval",
        "masked",
        "stdin_bytes",
        "retries",
        "retry_delay",
        "attempt",
        "cancel_requested",
        "amended",
        "stdout_bytes",
        "stderr_bytes",
    ];
    const GAPS: [&'static str; 2] = ["stdout_gap", "stderr_gap"];
    /// What the server itself changes all the time until a task has ended: a caller cannot know
    /// the present value.
    const MOVING: [&'static str; 6] = [
        "reason",
        "attempt",
        "stdout_bytes",
        "stderr_bytes",
        "stdout_gap",
        "stderr_gap",
    ];

    /// Whether the task has to be looked at before this can be done.
    pub fn has_fixed(&self) -> bool {
        !self.fixed.is_empty()
    }

    /// What is to be done to task `id`.
    ///
    /// # Errors
    /// A conflict where it names a member that may not change, with another value than `present`.
    pub fn onto(self, id: i64, present: Option<&TaskJson>) -> Result<TaskUpdate> {
        require_same_id(self.id, id)?;
        if let Some(present) = present {
            let moving: &[_] = match present.state.0 {
                State::Init | State::Current => &Self::MOVING,
                State::Done | State::Abort => &[],
            };
            self.fixed.require_unchanged(present, moving)?;
        }
        Ok(self.update)
    }
}

impl Input for TaskChange {
    type Schema = TaskChangeBody;

    fn read(mut members: Members) -> Result<Self> {
        let rc = members.take::<Nullable<Number>>("rc");
        let change = Self {
            id: id(&mut members),
            update: TaskUpdate {
                state: members.take::<OneOf<State>>("state").map(|it| it.0),
                pinned: members.take("pinned"),
                amend: Amendment {
                    name: members.take("name"),
                    tag: members.take("tag"),
                    rc: rc.map(|Nullable(rc)| rc.map(|number| number.0)),
                    stdout: members.take("stdout"),
                    stderr: members.take("stderr"),
                },
            },
            fixed: Fixed::take(&mut members, &[&Self::FIXED[..], &Self::GAPS].concat()),
        };
        members.finish(change, |change| change.update.amend.validate())
    }
}
