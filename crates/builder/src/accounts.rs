//! The accounts that the host's configuration names.
//!
//! ```toml
//! [account]
//! id = "123456789012"               # whose this installation is: it acts as this account, and what it makes belongs to it
//! names = { ci = "210987654321" }   # others that it may act as: --account ci
//! ```
//! Accounts keep the images of teams apart that share a region; who can write to a region's place can act as any of them.

use crate::Error;
use kiln_types::AccountId;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A configuration that says nothing useful of accounts.
#[derive(Debug, thiserror::Error)]
#[error("the configuration's [account] table cannot be read")]
pub struct AccountsError(#[from] toml::de::Error);

/// The accounts of the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    id: Option<AccountId>,
    #[serde(default)]
    names: BTreeMap<String, AccountId>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    account: Accounts,
}

impl Accounts {
    /// Reads the `[account]` table of a configuration.
    ///
    /// # Errors
    /// When it is not TOML, an id is none, or the table holds other keys.
    pub fn parse(text: &str) -> Result<Self, AccountsError> {
        Ok(toml::from_str::<File>(text)?.account)
    }

    /// Returns the account that the installation acts as, where the configuration says one.
    #[must_use]
    pub const fn own(&self) -> Option<AccountId> {
        self.id
    }

    /// Lists the other accounts by name.
    pub fn names(&self) -> impl Iterator<Item = (&str, AccountId)> {
        self.names.iter().map(|(name, id)| (name.as_str(), *id))
    }

    /// Returns the account of a name, or of 12 digits.
    ///
    /// # Errors
    /// [`Error::NoSuchAccount`].
    pub fn find(&self, text: &str) -> Result<AccountId, Error> {
        let id = text.parse().ok().or_else(|| self.names.get(text).copied());
        id.ok_or_else(|| Error::NoSuchAccount { name: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_by_id() {
        let text =
            "[account]\nid = \"123456789012\"\nnames = { ci = \"210987654321\" }\n[region.a]\nurl = \"b\"\n";
        let accounts = Accounts::parse(text).unwrap();
        assert_eq!(accounts.own().unwrap().to_string(), "123456789012");
        assert_eq!(accounts.find("ci").unwrap().to_string(), "210987654321");
        assert_eq!(accounts.find("000000000042").unwrap().to_string(), "000000000042");
        assert!(matches!(accounts.find("42"), Err(Error::NoSuchAccount { name }) if name == "42"));
        assert!(Accounts::parse("").unwrap().own().is_none());
        for wrong in ["[account]\nid = \"42\"", "[account]\nname = \"x\"", "[account]\nnames = { a = \"b\" }"]
        {
            assert!(Accounts::parse(wrong).is_err(), "{wrong}");
        }
    }
}
