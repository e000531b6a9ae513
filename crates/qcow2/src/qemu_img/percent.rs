//! The progress that `qemu-img -p` writes: `    (12.34/100%)` and a carriage return, again and again.

/// Finds the numbers in what arrives in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Percent {
    /// What has been read since the last bracket; `None` outside brackets.
    number: Option<String>,
}

impl Percent {
    /// Takes more output; returns the newest number in it, in hundredths of a per cent (0 to 10 000).
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<u16> {
        let mut newest = None;
        for byte in bytes {
            match (byte, &mut self.number) {
                (b'(', _) => self.number = Some(String::new()),
                (b'0'..=b'9' | b'.', Some(number)) if number.len() < 8 => number.push(char::from(*byte)),
                (b'/', Some(number)) => {
                    newest = hundredths(number).or(newest);
                    self.number = None;
                }
                _ => self.number = None,
            }
        }
        newest
    }
}

fn hundredths(number: &str) -> Option<u16> {
    let (whole, part) = number.split_once('.')?;
    let part = if part.len() == 2 { part.parse::<u16>().ok()? } else { return None };
    let value = whole.parse::<u16>().ok()?.checked_mul(100)?.checked_add(part)?;
    (value <= 10_000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_pieces() {
        let mut percent = Percent::default();
        assert_eq!(percent.feed(b"    (0.00/100%)\r    (1.0"), Some(0));
        assert_eq!(percent.feed(b"1/100%)\r"), Some(101));
        assert_eq!(percent.feed(b"    (50.00/100%)\r    (100.00/100%)\r\n"), Some(10_000));
        assert_eq!(percent.feed(b"(999.99/100%) (x) ()/ (1/2) (123456789012.00/"), None);
    }
}
