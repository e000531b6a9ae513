//! Types a boot command into a machine, and waits for what the guest says in between.
//!
//! A key is pressed and released as a finger does it: the guest sees both, one after the other, with time between them.
//! Keyboards of PCs keep 16 bytes that the guest has not read yet and lose the rest, so nothing is sent faster than a slow
//! guest reads.

mod keys;
mod listener;

use crate::{Death, Error, Running, console::tail};
use keys::{Stroke, named, typed};
use kiln_types::{BootAction, BootCommand, Key, Named};
use listener::Listener;
use serde_json::json;
use std::{fmt, path::Path, time::Duration};
use tokio::time::{sleep, timeout};

/// How long a key is held, and how long nothing is pressed after it: a key in a tenth of a second, as Packer types, since people's
/// commands are made for that. At a boot loader's prompt under TCG, on a host with six programs for each processor, 2 ms
/// lost no key, and no time at all two of a hundred.
const HOLD: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(50);

/// Lines of the console that an error shows.
const SHOWN: usize = 15;

/// Why a boot command was not typed to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypingError {
    /// The guest never said what was waited for.
    #[error(transparent)]
    NotSaid(NotSaid),
    /// A value that was filled in holds what cannot be typed.
    #[error("{character:?} cannot be typed on a US keyboard")]
    Character {
        /// It.
        character: char,
    },
    /// The machine ended before everything was typed.
    #[error("the machine ended while the boot command was typed")]
    Died(#[source] Box<Death>),
    /// QEMU did not take a key.
    #[error("cannot type the boot command")]
    Qemu(#[source] Box<Error>),
}

/// A guest that never said what a `<waitFor …>` waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSaid {
    /// What it should have said.
    pub text: String,
    /// How long it was waited for.
    pub waited: Duration,
    /// The console's last lines.
    pub console: Vec<String>,
}

impl fmt::Display for NotSaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the guest did not say {:?} on its serial console within {} s",
            self.text,
            self.waited.as_secs()
        )?;
        if self.console.is_empty() {
            return f.write_str("; it said nothing there at all");
        }
        f.write_str("\n  the console's last lines:")?;
        self.console.iter().try_for_each(|line| write!(f, "\n    | {line}"))
    }
}

impl std::error::Error for NotSaid {}

impl TypingError {
    /// Returns what to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::NotSaid(NotSaid { console, .. }) = self else { return None };
        console.is_empty().then(|| {
            "an installer whose words are only on its screen is waited for by time, `<wait10s>`, or told `console=ttyS0`"
                .to_owned()
        })
    }
}

/// Types a boot command, in which every placeholder is filled in. Each `<waitFor …>` waits for `patience` at the most, and
/// looks on in the console from where the one before it found its text. `told` hears of each thing before it is done.
///
/// # Errors
/// When the guest does not say what is waited for, or the machine ends.
pub async fn type_boot_command(
    running: &Running,
    command: &BootCommand,
    console: &Path,
    patience: Duration,
    told: impl FnMut(&BootAction),
) -> Result<(), TypingError> {
    let typist = Typist { running, listener: Listener::new(console), console, patience, shift_held: false };
    tokio::select! {
        biased;
        death = running.death() => Err(TypingError::Died(Box::new(death))),
        typed = typist.all(command, told) => typed,
    }
}

/// Takes a picture of the machine's screen into a PNG file.
///
/// # Errors
/// When the machine has no screen, or QEMU cannot write the file.
pub async fn screenshot(running: &Running, file: &Path) -> Result<(), Error> {
    let arguments = json!({"filename": file, "format": "png"});
    running.qmp().execute("screendump", arguments).await.map(drop)
}

struct Typist<'a> {
    running: &'a Running,
    listener: Listener<'a>,
    console: &'a Path,
    patience: Duration,
    /// Whether the command itself holds Shift.
    shift_held: bool,
}

impl Typist<'_> {
    async fn all(
        mut self,
        command: &BootCommand,
        mut told: impl FnMut(&BootAction),
    ) -> Result<(), TypingError> {
        for action in command {
            told(action);
            match action {
                BootAction::Press(key) => self.press(Stroke::plain(named(*key))).await?,
                BootAction::Hold(key) => self.hold(*key, true).await?,
                BootAction::Release(key) => self.hold(*key, false).await?,
                BootAction::Type(text) => self.text(text).await?,
                BootAction::Wait(time) => sleep(*time).await,
                BootAction::WaitFor(text) => self.wait_for(text).await?,
            }
        }
        Ok(())
    }

    async fn text(&self, text: &str) -> Result<(), TypingError> {
        for character in text.chars() {
            let stroke = typed(character).ok_or(TypingError::Character { character })?;
            self.press(stroke).await?;
        }
        Ok(())
    }

    async fn press(&self, stroke: Stroke) -> Result<(), TypingError> {
        // A Shift that the command holds must not be released by ours.
        let shift = stroke.shift && !self.shift_held;
        let down = [shift.then_some("shift"), Some(stroke.key)];
        self.send(down.into_iter().flatten(), true).await?;
        sleep(HOLD).await;
        self.send(down.into_iter().rev().flatten(), false).await?;
        sleep(PAUSE).await;
        Ok(())
    }

    async fn hold(&mut self, key: Key, down: bool) -> Result<(), TypingError> {
        if matches!(key, Key::Named(Named::LeftShift | Named::RightShift)) {
            self.shift_held = down;
        }
        self.send([named(key)], down).await?;
        sleep(PAUSE).await;
        Ok(())
    }

    async fn send(&self, keys: impl IntoIterator<Item = &str>, down: bool) -> Result<(), TypingError> {
        let event =
            |key| json!({"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": key}}});
        let events: Vec<_> = keys.into_iter().map(event).collect();
        let sent = self.running.qmp().execute("input-send-event", json!({ "events": events })).await;
        sent.map(drop).map_err(|error| TypingError::Qemu(Box::new(error)))
    }

    async fn wait_for(&mut self, text: &str) -> Result<(), TypingError> {
        if timeout(self.patience, self.listener.hears(text)).await.is_ok() {
            return Ok(());
        }
        let (text, console) = (text.to_owned(), tail(self.console, SHOWN));
        Err(TypingError::NotSaid(NotSaid { text, waited: self.patience, console }))
    }
}
