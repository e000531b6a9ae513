//! Device names of block device mappings.

use crate::{ParseError, text::serde_as_text};
use std::{fmt, str::FromStr};

/// A device name as EC2 takes it: `/dev/sda1`, `/dev/xvda`, `/dev/sdf`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

impl DeviceName {
    /// The root device of an image whose volume is a whole disk.
    #[must_use]
    pub fn root() -> Self {
        Self("/dev/sda1".to_owned())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for DeviceName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let letters = |rest: &str, least, most| {
            (least..=most).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase())
        };
        let short = text.strip_prefix("/dev/").unwrap_or(text);
        let known = matches!(short, "sda1" | "sda2" | "xvda")
            || short.strip_prefix("sd").is_some_and(|rest| letters(rest, 1, 1))
            || short.strip_prefix("xvd").is_some_and(|rest| letters(rest, 1, 2));
        if !known {
            let why = "expected /dev/sda1, /dev/sd[a-z], /dev/xvda or /dev/xvd[b-c][a-z]";
            return Err(ParseError::new(text, "a device name", why));
        }
        Ok(Self(format!("/dev/{short}")))
    }
}

serde_as_text!(DeviceName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ec2s_names() {
        for text in ["/dev/sda1", "/dev/sdf", "/dev/xvda", "/dev/xvdba", "sdb"] {
            assert!(text.parse::<DeviceName>().is_ok(), "{text}");
        }
        for text in ["", "/dev/", "/dev/sda3", "/dev/nvme0n1", "/dev/../etc", "/dev/sd1"] {
            assert!(text.parse::<DeviceName>().is_err(), "{text}");
        }
    }
}
