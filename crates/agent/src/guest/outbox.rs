//! The queue of messages to the host, so that whoever reads requests never waits for the host to read answers.

use crate::protocol::{ProtocolError, Reply};
use std::{
    collections::VecDeque,
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Output and downloads wait when this much is queued: a host that reads slowly slows the program down, not the guest's
/// memory.
const BULK_LIMIT: usize = 1 << 20;

/// Where replies go. Clones share the queue.
#[derive(Clone, Default)]
pub(crate) struct Outbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Vec<u8>>,
    queued: usize,
    writing: bool,
    closed: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a reply; never waits.
    pub(crate) fn send(&self, id: u32, reply: &Reply) {
        let bytes = reply.encode(id).or_else(|error: ProtocolError| {
            Reply::Failed(format!("an answer does not fit: {error}")).encode(id)
        });
        if let Ok(bytes) = bytes {
            self.push(bytes);
        }
    }

    /// Queues a reply that is one of many; waits for room. Replies to a host that went away are dropped.
    pub(crate) fn send_bulk(&self, id: u32, reply: &Reply) {
        let mut state = self.lock();
        while state.queued > BULK_LIMIT && !state.closed {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.send(id, reply);
    }

    fn push(&self, bytes: Vec<u8>) {
        let mut state = self.lock();
        if !state.closed {
            state.queued += bytes.len();
            state.queue.push_back(bytes);
            self.0.changed.notify_all();
        }
    }

    /// Waits until everything queued has been written, or nothing can be written any more.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        while (state.writing || !state.queue.is_empty()) && !state.closed {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the writer end once the queue is empty.
    pub(crate) fn close(&self) {
        self.flush();
        self.lock().closed = true;
        self.0.changed.notify_all();
    }

    /// Writes what is queued until the outbox is closed or the port fails.
    pub(crate) fn write_to(&self, mut port: impl Write) {
        loop {
            let mut state = self.lock();
            let next = loop {
                if let Some(next) = state.queue.pop_front() {
                    break next;
                }
                if state.closed {
                    return;
                }
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            state.writing = true;
            drop(state);
            let written = port.write_all(&next);
            let mut state = self.lock();
            state.writing = false;
            state.queued -= next.len();
            if written.is_err() {
                state.closed = true;
                state.queue.clear();
                state.queued = 0;
            }
            self.0.changed.notify_all();
        }
    }
}
