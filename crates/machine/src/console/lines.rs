//! Lines out of what a guest sent to a terminal.
//!
//! Escape sequences and control characters go; what moves the cursor is followed as far as it makes lines: SeaBIOS, GRUB and
//! UEFI place their words instead of ending lines, and systemd draws the jobs that it waits for over themselves.

use std::{iter::Peekable, str::Chars};

/// Characters that a line may have; a guest that never ends its line does not fill the memory.
const LONGEST: usize = 4096;

/// Returns the lines of a console, blank ones left out.
pub(crate) fn lines(console: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(console);
    let mut drawn = Drawn::default();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => drawn.escape(&mut chars),
            '\n' => drawn.end_line(),
            '\r' => drawn.returned = true,
            '\t' => drawn.put(c),
            c if c.is_control() => {}
            c => drawn.put(c),
        }
    }
    drawn.keep();
    drawn.lines
}

#[derive(Default)]
struct Drawn {
    lines: Vec<String>,
    line: String,
    length: usize,
    /// The cursor stands at the line's beginning: what comes is drawn over it.
    returned: bool,
    /// The row of the screen, where it is known.
    row: Option<u32>,
}

impl Drawn {
    fn put(&mut self, c: char) {
        if std::mem::take(&mut self.returned) {
            self.line.clear();
            self.length = 0;
        }
        if self.length < LONGEST {
            self.line.push(c);
            self.length += 1;
        }
    }

    fn end_line(&mut self) {
        self.keep();
        self.row = self.row.map(|row| row.saturating_add(1));
    }

    fn keep(&mut self) {
        (self.returned, self.length) = (false, 0);
        let line = std::mem::take(&mut self.line);
        if !line.trim().is_empty() {
            self.lines.push(line);
        }
    }

    /// Follows what comes after an escape: a control sequence, a string that ends with a bell, or one character.
    fn escape(&mut self, chars: &mut Peekable<Chars<'_>>) {
        match chars.next_if(|c| !c.is_control()) {
            Some('[') => self.sequence(chars),
            Some(']' | 'P' | 'X' | '^' | '_') => skip_string(chars),
            // The cursor goes up, in order to draw over the line above.
            Some('M') if self.line.is_empty() => {
                self.line = self.lines.pop().unwrap_or_default();
                self.length = self.line.chars().count();
                self.row = self.row.map(|row| row.saturating_sub(1));
            }
            _ => {}
        }
    }

    /// `[`, parameters, and a final letter. systemd shortens lines in the midst of a sequence: what is no part of one stays.
    fn sequence(&mut self, chars: &mut Peekable<Chars<'_>>) {
        let mut parameters = String::new();
        while let Some(c) = chars.next_if(|c| (' '..='?').contains(c)) {
            if parameters.len() < 16 {
                parameters.push(c);
            }
        }
        match chars.next_if(|c| ('@'..='~').contains(c)) {
            Some('H' | 'f') => self.place(&parameters),
            Some('J') => self.keep(),
            _ => {}
        }
    }

    /// Moves to `row;column`. Some place the cursor where it already stands, in the middle of a word.
    fn place(&mut self, parameters: &str) {
        let mut numbers = parameters.split(';').map(|number| number.parse().unwrap_or(1));
        let (row, column) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(1));
        if self.row != Some(row) {
            self.keep();
        } else if column <= 1 {
            self.returned = true;
        }
        self.row = Some(row);
    }
}

/// Skips a title or the like, up to a bell or `ESC \`; a line that ends first ends it too.
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(c) = chars.next_if(|c| *c != '\n') {
        if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_drives_a_terminal_is_not_in_it() {
        let text = b"one\r\n\x1b[2J\x1b[1;31mtwo\x1b[0m\r\n\r\n10%\r100%\x07\n\x1b]0;a title\x07three\x1b\\\n\xff\x00four";
        assert_eq!(lines(text), ["one", "two", "100%", "three", "\u{fffd}four"]);
    }

    #[test]
    fn lines_are_made_where_the_cursor_is_placed() {
        let grub = b"\x1b[01;01H\x1b[2J  Booting\r\n\nerror: no\r\nerror: you need to l\x1b[04;20H\x1b[04;21Hoad it\r\n";
        assert_eq!(lines(grub), ["  Booting", "error: no", "error: you need to load it"]);
        let uefi = b"\x1b[07;01HPress ESC in 5 s\x1b[07;01HPress ESC in 4 s\x1b[08;01HShell> ";
        assert_eq!(lines(uefi), ["Press ESC in 4 s", "Shell> "]);
    }

    #[test]
    fn a_job_is_drawn_over_itself() {
        let systemd =
            b"Starting\r\n[*  ] Job (1s)\r\n\x1bM\r\x1b[K[ * ] Job (2s)\r\n\x1bM\r\x1b[K[  *] Job (3s)\r\n";
        assert_eq!(lines(systemd), ["Starting", "[  *] Job (3s)"]);
    }

    proptest! {
        #[test]
        fn anything_makes_lines_that_can_be_shown(bytes in proptest::collection::vec(any::<u8>(), 0..2000),
                                                  drawn in "[\\x1b\\[\\]HMJm;0-9\r\na]{0,200}") {
            for line in lines(&bytes).into_iter().chain(lines(drawn.as_bytes())) {
                prop_assert!(!line.trim().is_empty());
                prop_assert!(line.chars().all(|c| c == '\t' || !c.is_control()), "{line:?}");
            }
        }
    }
}
