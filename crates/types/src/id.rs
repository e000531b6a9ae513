//! EC2's resource ids: a prefix and 17 hexadecimal digits of which the first is 0.

use crate::{ParseError, text::serde_as_text};
use std::{fmt, str::FromStr};

/// Hexadecimal digits after the leading 0. EC2's current form; a change makes every stored id unreadable.
const RANDOM_DIGITS: usize = 16;

macro_rules! define_id {
    ($(#[$doc:meta])* struct $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Text that every id of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a new id from the system's random generator.
            #[must_use]
            pub fn random() -> Self {
                Self(getrandom::u64().expect("the system has a random generator"))
            }

            /// Makes the id with these 64 bits, for ids that must be the same every time.
            #[must_use]
            pub const fn from_bits(bits: u64) -> Self {
                Self(bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{}0{:016x}", Self::PREFIX, self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                parse_bits(text, $prefix).map(Self).ok_or_else(|| {
                    ParseError::new(text, $what, concat!("expected ", $prefix, "0 and 16 hexadecimal digits"))
                })
            }
        }

        serde_as_text!($name);
    };
}

fn parse_bits(text: &str, prefix: &str) -> Option<u64> {
    let digits = text.strip_prefix(prefix)?.strip_prefix('0')?;
    let lower_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != RANDOM_DIGITS || !lower_hex {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

define_id! {
    /// The id of an image: `ami-0123456789abcdef0`.
    struct ImageId, "ami-", "an image id"
}
define_id! {
    /// The id of a snapshot: `snap-0123456789abcdef0`.
    struct SnapshotId, "snap-", "a snapshot id"
}
define_id! {
    /// The id of a volume: `vol-0123456789abcdef0`.
    struct VolumeId, "vol-", "a volume id"
}
define_id! {
    /// The id of an instance: `i-0123456789abcdef0`.
    struct InstanceId, "i-", "an instance id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_ec2s_shape_and_comes_back() {
        let id = ImageId::from_bits(0x1234);
        assert_eq!(id.to_string(), "ami-00000000000001234");
        assert_eq!("ami-00000000000001234".parse(), Ok(id));
    }

    #[test]
    fn other_shapes_are_refused() {
        for text in [
            "",
            "ami-",
            "ami-1234",
            "ami-10000000000001234",
            "ami-0000000000000123G",
            "snap-00000000000001234",
        ] {
            assert!(text.parse::<ImageId>().is_err(), "{text}");
        }
        assert!("ami-0000000000000ABCD".parse::<ImageId>().is_err(), "upper case");
    }
}
