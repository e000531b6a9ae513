//! Names of regions.

use crate::{ParseError, text::serde_as_text};
use std::{fmt, str::FromStr};

/// The name of a region: lower-case letters, digits and inner hyphens, at most 63.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionName(String);

impl RegionName {
    /// The region that every installation has: a folder under its home.
    #[must_use]
    pub fn local() -> Self {
        Self("local".to_owned())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RegionName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let ends = !text.starts_with('-') && !text.ends_with('-');
        if text.is_empty() || text.len() > 63 || !known || !ends {
            let why = "expected 1 to 63 lower-case letters, digits and inner hyphens";
            return Err(ParseError::new(text, "a region name", why));
        }
        Ok(Self(text.to_owned()))
    }
}

serde_as_text!(RegionName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_safe_in_a_path() {
        assert!("eu-west-1".parse::<RegionName>().is_ok());
        for text in ["", "-a", "a-", "..", "a/b", "A", "a_b"] {
            assert!(text.parse::<RegionName>().is_err(), "{text}");
        }
    }
}
