//! The one stream of events that a build emits; terminals, logs and JSON are readers of it.
//!
//! ```text
//! PhaseStarted ─ (Output | Progress | Note | Warning)* ─ PhaseFinished { Done | Cached | Failed }
//! ```
//! Phases of one build follow each other and never nest. A phase whose guard is dropped unfinished has failed:
//! an early return cannot leave one open.

use std::{fmt, sync::Arc, time::Duration, time::Instant};

/// What a phase of a build is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The source becomes a base disk.
    Base {
        /// The source for people: `debian bookworm, 4GiB`.
        source: String,
    },
    /// The base disk becomes a snapshot.
    BaseSnapshot,
    /// QEMU starts and the communicator answers.
    Machine,
    /// The volumes of an instance are made.
    Volumes,
    /// A provisioner runs.
    Step {
        /// Its place, from 1.
        number: usize,
        /// How many there are.
        count: usize,
        /// The provisioner's name.
        name: String,
    },
    /// What belongs to one machine alone is taken out of the image.
    Sysprep,
    /// The guest's file systems are closed and the machine is turned off.
    Shutdown,
    /// What changed is searched for the values of sensitive variables.
    SecretsScan,
    /// An image's volumes are written as disks of a machine.
    ImageCopy {
        /// The image's id.
        image: String,
    },
    /// A test runs.
    Test {
        /// Its place, from 1.
        number: usize,
        /// How many there are.
        count: usize,
        /// The test's name.
        name: String,
    },
    /// The changed blocks go into the store.
    Snapshot,
    /// The image's record is written.
    Register,
    /// A disk file is made from the snapshot.
    Export {
        /// Where it will lie, as the template says.
        path: String,
    },
    /// A disk becomes a bundle.
    Bundle {
        /// The bundle's name.
        prefix: String,
    },
    /// A bundle becomes a disk again.
    Unbundle {
        /// Its manifest.
        manifest: String,
    },
    /// Blocks are read and compared with their digests.
    Verify {
        /// Whose: a snapshot or a region.
        what: String,
    },
    /// A snapshot's blocks go to another region.
    Copy {
        /// That region's name.
        region: String,
    },
    /// What no snapshot names is looked for and deleted.
    Collect,
}

impl Phase {
    /// Returns what summaries call the phase, without the step's place.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Step { name, .. } | Self::Test { name, .. } => name.clone(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base { source } => write!(f, "base: {source}"),
            Self::BaseSnapshot => f.write_str("base snapshot"),
            Self::Machine => f.write_str("machine"),
            Self::Step { number, count, name } => write!(f, "step {number}/{count}: {name}"),
            Self::Sysprep => f.write_str("sysprep"),
            Self::Shutdown => f.write_str("shutdown"),
            Self::SecretsScan => f.write_str("scan for secrets"),
            Self::ImageCopy { image } => write!(f, "copy of {image}"),
            Self::Test { number, count, name } => write!(f, "test {number}/{count}: {name}"),
            Self::Snapshot => f.write_str("snapshot"),
            Self::Register => f.write_str("image"),
            Self::Volumes => f.write_str("volumes"),
            Self::Export { path } => write!(f, "export {path}"),
            Self::Bundle { prefix } => write!(f, "bundle {prefix}"),
            Self::Unbundle { manifest } => write!(f, "unbundle {manifest}"),
            Self::Verify { what } => write!(f, "verify {what}"),
            Self::Copy { region } => write!(f, "copy to {region}"),
            Self::Collect => f.write_str("garbage collection"),
        }
    }
}

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work.
    Done,
    /// Its result was there already.
    Cached,
    /// The template leaves it out of this run.
    Skipped,
    /// It failed, or was given up.
    Failed,
}

/// Something that happened in a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A build begins.
    BuildStarted {
        /// The template's name.
        template: String,
    },
    /// A phase begins.
    PhaseStarted(Phase),
    /// A line of output of what runs, without its end of line, secrets masked.
    Output(String),
    /// The running phase has come this far, in bytes; a total of 0 is not known.
    Progress {
        /// Bytes done.
        done: u64,
        /// Bytes to do.
        total: u64,
    },
    /// A fact worth a line: the accelerator chosen and why.
    Note(String),
    /// Something that is not right and does not stop the build.
    Warning(String),
    /// A person gets the terminal, `true`, or gives it back: nothing else may be drawn meanwhile.
    TerminalTaken(bool),
    /// A phase ends.
    PhaseFinished {
        /// The phase.
        phase: Phase,
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
        /// What came of it, for people: an id, a size; may be empty.
        detail: String,
    },
}

/// Where a build's events go. Cheap to clone; called from any thread.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Sends every event to `reader`, which must return soon: the build waits for it.
    #[must_use]
    pub fn to(reader: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(reader))
    }

    /// Drops every event.
    #[must_use]
    pub fn ignored() -> Self {
        Self::to(drop)
    }

    /// Emits one event.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Emits a line of output.
    pub fn output(&self, line: impl Into<String>) {
        self.emit(Event::Output(line.into()));
    }

    /// Emits a note.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note(text.into()));
    }

    /// Emits a warning.
    pub fn warning(&self, text: impl Into<String>) {
        self.emit(Event::Warning(text.into()));
    }

    /// Emits how far the running phase has come.
    pub fn progress(&self, done: u64, total: u64) {
        self.emit(Event::Progress { done, total });
    }

    /// Begins a phase; it ends with the guard.
    #[must_use]
    pub fn begin(&self, phase: Phase) -> OpenPhase {
        self.emit(Event::PhaseStarted(phase.clone()));
        OpenPhase { events: self.clone(), phase: Some(phase), since: Instant::now() }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// A phase that has begun. Dropped without an end, it has failed.
#[derive(Debug)]
pub struct OpenPhase {
    events: Events,
    phase: Option<Phase>,
    since: Instant,
}

impl OpenPhase {
    /// Ends the phase: its work is done.
    pub fn done(self, detail: impl Into<String>) {
        self.finish(Outcome::Done, detail.into());
    }

    /// Ends the phase: its result was there already.
    pub fn cached(self, detail: impl Into<String>) {
        self.finish(Outcome::Cached, detail.into());
    }

    /// Ends the phase: this run leaves it out.
    pub fn skipped(self, why: impl Into<String>) {
        self.finish(Outcome::Skipped, why.into());
    }

    /// Ends the phase: it failed.
    pub fn failed(self, why: impl Into<String>) {
        self.finish(Outcome::Failed, why.into());
    }

    fn finish(mut self, outcome: Outcome, detail: String) {
        self.close(outcome, detail);
    }

    fn close(&mut self, outcome: Outcome, detail: String) {
        if let Some(phase) = self.phase.take() {
            let took = self.since.elapsed();
            self.events.emit(Event::PhaseFinished { phase, outcome, took, detail });
        }
    }
}

impl Drop for OpenPhase {
    fn drop(&mut self) {
        self.close(Outcome::Failed, String::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_phase_ends_once_and_fails_when_dropped() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let events = Events::to({
            let seen = Arc::clone(&seen);
            move |event| seen.lock().unwrap().push(event)
        });
        events.begin(Phase::Machine).done("up");
        drop(events.begin(Phase::Snapshot));
        let outcomes: Vec<_> = seen
            .lock()
            .unwrap()
            .iter()
            .filter_map(|event| match event {
                Event::PhaseFinished { phase, outcome, .. } => Some((phase.clone(), *outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(outcomes, [(Phase::Machine, Outcome::Done), (Phase::Snapshot, Outcome::Failed)]);
    }
}
