//! `[matrix]`: one template, several builds.

use serde::Serialize;
use std::fmt;

/// The value that each axis of a matrix has in one build, in the order in which the axes are written. Empty where
/// the template has no matrix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Combination(pub(crate) Vec<(String, String)>);

impl Combination {
    /// Returns the axes and their values.
    pub fn axes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(axis, value)| (axis.as_str(), value.as_str()))
    }

    /// Says whether the template has no matrix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the values alone.
    pub(crate) fn values(&self, between: &str) -> String {
        self.0.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(between)
    }
}

/// `release=trixie, desktop=no`.
impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.0.iter().map(|(axis, value)| format!("{axis}={value}")).collect();
        f.pad(&axes.join(", "))
    }
}
