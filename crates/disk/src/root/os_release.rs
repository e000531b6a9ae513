//! `/etc/os-release`: which system this is (os-release(5)).

use super::TEXT_LIMIT;
use crate::{Error, tree::Tree};

/// What `/etc/os-release` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OsRelease {
    /// `ID`, like `debian`.
    pub id: String,
    /// `VERSION_ID`, like `12`.
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`, like `bookworm`.
    pub codename: Option<String>,
    /// `PRETTY_NAME`.
    pub pretty_name: Option<String>,
}

impl OsRelease {
    /// Reads it from a root; `None` when the root does not say.
    pub(super) fn read(tree: &Tree) -> Result<Option<Self>, Error> {
        for path in ["/etc/os-release", "/usr/lib/os-release"] {
            if let Some(text) = tree.read_text(path, TEXT_LIMIT)? {
                return Ok(Some(Self::parse(&text)));
            }
        }
        Ok(None)
    }

    pub(super) fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.trim().split_once('='));
            let (_, value) = lines.rev().find(|(name, _)| *name == key)?;
            let quote = |c| matches!(c, '"' | '\'');
            Some(value.trim_matches(quote).to_owned())
        };
        Self {
            id: value("ID").unwrap_or_else(|| "linux".to_owned()),
            version_id: value("VERSION_ID"),
            codename: value("VERSION_CODENAME"),
            pretty_name: value("PRETTY_NAME"),
        }
    }
}
