//! The one error of this crate: a text that is not a value of the type asked for.

/// Says that a text is not a value of the type it was parsed as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {why}")]
pub struct ParseError {
    /// The text as it was given.
    pub text: String,
    /// The kind of value expected, with its article: "an image id".
    pub what: &'static str,
    /// What is wrong with it, or what it should look like.
    pub why: String,
}

impl ParseError {
    pub(crate) fn new(text: &str, what: &'static str, why: impl Into<String>) -> Self {
        Self { text: text.to_owned(), what, why: why.into() }
    }
}
