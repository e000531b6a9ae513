//! Keys under the names that QEMU knows them by, its `QKeyCode`.

use kiln_types::{Key, Named};

/// A key that is pressed, with Shift or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stroke {
    pub(super) key: &'static str,
    pub(super) shift: bool,
}

impl Stroke {
    pub(super) const fn plain(key: &'static str) -> Self {
        Self { key, shift: false }
    }
}

/// The keys of a US keyboard that type two characters: the plain one, the one with Shift, and QEMU's name. Letters stand
/// once.
const TYPED: [(char, char, &str); 48] = [
    ('a', 'A', "a"),
    ('b', 'B', "b"),
    ('c', 'C', "c"),
    ('d', 'D', "d"),
    ('e', 'E', "e"),
    ('f', 'F', "f"),
    ('g', 'G', "g"),
    ('h', 'H', "h"),
    ('i', 'I', "i"),
    ('j', 'J', "j"),
    ('k', 'K', "k"),
    ('l', 'L', "l"),
    ('m', 'M', "m"),
    ('n', 'N', "n"),
    ('o', 'O', "o"),
    ('p', 'P', "p"),
    ('q', 'Q', "q"),
    ('r', 'R', "r"),
    ('s', 'S', "s"),
    ('t', 'T', "t"),
    ('u', 'U', "u"),
    ('v', 'V', "v"),
    ('w', 'W', "w"),
    ('x', 'X', "x"),
    ('y', 'Y', "y"),
    ('z', 'Z', "z"),
    ('1', '!', "1"),
    ('2', '@', "2"),
    ('3', '#', "3"),
    ('4', '$', "4"),
    ('5', '%', "5"),
    ('6', '^', "6"),
    ('7', '&', "7"),
    ('8', '*', "8"),
    ('9', '(', "9"),
    ('0', ')', "0"),
    ('-', '_', "minus"),
    ('=', '+', "equal"),
    ('[', '{', "bracket_left"),
    (']', '}', "bracket_right"),
    ('\\', '|', "backslash"),
    (';', ':', "semicolon"),
    ('\'', '"', "apostrophe"),
    ('`', '~', "grave_accent"),
    (',', '<', "comma"),
    ('.', '>', "dot"),
    ('/', '?', "slash"),
    (' ', ' ', "spc"),
];

const FUNCTION: [&str; 12] = ["f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12"];

/// Says how a character is typed; a US keyboard has every printable one of ASCII.
pub(super) fn typed(c: char) -> Option<Stroke> {
    TYPED.iter().find_map(|(plain, shifted, key)| match c {
        _ if c == *plain => Some(Stroke::plain(key)),
        _ if c == *shifted => Some(Stroke { key, shift: true }),
        _ => None,
    })
}

/// Returns QEMU's name of a key.
pub(super) fn named(key: Key) -> &'static str {
    let key = match key {
        Key::Named(key) => key,
        // No other number is parsed, and no other character: what is held is what types one without Shift.
        Key::Function(number) => {
            return FUNCTION.get(usize::from(number).wrapping_sub(1)).copied().unwrap_or("unmapped");
        }
        Key::Character(c) => return typed(c).map_or("unmapped", |stroke| stroke.key),
    };
    match key {
        Named::Enter => "ret",
        Named::Esc => "esc",
        Named::Tab => "tab",
        Named::Spacebar => "spc",
        Named::Backspace => "backspace",
        Named::Delete => "delete",
        Named::Insert => "insert",
        Named::Home => "home",
        Named::End => "end",
        Named::PageUp => "pgup",
        Named::PageDown => "pgdn",
        Named::Up => "up",
        Named::Down => "down",
        Named::Left => "left",
        Named::Right => "right",
        // The key of PCs; QEMU's `menu` is another one.
        Named::Menu => "compose",
        Named::LeftAlt => "alt",
        Named::RightAlt => "alt_r",
        Named::LeftCtrl => "ctrl",
        Named::RightCtrl => "ctrl_r",
        Named::LeftShift => "shift",
        Named::RightShift => "shift_r",
        Named::LeftSuper => "meta_l",
        Named::RightSuper => "meta_r",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_character_can_be_typed() {
        for c in ' '..='~' {
            let stroke = typed(c).unwrap();
            assert_eq!(stroke.shift, c.is_ascii_uppercase() || "~!@#$%^&*()_+{}|:\"<>?".contains(c), "{c}");
        }
        assert_eq!(typed('ä'), None);
        assert_eq!(typed('\n'), None);
        assert_eq!(named(Key::Function(12)), "f12");
        assert_eq!(named(Key::Character('/')), "slash");
    }
}
