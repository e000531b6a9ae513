//! The kernel's clock, random generator and discards.

use super::failure::{Doing, Failure};
use rustix::{
    fs::{Mode, OFlags, open},
    io,
    ioctl::{Setter, Updater, ioctl, opcode},
    time::{ClockId, Timespec, clock_settime},
};
use std::path::Path;

/// The most entropy that one request carries.
const ENTROPY: usize = 512;

/// Sets the clock; 0 leaves it.
pub(crate) fn set_clock(unix_time: u64) -> Result<(), Failure> {
    if unix_time == 0 {
        return Ok(());
    }
    let seconds = i64::try_from(unix_time).doing(|| "reading the host's clock".to_owned())?;
    clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: 0 })
        .doing(|| "setting the clock".to_owned())
}

/// `struct rand_pool_info` of random(4).
#[repr(C)]
struct RandPoolInfo {
    entropy_count: i32,
    buf_size: i32,
    buf: [u8; ENTROPY],
}

/// `RNDADDENTROPY`; its number was made with the size of the two counts alone.
const RNDADDENTROPY: u32 = opcode::write::<[i32; 2]>(b'R', 0x03);
const RNDRESEEDCRNG: u32 = opcode::none(b'R', 0x07);

/// Mixes the host's random bytes in and counts them as such, so that nothing waits for entropy and no two guests share keys.
pub(crate) fn add_entropy(bytes: &[u8]) -> Result<(), Failure> {
    let bytes = &bytes[..bytes.len().min(ENTROPY)];
    if bytes.is_empty() {
        return Ok(());
    }
    let what = || "adding entropy".to_owned();
    let size = i32::try_from(bytes.len()).doing(what)?;
    let mut pool = RandPoolInfo { entropy_count: size * 8, buf_size: size, buf: [0; ENTROPY] };
    pool.buf[..bytes.len()].copy_from_slice(bytes);
    let random = open("/dev/urandom", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).doing(what)?;
    #[expect(unsafe_code, reason = "no safe wrapper for RNDADDENTROPY")]
    // SAFETY: the kernel reads buf_size bytes of buf, which is at most its length.
    unsafe { ioctl(&random, Setter::<{ RNDADDENTROPY }, RandPoolInfo>::new(pool)) }.doing(what)?;
    #[expect(unsafe_code, reason = "no safe wrapper for RNDRESEEDCRNG")]
    // SAFETY: takes no argument.
    let reseeded = unsafe { ioctl(&random, rustix::ioctl::NoArg::<{ RNDRESEEDCRNG }>::new()) };
    // Kernels before 4.14 reseed by themselves.
    reseeded.ok();
    Ok(())
}

/// `struct fstrim_range` of linux/fs.h.
#[repr(C)]
struct FstrimRange {
    start: u64,
    len: u64,
    minlen: u64,
}

const FITRIM: u32 = opcode::read_write::<FstrimRange>(b'X', 121);

/// Discards every block that no file uses. A disk that takes no discards is left as it is.
pub(crate) fn trim(place: &Path) -> io::Result<()> {
    let folder = open(place, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut range = FstrimRange { start: 0, len: u64::MAX, minlen: 0 };
    #[expect(unsafe_code, reason = "no safe wrapper for FITRIM")]
    // SAFETY: the kernel reads and writes one fstrim_range.
    let trimmed = unsafe { ioctl(&folder, Updater::<{ FITRIM }, FstrimRange>::new(&mut range)) };
    match trimmed {
        Err(io::Errno::OPNOTSUPP | io::Errno::NOTTY | io::Errno::ROFS) => Ok(()),
        other => other,
    }
}
