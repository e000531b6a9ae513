//! Whoever waits for a bundle: hears how far it is, and may give up.

use crate::Error;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

type Tell = Box<dyn Fn(u64, u64) + Send + Sync>;

/// How work on a bundle is looked after; by default nobody does.
#[derive(Default)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    tell: Option<Tell>,
}

impl Watch {
    /// Work ends early, and leaves nothing, once `stop` is set; `tell` gets what is done and all there is, bytes or parts.
    pub fn new(stop: Arc<AtomicBool>, tell: impl Fn(u64, u64) + Send + Sync + 'static) -> Self {
        Self { stop, tell: Some(Box::new(tell)) }
    }

    pub(crate) fn at(&self, done: u64, all: u64) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        if let Some(tell) = &self.tell {
            tell(done, all);
        }
        Ok(())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("stop", &self.stop).finish_non_exhaustive()
    }
}
