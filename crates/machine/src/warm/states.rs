//! The folder of saved states.
//!
//! ```text
//! <states>/<key>/memory        QEMU's own format; sparse; 0600, for it holds a guest's memory
//!               /state.json    {"size", "modified", "unpacked"} of it, or {"refused": why} where this machine cannot be saved
//!         /.staging-…          what a killed run leaves behind
//! ```
//! A state is written beside its place, synced, and renamed whole. It is found to be whole by its size and time, locked
//! while it is read, and deleted when it is of no use, or when newer ones need the room.

use super::key::Key;
use serde_json::{Value, json};
use std::{
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// What all states may take: a state takes about a hundred megabytes, and every kernel and size of machine has its own.
const MOST_STATES: usize = 8;
const MOST_BYTES: u64 = 2 << 30;

/// No run stages for as long.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

const MEMORY: &str = "memory";
const RECORD: &str = "state.json";
const STAGING: &str = ".staging-";

/// A folder of states.
#[derive(Debug, Clone)]
pub(super) struct States(PathBuf);

/// What is known of a key.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Saved(Saved),
    /// There was one; why it is of no use. It is gone.
    Unusable(String),
    /// There cannot be one: why.
    Refused(String),
}

/// A state that is whole. It stays while this lives.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) memory: PathBuf,
    /// It was booted from an unpacked kernel.
    pub(super) unpacked: bool,
    /// Shared with those who read it; whoever deletes it wants it alone.
    _lock: fs_err::File,
}

/// A state that is being written.
#[derive(Debug)]
pub(super) struct Staged(tempfile::TempDir);

impl States {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn place(&self, key: &Key) -> PathBuf {
        self.0.join(key.to_string())
    }

    pub(super) fn find(&self, key: &Key) -> Found {
        match open(&self.place(key)) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
            Err(error) => {
                self.discard(key);
                Found::Unusable(format!("the saved machine cannot be read: {error}"))
            }
        }
    }

    /// Deletes a state. One that another build reads just now stays.
    pub(super) fn discard(&self, key: &Key) {
        remove(&self.place(key));
    }

    /// Notes that this machine cannot be saved.
    pub(super) fn refuse(&self, key: &Key, why: &str) {
        let noted = self.stage().and_then(|staged| {
            let record = json!({"refused": why}).to_string();
            fs_err::write(staged.0.path().join(RECORD), record)?;
            staged.rename(&self.place(key))
        });
        // It is only tried in vain once more.
        drop(noted);
    }

    pub(super) fn stage(&self) -> io::Result<Staged> {
        fs_err::create_dir_all(&self.0)?;
        let (mut builder, owner) = (tempfile::Builder::new(), PermissionsExt::from_mode(0o700));
        let folder = builder.prefix(STAGING).permissions(owner).tempdir_in(&self.0)?;
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true);
        options.options_mut().mode(0o600);
        options.open(folder.path().join(MEMORY))?;
        Ok(Staged(folder))
    }

    /// Makes room: what is left of killed runs goes, and the states that were not used for longest.
    fn prune(&self) -> io::Result<()> {
        let mut states = Vec::new();
        for entry in fs_err::read_dir(&self.0)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let modified = |path: &Path| fs_err::metadata(path).and_then(|metadata| metadata.modified());
            if name.to_string_lossy().starts_with(STAGING) {
                let age = modified(&path).ok().and_then(|then| then.elapsed().ok());
                if age.is_some_and(|age| age > ABANDONED_AFTER) {
                    fs_err::remove_dir_all(&path)?;
                }
            } else if let Ok(used) = modified(&path.join(RECORD)) {
                let size = fs_err::metadata(path.join(MEMORY)).map_or(0, |memory| memory.blocks() * 512);
                states.push((used, size, path));
            }
        }
        states.sort_by(|one, other| other.cmp(one));
        let mut total = 0;
        for (number, (_, size, path)) in states.iter().enumerate() {
            total += size;
            if number >= MOST_STATES || total > MOST_BYTES {
                remove(path);
            }
        }
        Ok(())
    }
}

impl Staged {
    /// Where QEMU writes to.
    pub(super) fn memory(&self) -> PathBuf {
        self.0.path().join(MEMORY)
    }

    /// Puts the state in its place, in the background: a disk takes longer to keep it than QEMU took to write it. Where that
    /// fails, the next start is cold, too.
    pub(super) fn publish(self, states: &States, key: &Key, unpacked: bool) {
        let (states, place) = (states.clone(), states.place(key));
        drop(tokio::task::spawn_blocking(move || -> io::Result<()> {
            let memory = fs_err::File::open(self.memory())?;
            memory.sync_all()?;
            let record = record(&memory.metadata()?, unpacked).to_string();
            fs_err::write(self.0.path().join(RECORD), record)?;
            self.rename(&place)?;
            states.prune()
        }));
    }

    /// Another build may have been faster: its state is as good.
    fn rename(self, place: &Path) -> io::Result<()> {
        if !place.exists() {
            fs_err::rename(self.0.path(), place)?;
            drop(self.0.keep());
        }
        Ok(())
    }
}

/// Opens a state, and notes that it is in use.
fn open(place: &Path) -> io::Result<Found> {
    let mut options = fs_err::OpenOptions::new();
    let note = options.read(true).write(true).open(place.join(RECORD))?;
    let text = fs_err::read_to_string(place.join(RECORD))?;
    let expected: Value = serde_json::from_str(&text)?;
    if let Some(why) = expected.get("refused").and_then(Value::as_str) {
        return Ok(Found::Refused(why.to_owned()));
    }
    let memory = place.join(MEMORY);
    let lock = fs_err::File::open(&memory)?;
    lock.file().lock_shared()?;
    let unpacked = expected.get("unpacked").and_then(Value::as_bool).unwrap_or_default();
    if record(&lock.metadata()?, unpacked) != expected {
        drop(lock);
        remove(place);
        return Ok(Found::Unusable("the saved machine is not as it was saved".to_owned()));
    }
    note.file().set_modified(SystemTime::now())?;
    Ok(Found::Saved(Saved { memory, unpacked, _lock: lock }))
}

/// What a file that was cut, copied or written to differs in.
fn record(memory: &std::fs::Metadata, unpacked: bool) -> Value {
    json!({"size": memory.size(), "modified": [memory.mtime(), memory.mtime_nsec()], "unpacked": unpacked})
}

/// Deletes a state that nobody reads. It leaves its place first, so that nobody finds half of it.
fn remove(place: &Path) {
    let removed = || -> io::Result<()> {
        if let Ok(memory) = fs_err::File::open(place.join(MEMORY)) {
            memory.file().try_lock()?;
        }
        let gone = tempfile::Builder::new().prefix(STAGING).tempdir_in(place.parent().unwrap_or(place))?;
        fs_err::rename(place, gone.path().join("state"))
    };
    // What stays is deleted by a later run.
    drop(removed());
}
