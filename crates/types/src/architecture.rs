//! Architectures and root device types, under EC2's names.

use crate::{ParseError, text::serde_as_text};
use std::{fmt, str::FromStr};

/// The processor architecture of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 32-bit x86.
    I386,
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

impl Architecture {
    /// Every architecture, in the order in which they are listed to people.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::I386, Self::Arm64];

    /// Returns EC2's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::I386 => "i386",
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns Debian's name of the port: `amd64`.
    #[must_use]
    pub const fn debian(self) -> &'static str {
        match self {
            Self::I386 => "i386",
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Architecture {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = Self::ALL.into_iter().find(|arch| arch.as_str() == text);
        known.ok_or_else(|| ParseError::new(text, "an architecture", "expected x86_64, i386 or arm64"))
    }
}

serde_as_text!(Architecture);

/// Where an image's root comes from: a snapshot, or a bundle in object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RootDeviceType {
    /// The root is a volume made from a snapshot.
    Ebs,
    /// The root is unpacked from a bundle at launch.
    InstanceStore,
}

impl RootDeviceType {
    /// Returns EC2's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ebs => "ebs",
            Self::InstanceStore => "instance-store",
        }
    }
}

impl fmt::Display for RootDeviceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RootDeviceType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "ebs" => Ok(Self::Ebs),
            "instance-store" => Ok(Self::InstanceStore),
            _ => Err(ParseError::new(text, "a root device type", "expected ebs or instance-store")),
        }
    }
}

serde_as_text!(RootDeviceType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for arch in Architecture::ALL {
            assert_eq!(arch.as_str().parse(), Ok(arch));
        }
        assert_eq!(Architecture::ALL.map(Architecture::debian), ["amd64", "i386", "arm64"]);
        assert!("amd64".parse::<Architecture>().is_err());
        assert_eq!("instance-store".parse(), Ok(RootDeviceType::InstanceStore));
    }
}
