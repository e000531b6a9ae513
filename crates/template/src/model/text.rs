//! Texts that may hold a secret, and paths on the host.

use serde::{Serialize, Serializer};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A text in which `${…}` has been replaced.
///
/// It is kept twice: in clear, for the guest alone, and as it may be shown, where a sensitive variable stands
/// as it was written, `${var.password}`. `Display`, `Debug` and `Serialize` give the second, so that neither a
/// message nor a cache key can tell a secret; a cache key then depends on the variable's name only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    clear: String,
    /// Nothing where it is the clear text.
    shown: Option<String>,
}

impl Text {
    /// A text that holds no secret.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { clear: text.into(), shown: None }
    }

    /// A text that is shown as `shown`.
    #[must_use]
    pub fn hidden(clear: impl Into<String>, shown: impl Into<String>) -> Self {
        Self { clear: clear.into(), shown: Some(shown.into()) }
    }

    /// Returns the text in clear: for the guest, never for a message, a log or a record.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.clear
    }

    /// Returns the text as it may be shown.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.clear)
    }

    /// Says whether a secret was replaced in what is shown.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        self.shown.is_some()
    }

    /// Appends another text; what is sensitive stays so.
    pub(crate) fn push(&mut self, other: &Self) {
        if self.shown.is_some() || other.shown.is_some() {
            let shown = self.shown.get_or_insert_with(|| self.clear.clone());
            shown.push_str(other.shown());
        }
        self.clear.push_str(&other.clear);
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.shown())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_sensitive() {
            write!(f, "sensitive ")?;
        }
        fmt::Debug::fmt(self.shown(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

/// A file or folder on the host. Serialised as written, so that a cache key does not depend on where the
/// template lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPath {
    /// The path as written, relative to the template's folder or absolute.
    pub written: String,
    /// The path to open: joined to the template's folder where it is relative.
    pub path: PathBuf,
}

impl HostPath {
    /// Takes a path as written in a template that lies in `folder`.
    #[must_use]
    pub fn new(folder: &Path, written: &str) -> Self {
        Self { written: written.to_owned(), path: folder.join(written) }
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.written)
    }
}

impl Serialize for HostPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}
