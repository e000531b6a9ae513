//! The last lines of what runs, made safe for a terminal.

use std::collections::VecDeque;

/// Keeps the last lines of output.
#[derive(Debug)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    keep: usize,
}

impl Tail {
    /// Keeps this many lines.
    pub(crate) fn new(keep: usize) -> Self {
        Self { lines: VecDeque::new(), keep }
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, line: &str) {
        if self.lines.len() == self.keep {
            self.lines.pop_front();
        }
        self.lines.push_back(printable(line));
    }

    /// Forgets every line.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
    }

    /// Returns the lines, each cut to `width` characters.
    pub(crate) fn lines(&self, width: usize) -> impl Iterator<Item = String> {
        self.lines.iter().map(move |line| line.chars().take(width).collect())
    }
}

/// Takes control characters and escape sequences out of a line: what a guest prints must not drive the terminal.
pub(crate) fn printable(line: &str) -> String {
    // A carriage return redraws a line: what stands after the last one is what a terminal would show.
    let line = line.trim_end_matches('\r');
    let shown = line.rsplit('\r').next().unwrap_or(line);
    anstream::adapter::strip_str(shown)
        .to_string()
        .chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_last_lines() {
        let mut tail = Tail::new(2);
        for line in ["one", "two", "three and more"] {
            tail.push(line);
        }
        assert_eq!(tail.lines(5).collect::<Vec<_>>(), ["two", "three"]);
    }

    #[test]
    fn a_guest_cannot_drive_the_terminal() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m \u{7}bell"), "red bell");
        assert_eq!(printable("10%\r50%\r100%\r"), "100%");
    }
}
