//! What keys were made of, kept from a template's last build: so a plan can name the first thing that is different.

use crate::{Error, home::write_whole};
use kiln_template::Template;
use kiln_types::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, path::Path};

/// As much of a value as a line of a table takes.
const SHOWN: usize = 40;

/// What one key was made of, beside the key below it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inputs {
    /// What the template says. Sensitive values are there as their variables' names.
    pub(crate) meant: Value,
    /// Files of the host, and whatever else has no words, by what people call it.
    pub(crate) parts: Vec<(String, Digest)>,
    /// The variables that are spoken of. Of a sensitive one only the name is known.
    pub(crate) variables: BTreeMap<String, String>,
}

impl Inputs {
    /// Takes what a template says, and nothing else.
    pub(crate) fn of(meant: &impl Serialize) -> Result<Self, Error> {
        let meant = serde_json::to_value(meant).map_err(Error::Canonical)?;
        Ok(Self { meant, ..Self::default() })
    }

    /// Says what is different from `old`, where anything is.
    pub(crate) fn difference(&self, old: &Self) -> Option<String> {
        if self.meant != old.meant {
            return Some(
                self.changed_variable(old).unwrap_or_else(|| changed_value(&old.meant, &self.meant)),
            );
        }
        for (label, digest) in &self.parts {
            match old.parts.iter().find(|(other, _)| other == label) {
                None => return Some(format!("{label} is new")),
                Some((_, other)) if other != digest => return Some(format!("{label} changed")),
                Some(_) => {}
            }
        }
        let gone = old.parts.iter().find(|(label, _)| self.parts.iter().all(|(other, _)| other != label));
        gone.map(|(label, _)| format!("{label} is gone"))
    }

    fn changed_variable(&self, old: &Self) -> Option<String> {
        self.variables.iter().find_map(|(name, value)| {
            let before = old.variables.get(name).filter(|before| *before != value)?;
            Some(format!("variable {name}: {} → {}", Shown(before), Shown(value)))
        })
    }
}

/// Names the first value that is different: `inline: echo a → echo b`.
fn changed_value(old: &Value, new: &Value) -> String {
    let (mut old, mut new, mut name) = (old, new, "");
    loop {
        let next = match (old, new) {
            (Value::Object(before), Value::Object(after)) => {
                let keys = after.keys().chain(before.keys());
                let pair = |key: &String| (before.get(key), after.get(key));
                keys.map(|key| (key.as_str(), pair(key))).find(|(_, (before, after))| before != after)
            }
            (Value::Array(before), Value::Array(after)) => {
                let longest = before.len().max(after.len());
                let pairs = (0..longest).map(|index| (name, (before.get(index), after.get(index))));
                pairs.into_iter().find(|(_, (before, after))| before != after)
            }
            _ => None,
        };
        match next {
            Some((key, (Some(before), Some(after)))) => (name, old, new) = (key, before, after),
            Some((key, (None, _))) => return format!("{key} has more than before"),
            Some((key, (_, None))) => return format!("{key} has less than before"),
            None if name.is_empty() => return "it is another step".to_owned(),
            None => return format!("{name}: {} → {}", Said(old), Said(new)),
        }
    }
}

/// A value in a line.
struct Said<'a>(&'a Value);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) => Shown(text).fmt(f),
            Value::Null => f.write_str("none"),
            other => Shown(&other.to_string()).fmt(f),
        }
    }
}

/// The beginning of a text, in a line.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.lines().next().unwrap_or_default();
        let mut characters = line.chars().filter(|character| !character.is_control());
        let start: String = characters.by_ref().take(SHOWN).collect();
        let more = characters.next().is_some() || line.len() < self.0.trim_end().len();
        write!(f, "{start}{}", if more { "…" } else { "" })
    }
}

/// The inputs of a template's last build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LastBuild {
    pub(crate) source: Inputs,
    pub(crate) machine: Inputs,
    pub(crate) steps: Vec<LastStep>,
}

/// A step of a template's last build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LastStep {
    pub(crate) name: String,
    pub(crate) inputs: Inputs,
}

impl LastBuild {
    /// Reads what is known. It is only spoken of: whatever is wrong with it, it is then not known.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs_err::read(path).ok()?).ok()
    }

    /// Keeps it for the next plan.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        if Self::read(path).as_ref() == Some(self) {
            return Ok(());
        }
        write_whole(path, &serde_json::to_vec(self).map_err(Error::Canonical)?)
    }

    /// Says what is different about the step at `index`.
    pub(crate) fn step_difference(&self, index: usize, name: &str, inputs: &Inputs) -> Option<String> {
        let named = || self.steps.iter().position(|step| step.name == name);
        match self.steps.get(index) {
            Some(old) if old.name == name || named().is_none() => inputs.difference(&old.inputs),
            _ => Some(match named() {
                Some(before) => format!("it was step {}", before + 1),
                None => "it is a new step".to_owned(),
            }),
        }
    }
}

/// Collects the values of the variables of these names.
pub(crate) fn values<'a>(
    template: &Template,
    names: impl Iterator<Item = &'a String>,
) -> BTreeMap<String, String> {
    let known = names.filter_map(|name| template.variables.iter().find(|variable| variable.name == *name));
    known.map(|variable| (variable.name.clone(), variable.value.shown().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn inputs(meant: Value, parts: &[(&str, u8)], variables: &[(&str, &str)]) -> Inputs {
        Inputs {
            meant,
            parts: parts
                .iter()
                .map(|(label, byte)| ((*label).to_owned(), Digest::from_bytes([*byte; 32])))
                .collect(),
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn the_first_difference_is_named() {
        let shell = |line: &str| json!({"type": "shell", "code": {"inline": ["true", line]}, "user": null});
        let old = inputs(shell("echo a"), &[("files/a", 1), ("files/b", 1)], &[("title", "a")]);
        let differs = |new: Inputs| new.difference(&old);
        assert_eq!(differs(old.clone()), None);
        assert_eq!(
            differs(inputs(shell("echo b"), &[], &[("title", "b")])).unwrap(),
            "variable title: a → b"
        );
        assert_eq!(differs(inputs(shell("echo b"), &[], &[])).unwrap(), "inline: echo a → echo b");
        let other_user = json!({"type": "shell", "code": {"inline": ["true", "echo a"]}, "user": "app"});
        assert_eq!(differs(inputs(other_user, &[], &[])).unwrap(), "user: none → app");
        let parts = |parts: &[(&str, u8)]| differs(inputs(shell("echo a"), parts, &[])).unwrap();
        assert_eq!(parts(&[("files/a", 1), ("files/b", 2)]), "files/b changed");
        assert_eq!(parts(&[("files/a", 1)]), "files/b is gone");
        assert_eq!(parts(&[("files/a", 1), ("files/b", 1), ("files/c", 1)]), "files/c is new");
        let more = json!({"type": "shell", "code": {"inline": ["true", "echo a", "x"]}, "user": null});
        assert_eq!(differs(inputs(more, &[], &[])).unwrap(), "inline has more than before");
    }

    #[test]
    fn long_and_many_lined_values_are_cut() {
        let shown = Shown("one\ntwo").to_string();
        assert_eq!(shown, "one…");
        assert_eq!(Shown(&"x".repeat(100)).to_string(), format!("{}…", "x".repeat(SHOWN)));
        assert_eq!(Shown("a\u{1b}[31mb\n").to_string(), "a[31mb");
    }
}
