//! Giving up: work on other threads looks at a flag that is set when the build's future is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A flag that long work on another thread looks at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Says whether the work should be given up.
    #[must_use]
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns the flag itself, for crates that take one.
    #[must_use]
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Asks for the work to be given up.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sets the flag when dropped: a build that is interrupted stops what it started elsewhere.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(pub(crate) Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}
