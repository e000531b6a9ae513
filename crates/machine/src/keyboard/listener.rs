//! Hears what a guest says on its console, from one `<waitFor …>` to the next.
//!
//! Boot loaders place the cursor between the characters of a word. What drives a terminal is taken out first; what is left is
//! what a person reads there.

use std::{
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

/// How often the console is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes of the console that are read at once.
const PIECE: u64 = 64 << 10;

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

pub(super) struct Listener<'a> {
    console: &'a Path,
    /// How far the console has been read.
    read: u64,
    within: Within,
    /// What was heard and may still be waited for.
    heard: Vec<u8>,
}

/// Where in a sequence that drives a terminal the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Text,
    Escape,
    /// `ESC [`, up to a letter.
    Sequence,
    /// `ESC ]`, a title, up to a bell or another escape.
    Title,
}

impl<'a> Listener<'a> {
    pub(super) const fn new(console: &'a Path) -> Self {
        Self { console, read: 0, within: Within::Text, heard: Vec::new() }
    }

    /// Returns when the text has come. What comes after it is heard by the next one.
    pub(super) async fn hears(&mut self, text: &str) {
        loop {
            let found = self.heard.windows(text.len().max(1)).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                self.heard.drain(..at + text.len());
                return;
            }
            // What came before the last bytes cannot be part of the text any more.
            self.heard.drain(..(self.heard.len() + 1).saturating_sub(text.len().max(1)));
            // A console that cannot be read yet has said nothing.
            if !self.listen().unwrap_or_default() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Reads on, and says whether there was anything.
    fn listen(&mut self) -> std::io::Result<bool> {
        let mut file = fs_err::File::open(self.console)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.take(PIECE).read_to_end(&mut bytes)?;
        self.read += bytes.len() as u64;
        bytes.iter().for_each(|byte| self.hear(*byte));
        Ok(!bytes.is_empty())
    }

    fn hear(&mut self, byte: u8) {
        self.within = match (self.within, byte) {
            (Within::Escape, b'[') => Within::Sequence,
            (Within::Escape, b']') => Within::Title,
            (Within::Escape, _) | (Within::Sequence, b'@'..=b'~') | (Within::Title, BELL) => Within::Text,
            (_, ESCAPE) => Within::Escape,
            (Within::Text, 0..b' ' | 0x7f) => Within::Text,
            (Within::Text, _) => {
                self.heard.push(byte);
                Within::Text
            }
            // A sequence has no control characters: what looks like one was cut off.
            (Within::Sequence, 0..b' ') => Within::Text,
            (within, _) => within,
        };
        // A text that is waited for is on one line.
        if byte == b'\n' {
            self.heard.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    async fn heard(listener: &mut Listener<'_>, text: &str) -> bool {
        timeout(Duration::from_millis(50), listener.hears(text)).await.is_ok()
    }

    #[tokio::test]
    async fn words_are_heard_through_what_drives_a_terminal() {
        let world = tempfile::tempdir().unwrap();
        let console = world.path().join("console");
        let mut listener = Listener::new(&console);
        assert!(!heard(&mut listener, "boot:").await);
        fs_err::write(&console, b"\x1b[2J\x1b]0;boot:\x07bo\x1b[04;20Hot\x1b[1m:\x1b[0m login\r\nfi\x1bM")
            .unwrap();
        assert!(heard(&mut listener, "boot: login").await);
        assert!(!heard(&mut listener, "boot:").await);
        assert!(!heard(&mut listener, "login").await, "heard twice");
        fs_err::write(
            &console,
            fs_err::read(&console).unwrap().into_iter().chain(*b"nd\nboot: \x1b[\nend").collect::<Vec<_>>(),
        )
        .unwrap();
        assert!(heard(&mut listener, "find").await);
        assert!(heard(&mut listener, "boot:").await);
        assert!(heard(&mut listener, "end").await);
    }

    #[tokio::test]
    async fn a_text_may_lie_across_pieces() {
        let world = tempfile::tempdir().unwrap();
        let console = world.path().join("console");
        let before = usize::try_from(PIECE).unwrap() - 3;
        fs_err::write(&console, [vec![b'x'; before], b"needle and thread".to_vec()].concat()).unwrap();
        let mut listener = Listener::new(&console);
        assert!(heard(&mut listener, "needle").await && heard(&mut listener, "thread").await);
    }
}
