//! Sizes in bytes, written with binary units: `4GiB`.

use crate::{ParseError, text::serde_as_text};
use std::{fmt, str::FromStr};

/// Units from the largest to the smallest, as they are printed.
const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A size in bytes. Printed with the largest unit that divides it: `4GiB`, `512KiB`, `1000B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of this many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of this many MiB.
    #[must_use]
    pub const fn from_mib(mib: u32) -> Self {
        Self((mib as u64) << 20)
    }

    /// A size of this many GiB.
    #[must_use]
    pub const fn from_gib(gib: u32) -> Self {
        Self((gib as u64) << 30)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Returns whole MiB, rounded up.
    #[must_use]
    pub const fn mib_rounded_up(self) -> u64 {
        self.0.div_ceil(1 << 20)
    }

    /// Returns whole GiB, rounded up: EC2's `VolumeSize`.
    #[must_use]
    pub const fn gib_rounded_up(self) -> u64 {
        self.0.div_ceil(1 << 30)
    }

    /// Returns the size for people, rounded to one decimal: `1.4 GiB`.
    #[must_use]
    pub fn approximate(self) -> String {
        let (unit, scale) = UNITS.into_iter().find(|(_, scale)| self.0 >= *scale).unwrap_or(("B", 1));
        if scale == 1 {
            return format!("{} B", self.0);
        }
        let tenths = u128::from(self.0) * 10 / u128::from(scale);
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |scale: u64| self.0 != 0 && self.0.is_multiple_of(scale);
        let (unit, scale) = UNITS.into_iter().find(|(_, scale)| exact(*scale)).unwrap_or(("B", 1));
        f.pad(&format!("{}{unit}", self.0 / scale))
    }
}

impl FromStr for ByteSize {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = |why: &str| ParseError::new(text, "a size", why);
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        if digits.is_empty() {
            return Err(bad("expected a whole number and a unit, like 4GiB"));
        }
        let Some((_, scale)) = UNITS.into_iter().find(|(name, _)| *name == unit.trim_start()) else {
            return Err(bad("the unit must be B, KiB, MiB, GiB or TiB, like 4GiB"));
        };
        let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(scale));
        bytes.map(Self).ok_or_else(|| bad("larger than 16 EiB"))
    }
}

serde_as_text!(ByteSize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units() {
        assert_eq!("4GiB".parse(), Ok(ByteSize::from_gib(4)));
        assert_eq!("512 MiB".parse(), Ok(ByteSize::from_mib(512)));
        for text in ["", "GiB", "4", "4G", "4GB", "-1GiB", "1.5GiB", "99999999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!(ByteSize::from_bytes(1_500_000_000).approximate(), "1.3 GiB");
        assert_eq!(ByteSize::from_bytes((4 << 30) + 1).gib_rounded_up(), 5);
    }

    proptest! {
        #[test]
        fn text_and_back(bytes: u64) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
