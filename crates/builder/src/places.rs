//! What builds that run at the same time take together: no more than the host has.
//!
//! A build waits for its machine's processors, then for its memory. Every build asks in this order, and one that wants
//! more than there is gets all of it: none waits for ever.

use kiln_template::Machine;
use std::num::NonZero;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Of the host's memory, machines get at most this many quarters.
const QUARTERS: u64 = 3;

/// What this host has for machines.
#[derive(Debug)]
pub struct Places {
    processors: Room,
    /// In MiB.
    memory: Room,
    /// Whether a build takes one place, whatever its machine's processors are.
    counted: bool,
}

/// What a running build takes; given back when dropped.
#[derive(Debug)]
pub struct Place<'a> {
    _processors: SemaphorePermit<'a>,
    _memory: SemaphorePermit<'a>,
}

#[derive(Debug)]
struct Room {
    free: Semaphore,
    size: u32,
}

impl Room {
    fn new(size: u64) -> Self {
        // More than the semaphore counts is as good as no limit.
        let size = u32::try_from(size).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        Self { free: Semaphore::new(usize::try_from(size).unwrap_or(Semaphore::MAX_PERMITS)), size }
    }

    async fn take(&self, wanted: u64) -> SemaphorePermit<'_> {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(1, self.size);
        self.free.acquire_many(wanted).await.expect("the semaphore is never closed")
    }
}

impl Places {
    /// Takes stock of this host. `jobs` is how many builds may run at once, in place of as many as there are processors
    /// for; memory limits them either way.
    #[must_use]
    pub fn of_host(jobs: Option<NonZero<usize>>) -> Self {
        let processors = jobs.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
        let system = rustix::system::sysinfo();
        let memory = u128::from(system.totalram) * u128::from(system.mem_unit) * u128::from(QUARTERS) / 4;
        Self {
            processors: Room::new(processors.try_into().unwrap_or(u64::MAX)),
            memory: Room::new(u64::try_from(memory >> 20).unwrap_or(u64::MAX)),
            counted: jobs.is_some(),
        }
    }

    /// Waits until there is room for a machine.
    pub async fn take(&self, machine: &Machine) -> Place<'_> {
        let processors = if self.counted { 1 } else { u64::from(machine.cpus) };
        Place {
            _processors: self.processors.take(processors).await,
            _memory: self.memory.take(machine.memory.bytes() >> 20).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn places(processors: u64, memory: u64, counted: bool) -> Places {
        Places { processors: Room::new(processors), memory: Room::new(memory), counted }
    }

    #[test]
    fn machines_wait_for_processors_and_for_memory() {
        // Two processors and 1 GiB.
        let machine = Machine::default();
        for (places, most) in [
            (places(4, 8192, false), 2),
            (places(8, 3000, false), 2),
            (places(3, 8192, true), 3),
            (places(1, 10, false), 1),
        ] {
            let mut taken: Vec<_> = (0..most).map(|_| places.take(&machine).now_or_never()).collect();
            assert!(taken.iter().all(Option::is_some), "{places:?}");
            assert!(places.take(&machine).now_or_never().is_none(), "{places:?}");
            drop(taken.pop());
            assert!(places.take(&machine).now_or_never().is_some(), "{places:?}");
        }
    }
}
