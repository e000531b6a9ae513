//! Points in time, as EC2 writes them: `2026-11-23T01:13:11.000Z`.

use crate::{ParseError, text::serde_as_text};
use std::{fmt, str::FromStr};

/// A whole second in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Takes this second from the system's clock.
    #[must_use]
    pub fn now() -> Self {
        Self::whole(jiff::Timestamp::now())
    }

    /// Makes the point this many seconds after 1970, or nothing where no calendar reaches.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Option<Self> {
        jiff::Timestamp::from_second(seconds).ok().map(Self)
    }

    /// Returns the seconds since 1970.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.0.as_second()
    }

    /// Returns the form that fits in names: `20261123-011311`.
    #[must_use]
    pub fn compact(self) -> String {
        self.0.strftime("%Y%m%d-%H%M%S").to_string()
    }

    fn whole(time: jiff::Timestamp) -> Self {
        Self::from_unix(time.as_second()).expect("a timestamp without its fraction is a timestamp")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string())
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = |_| ParseError::new(text, "a time", "expected the form 2026-11-23T01:13:11Z");
        text.parse::<jiff::Timestamp>().map(Self::whole).map_err(bad)
    }
}

serde_as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ec2s_form() {
        let time = Timestamp::from_unix(1_795_396_391).unwrap();
        assert_eq!(time.to_string(), "2026-11-23T01:13:11.000Z");
        assert_eq!(time.compact(), "20261123-011311");
        assert_eq!("2026-11-23T01:13:11.999Z".parse(), Ok(time));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
