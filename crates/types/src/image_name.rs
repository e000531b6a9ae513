//! Names of images, in EC2's set of characters.

use crate::{ParseError, text::serde_as_text};
use std::{fmt, str::FromStr};

/// Characters that EC2 allows beside letters and digits.
const PUNCTUATION: &str = "()[] ./-'@_";

/// An image's name: 3 to 128 letters, digits and `( ) [ ] space . / - ' @ _`; unique per owner and region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(String);

impl ImageName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ImageName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = |why: String| ParseError::new(text, "an image name", why);
        if !(3..=128).contains(&text.len()) {
            return Err(bad("expected 3 to 128 characters".to_owned()));
        }
        match text.chars().find(|c| !c.is_ascii_alphanumeric() && !PUNCTUATION.contains(*c)) {
            Some(other) => {
                Err(bad(format!("{other:?} is not among letters, digits and ( ) [ ] space . / - ' @ _")))
            }
            None => Ok(Self(text.to_owned())),
        }
    }
}

serde_as_text!(ImageName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ec2s_set() {
        assert!("debian-web (v1) [x] it's/@a_b.c".parse::<ImageName>().is_ok());
        for text in ["", "ab", "a:b", "a\nb", "käse", &"x".repeat(129)] {
            assert!(text.parse::<ImageName>().is_err(), "{text}");
        }
    }
}
