//! `${…}` in a string.
//!
//! ```text
//! ${var.x} ${local.x} ${build.timestamp} ${image.name}    a reference: a word, a dot, a name
//! $${                                                     the two characters ${
//! ${HOME} ${x:-y} ${#x}                                   the shell's: left alone in scripts, refused elsewhere
//! ```
//! The shell has no names with a dot, so what starts with a word and a dot is always meant for Kiln.

/// How to take `${` that is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A mistake.
    Strict,
    /// Text for the guest: a script or the content of a file.
    Guest,
}

/// A part of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Text as it is.
    Literal(&'t str),
    /// `${name}`, and where it starts in the string.
    Reference { raw: &'t str, name: &'t str, at: usize },
    /// `${` that cannot be read, and where it starts.
    Mistake { raw: &'t str, at: usize, mistake: Mistake },
}

/// What is wrong with a `${`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// It has no `}`.
    Unclosed,
    /// It starts like a reference, or has to be one, and is not.
    Malformed,
}

/// Cuts a string into its parts.
pub(crate) fn split(text: &str, style: Style) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    // What lies before `done` is in `pieces`; the search goes on from `from`.
    let (mut done, mut from) = (0, 0);
    while let Some(at) = text[from..].find("${").map(|found| from + found) {
        from = at + 2;
        if text[done..at].ends_with('$') {
            pieces.push(Piece::Literal(&text[done..at - 1]));
            done = at;
            continue;
        }
        let Some(piece) = reference(text, at, style) else { continue };
        let (Piece::Literal(raw) | Piece::Reference { raw, .. } | Piece::Mistake { raw, .. }) = piece;
        pieces.extend([Piece::Literal(&text[done..at]), piece]);
        done = at + raw.len();
        from = done;
    }
    pieces.push(Piece::Literal(&text[done..]));
    pieces.retain(|piece| *piece != Piece::Literal(""));
    pieces
}

/// Says whether a string holds a reference, well made or not.
pub(crate) fn has_reference(text: &str) -> bool {
    split(text, Style::Guest).iter().any(|piece| !matches!(piece, Piece::Literal(_)))
}

/// Reads the `${` at `at`; nothing means that it is text.
fn reference(text: &str, at: usize, style: Style) -> Option<Piece<'_>> {
    let inside = &text[at + 2..];
    let word = inside.find(|c: char| !is_word(c)).unwrap_or(inside.len());
    let named =
        word > 0 && inside[word..].starts_with('.') && !inside.starts_with(|c: char| c.is_ascii_digit());
    if !named && style == Style::Guest {
        return None;
    }
    let end = inside.find(['}', '\n', '"', '\'']).filter(|end| inside[*end..].starts_with('}'));
    let Some(end) = end else {
        let stop = inside.find(|c: char| !is_word(c) && c != '.').unwrap_or(inside.len());
        return Some(Piece::Mistake { raw: &text[at..at + 2 + stop], at, mistake: Mistake::Unclosed });
    };
    let (raw, name) = (&text[at..at + 3 + end], &inside[..end]);
    let rest = inside.get(word + 1..end).unwrap_or_default();
    if named && !rest.is_empty() && rest.chars().all(|c| is_word(c) || c == '-') {
        return Some(Piece::Reference { raw, name, at });
    }
    Some(Piece::Mistake { raw, at, mistake: Mistake::Malformed })
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str, style: Style) -> String {
        let show = |piece: Piece<'_>| match piece {
            Piece::Literal(text) => text.to_owned(),
            Piece::Reference { name, .. } => format!("<{name}>"),
            Piece::Mistake { raw, mistake, .. } => format!("<{mistake:?} {raw}>"),
        };
        split(text, style).into_iter().map(show).collect()
    }

    #[test]
    fn references() {
        assert_eq!(shown("a ${var.x}-${build.timestamp}!", Style::Strict), "a <var.x>-<build.timestamp>!");
        assert_eq!(shown("${var.a-b_1}${local.c}", Style::Guest), "<var.a-b_1><local.c>");
        assert_eq!(shown("ünï ${var.x} ß", Style::Guest), "ünï <var.x> ß");
    }

    #[test]
    fn escapes() {
        assert_eq!(shown("$${var.x}", Style::Strict), "${var.x}");
        assert_eq!(shown("$$${var.x} ${var.x}", Style::Strict), "$${var.x} <var.x>");
        assert_eq!(shown("$${", Style::Guest), "${");
        assert_eq!(shown("$$ $1 $", Style::Strict), "$$ $1 $");
    }

    #[test]
    fn the_shells_own_is_left_alone_in_scripts() {
        for text in
            ["${HOME}", "${x:-a.b}", "${x-a.b}", "${#x}", "${x%.*}", "${1.x}", "${.x}", "${", "${x", "${}"]
        {
            assert_eq!(shown(text, Style::Guest), text);
            assert!(shown(text, Style::Strict).starts_with('<'), "{text}");
        }
    }

    #[test]
    fn what_looks_like_ours_is_ours() {
        assert_eq!(shown("${vra.x}", Style::Guest), "<vra.x>");
        assert_eq!(shown("${var.x:-y}", Style::Guest), "<Malformed ${var.x:-y}>");
        assert_eq!(shown("${var.}", Style::Guest), "<Malformed ${var.}>");
        assert_eq!(shown("${var.x \"$y\" }", Style::Guest), "<Unclosed ${var.x> \"$y\" }");
        assert_eq!(shown("${var.x\n}", Style::Guest), "<Unclosed ${var.x>\n}");
    }

    proptest! {
        #[test]
        fn text_without_a_brace_comes_back(text in "[^{]*") {
            prop_assert_eq!(shown(&text, Style::Strict), text);
        }

        #[test]
        fn nothing_panics(text in r"[$.{}\w\n ]*") {
            split(&text, Style::Strict);
            split(&text, Style::Guest);
        }
    }
}
