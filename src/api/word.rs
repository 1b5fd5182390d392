use super::param::Value;
use crate::domain::{
    ApprovalDecision, ApprovalState, BecomeMethod, CheckStep, Fate, HostKeyAct, HostKeyDecision,
    HostKeyState, IdentityKind, InstanceState, LoginMethod, Mode, Order, Outcome, Role, SshLibrary,
    State,
};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// A closed list of words: the domain's own enums, as the API writes and reads them.
pub trait Word: Copy + Send + Sync + 'static {
    /// The type's name.
    const NAME: &'static str;
    /// Every value.
    const ALL: &'static [Self];

    /// How it is written.
    fn word(self) -> &'static str;

    /// Reads it.
    fn read(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.word() == text)
    }

    /// What it must be, to go after "must be".
    fn expected() -> String {
        let words: Vec<_> = Self::ALL.iter().map(|it| it.word()).collect();
        format!("one of {}", words.join(", "))
    }
}

/// A word of a closed list, with its schema.
#[derive(Debug, Clone, Copy)]
pub struct OneOf<T>(pub T);

/// The words of the domain that have `ALL` and `as_str`.
macro_rules! words {
    ($($name:ident as $shown:literal),+ $(,)?) => {
        $(impl Word for $name {
            const NAME: &'static str = $shown;
            const ALL: &'static [Self] = &$name::ALL;

            fn word(self) -> &'static str {
                self.as_str()
            }
        })+
    };
}

words! {
    ApprovalDecision as "ApprovalDecision",
    ApprovalState as "ApprovalState",
    BecomeMethod as "BecomeMethod",
    CheckStep as "CheckStep",
    Fate as "Fate",
    HostKeyAct as "HostKeyAct",
    HostKeyDecision as "HostKeyDecision",
    HostKeyState as "HostKeyState",
    IdentityKind as "IdentityKind",
    LoginMethod as "LoginMethod",
    Mode as "Mode",
    Outcome as "Outcome",
    Role as "Role",
    SshLibrary as "SshLibrary",
    State as "TaskState",
}

impl Word for InstanceState {
    const NAME: &'static str = "InstanceState";
    const ALL: &'static [Self] = &[Self::Active, Self::Deactivate];

    fn word(self) -> &'static str {
        self.as_str()
    }

    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Word for Order {
    const NAME: &'static str = "Order";
    const ALL: &'static [Self] = &[Self::Asc, Self::Desc];

    fn word(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

/// Whether an answer carries the output of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// `stdout` and `stderr` are there, whole.
    #[default]
    Full,
    /// `stdout` and `stderr` are left out.
    None,
}

impl Word for Output {
    const NAME: &'static str = "Output";
    const ALL: &'static [Self] = &[Self::Full, Self::None];

    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

impl<T: Word> Value for OneOf<T> {
    fn schema() -> MetaSchema {
        MetaSchema {
            enum_items: T::ALL.iter().map(|it| it.word().into()).collect(),
            ..MetaSchema::new("string")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        T::read(text)
            .map(Self)
            .ok_or_else(|| format!("must be {}", T::expected()))
    }
}

impl<T: Word> Serialize for OneOf<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

impl<T: Word> Type for OneOf<T> {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(Self::schema()))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Word> ToJSON for OneOf<T> {
    fn to_json(&self) -> Option<serde_json::Value> {
        Some(self.0.word().into())
    }
}

impl<T: Word> ParseFromJSON for OneOf<T> {
    fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
        value
            .as_ref()
            .and_then(|value| value.as_str())
            .and_then(T::read)
            .map(Self)
            .ok_or_else(|| ParseError::custom(T::expected()))
    }
}
