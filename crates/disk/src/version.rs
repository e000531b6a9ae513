//! Which of two kernel versions is newer.

use std::cmp::Ordering;

/// Orders versions from the newest to the oldest: runs of digits compare as numbers, the rest as text.
pub(crate) fn newest_first(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() && !b.is_empty() {
        let order = if a[0].is_ascii_digit() && b[0].is_ascii_digit() {
            let (x, y) = (number(&mut a), number(&mut b));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            let order = a[0].cmp(&b[0]);
            (a, b) = (&a[1..], &b[1..]);
            order
        };
        if order.is_ne() {
            return order.reverse();
        }
    }
    b.len().cmp(&a.len())
}

/// Takes the run of digits at the front, without leading zeros.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (run, rest) = text.split_at(digits);
    *text = rest;
    let zeros = run.iter().take_while(|byte| **byte == b'0').count();
    &run[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers() {
        let mut versions = [
            "6.1.0-9-amd64",
            "6.12.0-1-amd64",
            "6.1.0-37-amd64",
            "6.1",
            "5.10.0-30-amd64",
            "6.1.0-037-amd64",
        ];
        versions.sort_by(|a, b| newest_first(a, b));
        assert_eq!(versions[0], "6.12.0-1-amd64");
        assert_eq!(versions[3..], ["6.1.0-9-amd64", "6.1", "5.10.0-30-amd64"]);
    }
}
