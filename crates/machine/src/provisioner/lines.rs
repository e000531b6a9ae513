//! A program's output, cut into lines.

use super::Stream;
use std::collections::VecDeque;

/// A line that is longer comes in pieces: a program that never ends its line must not fill the host's memory.
const LONGEST: usize = 8 << 10;

/// Lines that a failure shows.
const LAST: usize = 20;

/// Cuts both streams into lines and remembers the last ones.
pub(super) struct Lines<F> {
    on_line: F,
    pending: [Vec<u8>; 2],
    last: VecDeque<String>,
}

impl<F: FnMut(Stream, &str)> Lines<F> {
    pub(super) fn new(on_line: F) -> Self {
        Self { on_line, pending: Default::default(), last: VecDeque::new() }
    }

    /// Takes the next bytes of a stream.
    pub(super) fn take(&mut self, stream: Stream, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(stream, &bytes[..end]);
            self.tell(stream);
            bytes = &bytes[end + 1..];
        }
        self.extend(stream, bytes);
    }

    /// Tells lines that had no end, and starts anew for the next program.
    pub(super) fn end(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.pending[index(stream)].is_empty() {
                self.tell(stream);
            }
        }
    }

    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    fn extend(&mut self, stream: Stream, mut bytes: &[u8]) {
        loop {
            let pending = &mut self.pending[index(stream)];
            let room = LONGEST - pending.len();
            if bytes.len() <= room {
                return pending.extend_from_slice(bytes);
            }
            let cut = character_start(bytes, room);
            pending.extend_from_slice(&bytes[..cut]);
            bytes = &bytes[cut..];
            self.tell(stream);
        }
    }

    fn tell(&mut self, stream: Stream) {
        let bytes = std::mem::take(&mut self.pending[index(stream)]);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        let line = String::from_utf8_lossy(bytes);
        (self.on_line)(stream, &line);
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(line.into_owned());
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

/// Moves a cut back to where a UTF-8 character starts, if one is near.
fn character_start(bytes: &[u8], cut: usize) -> usize {
    let is_start = |at: &usize| bytes.get(*at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    (cut.saturating_sub(3)..=cut).rev().find(is_start).unwrap_or(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[(Stream, &[u8])]) -> (Vec<(Stream, String)>, Vec<String>) {
        let mut told = Vec::new();
        let mut lines = Lines::new(|stream, line: &str| told.push((stream, line.to_owned())));
        for (stream, bytes) in pieces {
            lines.take(*stream, bytes);
        }
        lines.end();
        let last = lines.last();
        (told, last)
    }

    #[test]
    fn streams_do_not_mix_within_a_line() {
        use Stream::{Stderr, Stdout};
        let (told, last) =
            cut(&[(Stdout, b"a\nb"), (Stderr, b"oh\r\n\n"), (Stdout, b"c\xff\n"), (Stderr, b"no end")]);
        let expected =
            [(Stdout, "a"), (Stderr, "oh"), (Stderr, ""), (Stdout, "bc\u{fffd}"), (Stderr, "no end")];
        assert_eq!(told, expected.map(|(stream, line)| (stream, line.to_owned())));
        assert_eq!(last, ["a", "oh", "", "bc\u{fffd}", "no end"]);
    }

    #[test]
    fn long_lines_come_in_pieces_that_keep_characters_whole() {
        let long = format!("x{}", "ü".repeat(LONGEST));
        let (told, last) = cut(&[(Stream::Stdout, long.as_bytes())]);
        assert!(told.iter().all(|(_, line)| line.len() <= LONGEST && !line.contains('\u{fffd}')));
        assert_eq!(told.iter().map(|(_, line)| &**line).collect::<String>(), long);
        assert_eq!(last.len(), told.len());
    }

    #[test]
    fn only_the_last_lines_are_remembered() {
        let text: String = (0..100).map(|number| format!("{number}\n")).collect();
        let (_, last) = cut(&[(Stream::Stdout, text.as_bytes())]);
        assert_eq!(last.len(), LAST);
        assert_eq!(last[0], "80");
    }
}
