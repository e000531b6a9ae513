//! Keys of a keyboard with the US layout, under Packer's names.

use std::fmt;

/// A key of a US keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// A key that has a name.
    Named(Named),
    /// One of F1 to F12.
    Function(u8),
    /// The key that types this character without Shift.
    Character(char),
}

/// Characters that a US keyboard types without Shift, beside letters and digits.
const UNSHIFTED: &str = " -=[]\\;'`,./";

/// Makes an enum of keys and the list of their names; the first name of a key is the one that it is printed with.
macro_rules! named_keys {
    ($($(#[$doc:meta])* $key:ident = $name:literal $(, also $other:literal)?;)+) => {
        /// A key that has a name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Named { $($(#[$doc])* $key),+ }

        /// Every name with its key.
        const NAMED: &[(&str, Named)] = &[$(($name, Named::$key), $(($other, Named::$key),)?)+];
    };
}

named_keys! {
    /// The large one.
    Enter = "enter", also "return";
    /// Escape.
    Esc = "esc";
    /// Tabulator.
    Tab = "tab";
    /// The space bar.
    Spacebar = "spacebar";
    /// Backspace.
    Backspace = "bs";
    /// Delete.
    Delete = "del";
    /// Insert.
    Insert = "insert";
    /// Home.
    Home = "home";
    /// End.
    End = "end";
    /// Page up.
    PageUp = "pageUp";
    /// Page down.
    PageDown = "pageDown";
    /// Arrow up.
    Up = "up";
    /// Arrow down.
    Down = "down";
    /// Arrow left.
    Left = "left";
    /// Arrow right.
    Right = "right";
    /// Menu.
    Menu = "menu";
    /// The left Alt.
    LeftAlt = "leftAlt";
    /// The right Alt.
    RightAlt = "rightAlt";
    /// The left Control.
    LeftCtrl = "leftCtrl";
    /// The right Control.
    RightCtrl = "rightCtrl";
    /// The left Shift.
    LeftShift = "leftShift";
    /// The right Shift.
    RightShift = "rightShift";
    /// The left Super, or Windows.
    LeftSuper = "leftSuper";
    /// The right Super, or Windows.
    RightSuper = "rightSuper";
}

impl Key {
    /// Finds a key by its name, in any case.
    pub(super) fn find(name: &str) -> Option<Self> {
        let known =
            |(known, key): &(&str, Named)| known.eq_ignore_ascii_case(name).then_some(Self::Named(*key));
        NAMED.iter().find_map(known).or_else(|| {
            let digits = name.strip_prefix(['f', 'F'])?;
            let number = digits.parse().ok().filter(|number| (1..=12).contains(number))?;
            (!digits.starts_with(['0', '+'])).then_some(Self::Function(number))
        })
    }

    /// Finds a key that can be held: by its name, or by the character that it types.
    pub(super) fn find_held(name: &str) -> Option<Self> {
        let mut chars = name.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if is_unshifted(c) => Some(Self::Character(c)),
            _ => Self::find(name),
        }
    }

    /// Returns every name that is no character.
    pub(super) fn names() -> impl Iterator<Item = String> {
        NAMED.iter().map(|(name, _)| (*name).to_owned()).chain((1..=12).map(|number| format!("f{number}")))
    }
}

fn is_unshifted(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || UNSHIFTED.contains(c)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(key) => {
                f.write_str(NAMED.iter().find(|(_, named)| named == key).map_or("", |(name, _)| name))
            }
            Self::Function(number) => write!(f, "f{number}"),
            Self::Character(c) => write!(f, "{c}"),
        }
    }
}
