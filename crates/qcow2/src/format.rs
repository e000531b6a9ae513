//! The disk image formats that Kiln reads and writes.

use kiln_types::ParseError;
use std::{fmt, str::FromStr};

/// A disk image format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// The disk's bytes as they are.
    Raw,
    /// QEMU's format, versions 2 and 3.
    Qcow2,
    /// VMware's sparse extent with an embedded descriptor.
    Vmdk,
    /// Virtual PC's and Azure's format, fixed or dynamic.
    Vhd,
    /// Hyper-V's format.
    Vhdx,
}

impl Format {
    /// Every format, in the order in which they are listed to people.
    pub const ALL: [Self; 5] = [Self::Qcow2, Self::Raw, Self::Vmdk, Self::Vhd, Self::Vhdx];

    /// Returns the name that people use, which is also the usual file extension.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
        }
    }

    /// Returns the name of QEMU's block driver, which differs for VHD.
    #[must_use]
    pub const fn qemu_name(self) -> &'static str {
        match self {
            Self::Vhd => "vpc",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| ParseError {
            text: text.to_owned(),
            what: "a disk image format",
            why: "expected qcow2, raw, vmdk, vhd or vhdx".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("vpc".parse::<Format>().is_err(), "QEMU's name is not a user's word");
    }
}
