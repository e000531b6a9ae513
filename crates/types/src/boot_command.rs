//! What is typed at an installer's prompts, in Packer's words.
//!
//! ```text
//! character                          types itself; `<lt>` types `<`
//! <enter> <f10> <leftCtrl>           presses a key
//! <leftCtrlOn> … <leftCtrlOff>       holds a key, and releases it; <cOn> and <cOff> do so with a character's key
//! <wait> <wait5> <wait1m30s>         waits: one second, five, ninety
//! <waitFor 'text'>                   waits until the guest has said so on its serial console
//! ${http.address}                    stays in the text until the server runs that it stands for
//! ```
//! Names are read in any case. Unlike Packer, what is no name is never typed as it stands: it is a mistake.

mod key;
mod parse;

pub use key::{Key, Named};

use std::{fmt, time::Duration};

/// What can stand in typed text as `${…}`: known when the machine runs.
pub const PLACEHOLDERS: [&str; 3] = ["http.address", "http.ip", "http.port"];

/// What is typed into a machine that boots. Printed and serialised as the text that it is parsed from, with one spelling for
/// everything, so that equal commands make equal cache keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootCommand {
    actions: Vec<BootAction>,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootAction {
    /// A key is pressed and released.
    Press(Key),
    /// A key is pressed and held.
    Hold(Key),
    /// A held key is released.
    Release(Key),
    /// Printable ASCII is typed. `${http.address}`, `${http.ip}` and `${http.port}` may stand in it.
    Type(String),
    /// Nothing is typed for so long.
    Wait(Duration),
    /// Nothing is typed until the guest has said this on its serial console. It may hold what `Type` may.
    WaitFor(String),
}

/// What is wrong with a boot command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BootCommandError {
    /// The line that it is in, from 0.
    pub line: usize,
    /// What it is.
    pub what: String,
    /// What to write.
    pub help: Option<String>,
}

impl BootCommand {
    /// Reads lines, which follow each other without anything between them.
    ///
    /// # Errors
    /// At the first name that is none, character that a US keyboard has not, and key that is held and never released.
    pub fn parse(lines: &[String]) -> Result<Self, BootCommandError> {
        parse::parse(lines).map(|actions| Self { actions })
    }

    /// Says whether nothing is typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Returns what is done, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, BootAction> {
        self.actions.iter()
    }

    /// Puts in what the [`PLACEHOLDERS`] stand for. One that `value` does not know stays.
    #[must_use]
    pub fn substitute(&self, value: impl Fn(&str) -> Option<String>) -> Self {
        let replaced = |text: &String| {
            PLACEHOLDERS.iter().fold(text.clone(), |text, name| match value(name) {
                Some(value) => text.replace(&placeholder(name), &value),
                None => text,
            })
        };
        let actions = self.actions.iter().map(|action| match action {
            BootAction::Type(text) => BootAction::Type(replaced(text)),
            BootAction::WaitFor(text) => BootAction::WaitFor(replaced(text)),
            other => other.clone(),
        });
        Self { actions: actions.collect() }
    }
}

/// How a placeholder is written.
fn placeholder(name: &str) -> String {
    format!("${{{name}}}")
}

impl<'a> IntoIterator for &'a BootCommand {
    type Item = &'a BootAction;
    type IntoIter = std::slice::Iter<'a, BootAction>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for BootAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Press(key) => write!(f, "<{key}>"),
            Self::Hold(key) => write!(f, "<{key}On>"),
            Self::Release(key) => write!(f, "<{key}Off>"),
            Self::Type(text) => f.write_str(&text.replace('<', "<lt>")),
            Self::Wait(time) if time.subsec_millis() == 0 => write!(f, "<wait{}s>", time.as_secs()),
            Self::Wait(time) => write!(f, "<wait{}ms>", time.as_millis()),
            // The parser lets no text have both.
            Self::WaitFor(text) if text.contains('\'') => write!(f, "<waitFor \"{text}\">"),
            Self::WaitFor(text) => write!(f, "<waitFor '{text}'>"),
        }
    }
}

impl fmt::Display for BootCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.actions.iter().try_for_each(|action| action.fmt(f))
    }
}

impl serde::Serialize for BootCommand {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
