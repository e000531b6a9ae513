//! The protocol between `kiln` and the agent, over one virtio-serial port: a stream of bytes each way.
//!
//! ```text
//! frame    0  u32  length of the body, at most MAX_BODY
//!          4  u32  id of the request that it belongs to, chosen by the host
//!          8  u8   kind: below 128 from the host, from 128 on from the agent
//!          9  body
//! integers are little-endian; text and bytes are a u32 length and that many bytes; a list is a u32 count and its items;
//! an optional value is a byte 0, or a byte 1 and the value
//!
//! host                                agent
//! 1  Hello      magic, version,  ->   128 Hello   version, kernel, …            answers at any time, also after a restore
//!               greeting
//! 2  Mount      mounts           ->   129 Done | 130 Failed
//! 3  SetUp      setup            ->   129 Done | 130 Failed
//! 4  Exec       what to run      ->   132 Stdout, 133 Stderr …, then 131 Exited | 130 Failed
//! 5  Signal     signal           ->                                             id is the Exec's
//! 6  Upload     destination      ->   129 Done after UploadEnd | 130 Failed at any time
//! 7  Entry      folder/file/link ->                                             id is the Upload's, so in 8 and 9
//! 8  Chunk      bytes            ->                                             of the file that was last named
//! 9  UploadEnd                   ->
//! 10 Download   path             ->   134 Chunk …, then 129 Done | 130 Failed
//! 11 EndStep                     ->   129 Done | 130 Failed
//! 12 Finish     trim             ->   135 Finished | 130 Failed
//! 13 PowerOff                    ->   the stream ends
//! 14 Input      bytes            ->                                             id is the Exec's, which has a terminal
//! 15 Resize     rows, columns    ->                                             likewise
//!                                     130 Failed with id 0: the agent itself broke down
//! ```
//! A virtio-serial port holds a writer until the other side reads. So that the two never wait for each other, the agent's
//! reader never waits for its writer: answers are queued, and only the threads that pass on a program's output or a
//! download wait for room in the queue. The host reads whenever it waits.
//!
//! Neither side trusts the other: lengths are checked before anything is allocated, and what does not decode is an error.

mod error;
mod frame;
mod reply;
mod request;
mod wire;

pub use error::ProtocolError;
pub use frame::{CHUNK, Frame, HEADER_SIZE, Header, MAX_BODY, read_frame};
pub use reply::Reply;
pub use request::{EntryKind, Request, StepSignal};

/// The version of the protocol; the two sides must agree. The agent rides inside `kiln`, so they differ only when a stale
/// initramfs or a saved machine is used.
pub const VERSION: u16 = 2;

/// The name of the virtio-serial port that the agent listens on.
pub const PORT: &str = "org.kiln.agent.0";

#[cfg(test)]
mod tests;
