//! The forms in which a value is looked for, and how one is recognised.
//!
//! ```text
//! form      the value as it is; in base64 of either alphabet, wherever in a longer text it begins; percent-encoded
//! pieces    one or two stretches of a form, at most 64 bytes      an automaton finds them all in one pass
//! squeezed  a form without white space and escapes                what is around a piece must hold it, squeezed alike
//! ```
//! Squeezing recognises a key that was indented into YAML, escaped into JSON or given Windows' line ends, and base64 that
//! was broken into lines. Hexadecimal, UTF-16 and whatever a program encrypts are not looked for.

use aho_corasick::{AhoCorasick, BuildError, MatchKind};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Values shorter than this are not looked for: fewer characters stand on any disk by chance, or as a word.
const SHORTEST: usize = 8;

/// The longest piece that the automaton knows. More would not make it surer, since what is around is compared too.
const PIECE: usize = 64;

/// How much of a form is compared: the beginning of a longer value says enough.
const COMPARED: usize = 4096;

/// base64 tools break lines after 64 or 76 characters: of two neighbours at most this long, one is whole.
const BASE64_PIECE: usize = 24;

/// What RFC 3986 has encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Everything that is looked for.
#[derive(Debug)]
pub(super) struct Needles {
    /// Says quickly that there is no piece at all, with the processor's wide instructions.
    any: AhoCorasick,
    /// Finds all pieces, also those that overlap, slowly.
    all: AhoCorasick,
    /// The forms that a pattern is a piece of.
    owners: Vec<Vec<usize>>,
    forms: Vec<Squeezed>,
    reach: usize,
}

/// One form of one value.
#[derive(Debug)]
struct Squeezed {
    value: usize,
    bytes: Vec<u8>,
}

/// A value that was recognised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    /// Which value, by its place in the list.
    pub(super) value: usize,
    /// Its first byte.
    pub(super) start: u64,
    /// The byte after its last.
    pub(super) end: u64,
}

impl Match {
    /// Returns where it stands.
    pub(super) fn span(&self) -> Range<u64> {
        self.start..self.end
    }
}

/// Says whether a value is too short to be told from what stands on any disk.
pub(super) fn too_short(value: &str) -> bool {
    squeeze(value.as_bytes()).len() < SHORTEST
}

impl Needles {
    /// Prepares the search for values that are not [`too_short`].
    pub(super) fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, BuildError> {
        let mut forms = Vec::new();
        let mut owners: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (value, text) in values.into_iter().enumerate() {
            for (form, pieces) in forms_of(text.trim()) {
                for piece in pieces {
                    owners.entry(piece).or_default().push(forms.len());
                }
                let bytes = squeeze(&form).into_iter().map(|(_, byte)| byte).collect();
                forms.push(Squeezed { value, bytes });
            }
        }
        let longest = forms.iter().map(|form| form.bytes.len()).max().unwrap_or_default();
        let (pieces, owners): (Vec<_>, Vec<_>) = owners.into_iter().unzip();
        // Line ends and indentation may make a form twice as long as it is squeezed.
        let reach = 2 * longest + PIECE;
        let any = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(&pieces)?;
        Ok(Self { any, all: AhoCorasick::new(&pieces)?, owners, forms, reach })
    }

    /// Returns how far from a piece the rest of its value may stand.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }

    /// Finds every value of which a piece begins inside `within`; the rest may lie outside of it. The first byte stands at
    /// `offset` of what is searched.
    pub(super) fn search(&self, bytes: &[u8], within: Range<usize>, offset: u64) -> BTreeSet<Match> {
        let mut found = BTreeSet::new();
        let end = within.end.saturating_add(PIECE).min(bytes.len());
        let Some(looked_at) = bytes.get(within.start..end) else { return found };
        if !self.any.is_match(looked_at) {
            return found;
        }
        for piece in self.all.find_overlapping_iter(looked_at) {
            let at = within.start + piece.start();
            let owners = self.owners.get(piece.pattern().as_usize()).filter(|_| within.contains(&at));
            for form in owners.into_iter().flatten().filter_map(|owner| self.forms.get(*owner)) {
                let span = self.recognise(form, bytes, at);
                found.extend(span.map(|span| Match {
                    value: form.value,
                    start: offset + span.start as u64,
                    end: offset + span.end as u64,
                }));
            }
        }
        found
    }

    /// Looks for the whole form around a piece of it.
    fn recognise(&self, form: &Squeezed, bytes: &[u8], at: usize) -> Option<Range<usize>> {
        let start = at.saturating_sub(self.reach);
        let around = bytes.get(start..at.saturating_add(self.reach).min(bytes.len()))?;
        let (places, squeezed): (Vec<_>, Vec<_>) = squeeze(around).into_iter().unzip();
        let spans = memmem::find_iter(&squeezed, &form.bytes).filter_map(|first| {
            let last = (first + form.bytes.len()).checked_sub(1)?;
            Some(start + places.get(first)?..start + places.get(last)? + 1)
        });
        spans.min_by_key(|span| if span.contains(&at) { 0 } else { span.start.abs_diff(at) })
    }
}

/// Leaves out white space, backslashes, and the letters that stand for white space after one. Says of each byte where it
/// stood.
fn squeeze(bytes: &[u8]) -> Vec<(usize, u8)> {
    let mut before = 0;
    let kept = bytes.iter().copied().enumerate().filter(|(_, byte)| {
        let escape = *byte == b'\\' || before == b'\\' && matches!(byte, b'n' | b'r' | b't');
        before = *byte;
        !escape && !byte.is_ascii_whitespace()
    });
    kept.collect()
}

/// Returns each form of a value and the pieces that lead to it.
fn forms_of(value: &str) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
    let start = cut(value.as_bytes(), COMPARED);
    let mut forms = vec![(start.to_vec(), vec![cut(longest_stretch(start), PIECE).to_vec()])];
    for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
        for before in 0..3 {
            let text = base64(&engine, start, before);
            let length = BASE64_PIECE.min(text.len() / 2);
            let pieces = text.chunks(length.max(1)).take(2).map(<[u8]>::to_vec).collect();
            forms.push((text, pieces));
        }
    }
    let encoded = utf8_percent_encode(value, ENCODED).to_string();
    if encoded != value {
        let small = lower_hex(&encoded);
        for text in [encoded.replace("%20", "+"), small.replace("%20", "+"), encoded, small] {
            let text = cut(text.as_bytes(), COMPARED);
            forms.push((text.to_vec(), vec![cut(text, PIECE).to_vec()]));
        }
    }
    let mut known = BTreeSet::new();
    forms.retain(|(form, _)| known.insert(form.clone()));
    forms
}

/// Returns the part that no escape and no line end can be in the middle of.
fn longest_stretch(value: &[u8]) -> &[u8] {
    let stretches = value.split(|byte| byte.is_ascii_control() || matches!(byte, b'"' | b'\\'));
    let longest = stretches.max_by_key(|stretch| stretch.len()).unwrap_or(value);
    // Two characters stand everywhere: a value of nothing but quotes is found as it is, and not escaped.
    if longest.trim_ascii().len() > 2 { longest.trim_ascii() } else { value }
}

/// Encodes what stands `before` bytes after the start of a group of three, and leaves out the characters in which
/// neighbours have a part.
fn base64(engine: &impl Engine, value: &[u8], before: usize) -> Vec<u8> {
    let encoded = engine.encode([&vec![0; before], value].concat());
    let (start, end) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
    encoded.as_bytes().get(start..end).unwrap_or_default().to_vec()
}

/// Writes the two digits after each `%` small, as some programs do.
fn lower_hex(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| match part.split_at_checked(2) {
        Some((digits, rest)) => text + "%" + &digits.to_ascii_lowercase() + rest,
        None => text + "%" + part,
    })
}

fn cut(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(..length).unwrap_or(bytes)
}

#[cfg(test)]
mod tests;
