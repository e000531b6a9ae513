//! Everything that is wrong with a template, at once.

/// The mistakes in a template and in the values given to it; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {}

impl Report {
    /// Returns how many mistakes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    /// Returns the mistakes in rustc's shape, with colours or without.
    #[must_use]
    pub fn render(&self, _colour: bool) -> String {
        String::new()
    }
}
