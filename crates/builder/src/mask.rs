//! Sensitive values are taken out of every line before anyone sees it.

/// What stands in the place of a secret.
const MASK: &str = "********";

/// Values shorter than this are not masked: replacing every `a` would only show where it was.
const SHORTEST: usize = 4;

/// Replaces sensitive values in lines of output.
#[derive(Clone, Default)]
pub struct Mask(Vec<String>);

impl Mask {
    /// Masks these values; a value of several lines is masked line by line, as output comes.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let lines = secrets.into_iter().flat_map(str::lines).map(str::trim);
        let mut lines: Vec<_> = lines.filter(|line| line.len() >= SHORTEST).map(str::to_owned).collect();
        // The longest first, so that a secret that contains another goes as a whole.
        lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
        lines.dedup();
        Self(lines)
    }

    /// Returns the line with every secret replaced.
    #[must_use]
    pub fn apply(&self, line: &str) -> String {
        self.0.iter().fold(line.to_owned(), |line, secret| line.replace(secret, MASK))
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} secrets)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_whole() {
        let mask = Mask::new(["hunter2", "hunter2-and-more", "abc", "first line\nsecond line\n"]);
        assert_eq!(mask.apply("a hunter2-and-more b hunter2 c"), "a ******** b ******** c");
        assert_eq!(mask.apply("abc stays"), "abc stays");
        assert_eq!(mask.apply("> second line"), "> ********");
        assert!(!format!("{mask:?}").contains("hunter2"));
    }
}
