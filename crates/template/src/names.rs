//! Enumerations whose values are words in a template, and the nearest known word to a mistyped one.

/// An enumeration whose values are words in a template.
pub(crate) trait Words: Sized + Copy + 'static {
    /// Every word, in the order in which they are listed to people.
    const NAMES: &[&str];

    /// Returns the value that a word stands for.
    fn from_name(word: &str) -> Option<Self>;
}

/// Defines an enum of words: `as_str`, `Display`, `Serialize` as the word, and [`Words`].
macro_rules! words {
    (
        $(#[$doc:meta])*
        $vis:vis enum $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Returns the word for it in a template.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl crate::names::Words for $name {
            const NAMES: &[&str] = &[$($word),+];

            fn from_name(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

/// Returns the known word that `given` was most likely meant to be.
///
/// At most a third of the letters may differ; failing that, a word that holds the other is taken (`size` for
/// `disk_size`).
pub(crate) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let given = plain(given);
    let rank = |word: &'k str| {
        let candidate = plain(word);
        let distance = strsim::damerau_levenshtein(&given, &candidate);
        let longest = given.chars().count().max(candidate.chars().count());
        if distance <= longest.max(3) / 3 {
            return Some((0, distance, word));
        }
        let held = given.len() >= 3 && candidate.len() >= 3;
        (held && (candidate.contains(&given) || given.contains(&candidate))).then_some((1, distance, word))
    };
    known
        .into_iter()
        .filter_map(rank)
        .min_by_key(|(class, distance, _)| (*class, *distance))
        .map(|(.., word)| word)
}

/// Writes words for people: `` `a`, `b` and `c` ``.
pub(crate) fn listed<'k>(words: impl IntoIterator<Item = &'k str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word() {
        let known = ["disk_size", "suite", "mirror", "packages"];
        assert_eq!(nearest("disk_sise", known), Some("disk_size"));
        assert_eq!(nearest("disk-size", known), Some("disk_size"));
        assert_eq!(nearest("Siute", known), Some("suite"));
        assert_eq!(nearest("size", known), Some("disk_size"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("x", ["var"]), None);
    }

    #[test]
    fn a_list_for_people() {
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(listed(["a"]), "`a`");
    }
}
