//! Account ids: 12 digits.

use crate::{ParseError, text::serde_as_text};
use std::{fmt, str::FromStr};

/// The account that owns an image or snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

impl AccountId {
    /// The owner where an installation has not chosen one.
    pub const LOCAL: Self = Self(0);
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl FromStr for AccountId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.map(Self).ok_or_else(|| ParseError::new(text, "an account id", "expected 12 digits"))
    }
}

serde_as_text!(AccountId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_digits() {
        assert_eq!("000000000042".parse::<AccountId>().unwrap().to_string(), "000000000042");
        for text in ["", "42", "+00000000042", "0000000000421", "00000000004x"] {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
    }
}
