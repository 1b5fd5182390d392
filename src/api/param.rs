use crate::domain::Error;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

/// What a parameter's text can be read as.
pub trait Value: Sized + Send + Sync {
    /// How the document describes it.
    fn schema() -> MetaSchema;

    /// Reads it.
    ///
    /// # Errors
    /// The sentence for the caller: what would be right.
    fn parse(text: &str) -> Result<Self, String>;
}

impl Value for String {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.contains('\0') {
            true => Err("must not hold a NUL character".into()),
            false => Ok(text.to_owned()),
        }
    }
}

impl Value for bool {
    fn schema() -> MetaSchema {
        MetaSchema::new("boolean")
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be true or false".into())
    }
}

/// An integer from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy)]
pub struct Int<const MIN: i64, const MAX: i64>(pub i64);

/// An id of a task or an instance.
pub type Id = Int<1, { i64::MAX }>;

impl<const MIN: i64, const MAX: i64> Value for Int<MIN, MAX> {
    #[allow(
        clippy::cast_precision_loss,
        reason = "JSON has no exact 64-bit integers"
    )]
    fn schema() -> MetaSchema {
        MetaSchema {
            minimum: Some(MIN as f64),
            maximum: (MAX != i64::MAX).then_some(MAX as f64),
            ..MetaSchema::new_with_format("integer", "int64")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        Some(text)
            .filter(|text| !text.starts_with('+'))
            .and_then(|text| text.parse().ok())
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| format!("must be an integer from {MIN} to {MAX}"))
    }
}

/// A parameter of the query string; it may be left out and stands at most once.
pub struct Query<T>(pub Option<T>);

/// The id in the path. Every path here has at most that one parameter.
pub struct Path<T>(pub T);

/// A header of the request. Several lines of it are one list (RFC 9110 section 5.3).
pub struct Header<T>(pub Option<T>);

fn read<T: Value>(name: &'static str, text: &str) -> poem::Result<T> {
    Ok(T::parse(text).map_err(|message| Error::field(name, message))?)
}

impl<'a, T: Value> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let query = request.uri().query().unwrap_or_default();
        let mut values = url::form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name == options.name)
            .map(|(_, value)| value);
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        if values.next().is_some() {
            return Err(Error::field(options.name, "must be given once").into());
        }
        // What is not UTF-8 was decoded to U+FFFD, which hardly anybody means.
        let meant = || query.to_ascii_uppercase().contains("%EF%BF%BD");
        if value.contains(char::REPLACEMENT_CHARACTER) && !meant() {
            return Err(Error::field(options.name, "must be UTF-8, percent-encoded").into());
        }
        read(options.name, &value).map(|value| Self(Some(value)))
    }
}

impl<'a, T: Value> ApiExtractor<'a> for Path<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Path)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let text = request.raw_path_param(options.name).unwrap_or_default();
        read("id", text).map(Self)
    }
}

impl<'a, T: Value> ApiExtractor<'a> for Header<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let lines = request
            .headers()
            .get_all(options.name)
            .iter()
            .map(|line| line.to_str())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::field(options.name, "must be visible ASCII characters"))?;
        if lines.is_empty() {
            return Ok(Self(None));
        }
        read(options.name, &lines.join(", ")).map(|value| Self(Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_from_1_to_the_largest_that_the_store_holds() {
        for good in ["1", "9223372036854775807"] {
            assert!(Id::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "0",
            "-1",
            "+1",
            "abc",
            "",
            "1.0",
            " 1",
            "99999999999999999999",
        ] {
            assert!(Id::parse(bad).is_err(), "{bad}");
        }
    }
}
