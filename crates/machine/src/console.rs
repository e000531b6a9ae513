//! What a guest last said on its serial port.

mod lines;

pub(crate) use lines::lines;
use std::{
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

/// Bytes of the console's end that are looked at.
const TAIL_BYTES: u64 = 64 << 10;

/// Lines of the console that an error shows.
pub(crate) const TAIL_LINES: usize = 30;

/// Returns the console's last lines, without what would drive a terminal. A console that cannot be read has none.
#[must_use]
pub fn tail(console: &Path, lines: usize) -> Vec<String> {
    let mut shown = self::lines::lines(&end_of(console, TAIL_BYTES).unwrap_or_default());
    shown.split_off(shown.len().saturating_sub(lines))
}

/// Reads the last bytes of a console, `most` of them.
pub(crate) fn end_of(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut file = fs_err::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How often a console is looked at that is waited on.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until the console has said `text`, from its beginning on.
pub(crate) async fn wait_for(console: &Path, text: &str) {
    let (mut seen, mut at) = (Vec::new(), 0);
    loop {
        // A console that cannot be read yet has said nothing.
        at += read_on(console, at, &mut seen).unwrap_or_default();
        if seen.windows(text.len().max(1)).any(|window| window == text.as_bytes()) {
            return;
        }
        // What came before the last bytes cannot be part of the text any more.
        seen.drain(..seen.len().saturating_sub(text.len()));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn read_on(path: &Path, at: u64, seen: &mut Vec<u8>) -> std::io::Result<u64> {
    let mut file = fs_err::File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let read = file.take(TAIL_BYTES).read_to_end(seen)?;
    Ok(u64::try_from(read).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_without_control() {
        let world = tempfile::tempdir().unwrap();
        let path = world.path().join("console.log");
        fs_err::write(
            &path,
            "one\r\n\u{1b}[2J\u{1b}[1;31mtwo\u{1b}[0m\r\n\r\n10%\r100%\u{7}\n\u{1b}cthree\n",
        )
        .unwrap();
        assert_eq!(tail(&path, 3), ["two", "100%", "three"]);
        assert_eq!(tail(&world.path().join("none"), 3), Vec::<String>::new());
    }

    #[test]
    fn a_long_console_is_read_from_its_end() {
        let world = tempfile::tempdir().unwrap();
        let path = world.path().join("console.log");
        let mut text = "x".repeat(1 << 20);
        text.push_str("\nlast\n");
        fs_err::write(&path, text).unwrap();
        assert_eq!(tail(&path, 1), ["last"]);
    }
}
