//! Spans of time, written with one unit: `90s`, `10m`, `90d`.

use crate::{ParseError, text::serde_as_text};
use std::{fmt, str::FromStr, time::Duration};

/// Units from the largest to the smallest, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A span of time in whole milliseconds. Printed with the largest unit that divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(u64);

impl TimeSpan {
    /// A span of this many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds as u64 * 1_000)
    }

    /// Returns the span for timers.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |scale: u64| self.0 != 0 && self.0.is_multiple_of(scale);
        let (unit, scale) = UNITS.into_iter().find(|(_, scale)| exact(*scale)).unwrap_or(("s", 1_000));
        f.pad(&format!("{}{unit}", self.0 / scale))
    }
}

impl FromStr for TimeSpan {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = |why: &str| ParseError::new(text, "a duration", why);
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        if digits.is_empty() {
            return Err(bad("expected a whole number and a unit, like 90s or 10m"));
        }
        let Some((_, scale)) = UNITS.into_iter().find(|(name, _)| *name == unit) else {
            return Err(bad("the unit must be ms, s, m, h or d, like 90s or 10m"));
        };
        let millis = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(scale));
        millis.map(Self).ok_or_else(|| bad("too long"))
    }
}

serde_as_text!(TimeSpan);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units() {
        assert_eq!("90s".parse(), Ok(TimeSpan::from_secs(90)));
        assert_eq!("90s".parse::<TimeSpan>().unwrap().to_string(), "90s");
        assert_eq!("600s".parse::<TimeSpan>().unwrap().to_string(), "10m");
        for text in ["", "s", "90", "90 s", "1.5h", "-1s", "1w", "99999999999999999d"] {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(millis: u64) {
            prop_assert_eq!(TimeSpan(millis).to_string().parse(), Ok(TimeSpan(millis)));
        }
    }
}
