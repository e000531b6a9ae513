//! To whom an owner gives a right: everybody, or an account.
//!
//! ```text
//! public                 {"Group": "all"}
//! account:123456789012   {"UserId": "123456789012"}
//! ```

use crate::{AccountId, ParseError};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Who has a right that its owner gave away, in the shape of EC2's permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Grantee {
    /// Everybody.
    Group(Group),
    /// One account.
    UserId(AccountId),
}

/// The one group that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Group {
    /// Everybody.
    #[serde(rename = "all")]
    All,
}

impl Grantee {
    /// Everybody.
    pub const PUBLIC: Self = Self::Group(Group::All);
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(Group::All) => f.write_str("public"),
            Self::UserId(account) => write!(f, "account:{account}"),
        }
    }
}

impl FromStr for Grantee {
    type Err = ParseError;

    /// Reads `public` or `account:123456789012`; EC2's `all` and bare digits, too.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if matches!(text, "public" | "all") {
            return Ok(Self::PUBLIC);
        }
        let account = text.strip_prefix("account:").unwrap_or(text).parse();
        let expected = "expected public, or account: and 12 digits";
        account
            .map(Self::UserId)
            .map_err(|_no_account| ParseError::new(text, "an account or everybody", expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for (text, json) in
            [("public", r#"{"Group":"all"}"#), ("account:123456789012", r#"{"UserId":"123456789012"}"#)]
        {
            let grantee: Grantee = text.parse().unwrap();
            assert_eq!(grantee.to_string(), text);
            assert_eq!(serde_json::to_string(&grantee).unwrap(), json);
            assert_eq!(serde_json::from_str::<Grantee>(json).unwrap(), grantee);
        }
        assert_eq!("123456789012".parse::<Grantee>().unwrap().to_string(), "account:123456789012");
        for text in ["", "42", "account:", "account:12345678901x", "arn:aws:iam::123456789012:user/x"] {
            assert!(text.parse::<Grantee>().is_err(), "{text}");
        }
    }
}
