//! Launch permissions: who may see and launch an image beside its owner.
//!
//! ```text
//! implicit   the owner, who has no entry
//! explicit   {"UserId": "123456789012"}   {"OrganizationArn": "arn:…"}   {"OrganizationalUnitArn": "arn:…"}
//! public     {"Group": "all"}
//! ```
//! An organisation is no more than its ARN: which of them an account belongs to, the account's configuration says.

use crate::{Error, Image, ImageState};
use kiln_types::{AccountId, Grantee, Timestamp};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One entry of an image's launch permissions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LaunchPermission {
    /// The accounts of an organisation.
    OrganizationArn(String),
    /// The accounts of a part of an organisation.
    OrganizationalUnitArn(String),
    /// Everybody, or one account.
    #[serde(untagged)]
    To(Grantee),
}

impl LaunchPermission {
    /// The entry that makes an image public.
    pub const PUBLIC: Self = Self::To(Grantee::PUBLIC);
}

impl fmt::Display for LaunchPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(grantee) => grantee.fmt(f),
            Self::OrganizationArn(arn) | Self::OrganizationalUnitArn(arn) => f.write_str(arn),
        }
    }
}

impl FromStr for LaunchPermission {
    type Err = Error;

    /// Reads `public`, `account:123456789012` or an organisation's ARN.
    fn from_str(text: &str) -> Result<Self, Error> {
        let permission = match text.starts_with("arn:") {
            true => organization(text),
            false => text.parse().ok().map(Self::To),
        };
        permission.ok_or_else(|| Error::PermissionMalformed { text: text.to_owned() })
    }
}

/// Reads `arn:aws:organizations::123456789012:organization/o-…` or `…:ou/o-…/ou-…`.
fn organization(arn: &str) -> Option<LaunchPermission> {
    let [_, partition, "organizations", "", account, resource] =
        *arn.splitn(6, ':').collect::<Vec<_>>().as_slice()
    else {
        return None;
    };
    account.parse::<AccountId>().ok().filter(|_| partition.starts_with("aws"))?;
    let id = |text: &str, prefix: &str| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
    };
    match *resource.split('/').collect::<Vec<_>>().as_slice() {
        ["organization", whole] if id(whole, "o-") => Some(LaunchPermission::OrganizationArn(arn.to_owned())),
        ["ou", whole, part] if id(whole, "o-") && id(part, "ou-") => {
            Some(LaunchPermission::OrganizationalUnitArn(arn.to_owned()))
        }
        _ => None,
    }
}

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The account.
    pub account: AccountId,
    /// The ARNs of the organisations and of their parts that it belongs to.
    pub organizations: Vec<String>,
}

impl From<AccountId> for Viewer {
    fn from(account: AccountId) -> Self {
        Self { account, organizations: Vec::new() }
    }
}

impl Viewer {
    /// Says whether an image was shared with this account, not counting that everybody has it.
    #[must_use]
    pub fn has_share(&self, image: &Image) -> bool {
        image.launch_permissions.iter().any(|permission| match permission {
            LaunchPermission::To(grantee) => *grantee == Grantee::UserId(self.account),
            LaunchPermission::OrganizationArn(arn) | LaunchPermission::OrganizationalUnitArn(arn) => {
                self.organizations.contains(arn)
            }
        })
    }

    /// Says whether this account owns an image.
    #[must_use]
    pub fn owns(&self, image: &Image) -> bool {
        image.owner_id == self.account
    }

    /// Says whether an image is there for this account at all. What it may see, it may launch.
    #[must_use]
    pub fn sees(&self, image: &Image) -> bool {
        match image.state {
            ImageState::Deregistered => false,
            _ if self.owns(image) => true,
            ImageState::Available => image.public || self.has_share(image),
            _ => false,
        }
    }

    /// Returns an image as this account sees it: what is the owner's own is left out for others.
    #[must_use]
    pub fn view(&self, mut image: Image) -> Image {
        if !self.owns(&image) {
            image.tags.clear();
            image.launch_permissions.clear();
            image.deregistration_protection = crate::DeregistrationProtection::default();
            image.kiln.protected_until = None;
        }
        image
    }

    /// Says whether a list shows an image that this account sees: not to others once it is deprecated.
    pub(crate) fn finds(&self, image: &Image, now: Timestamp) -> bool {
        self.owns(image) || image.deprecation_time.is_none_or(|time| time > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_written_as_they_are_read() {
        let organization = "arn:aws:organizations::123456789012:organization/o-abc123";
        let unit = "arn:aws:organizations::123456789012:ou/o-abc123/ou-1-2";
        for (text, json) in [
            ("public", r#"{"Group":"all"}"#.to_owned()),
            ("account:123456789012", r#"{"UserId":"123456789012"}"#.to_owned()),
            (organization, format!(r#"{{"OrganizationArn":"{organization}"}}"#)),
            (unit, format!(r#"{{"OrganizationalUnitArn":"{unit}"}}"#)),
        ] {
            let permission: LaunchPermission = text.parse().unwrap();
            assert_eq!(permission.to_string(), text);
            assert_eq!(serde_json::to_string(&permission).unwrap(), json);
            assert_eq!(serde_json::from_str::<LaunchPermission>(&json).unwrap(), permission);
        }
        assert_eq!("123456789012".parse::<LaunchPermission>().unwrap().to_string(), "account:123456789012");
    }

    #[test]
    fn what_is_no_account_and_no_organisation_is_refused() {
        for text in [
            "",
            "42",
            "account:",
            "account:12345678901x",
            "arn:aws:iam::123456789012:user/x",
            "arn:aws:organizations::123456789012:organization/x-1",
            "arn:aws:organizations::123456789012:ou/o-1",
            "arn:aws:organizations::123456789012:organization/o-1/../o-2",
            "arn:aws:organizations:",
        ] {
            let error = text.parse::<LaunchPermission>().unwrap_err();
            assert_eq!(error.code(), "InvalidAMIAttributeItemValue", "{text}");
        }
    }
}
