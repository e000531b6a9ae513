//! One run of a program: its time, its memory, and what it made.

use anyhow::{Context, Result, ensure};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    /// The most memory that the program held, in KiB.
    pub(super) memory: u64,
    /// Bytes that it wrote and left.
    pub(super) bytes: u64,
}

/// As much of a file is read ahead of a run: all that holds data of the disks that are measured, of which one has 1 TiB.
const WARM: u64 = 4 << 30;

/// Reads a file, or all files of a folder, so that they are in the page cache, which hosts make smaller behind one's back.
pub(super) fn warm(path: &Path) -> Result<()> {
    if !path.is_dir() {
        return Ok(io::copy(&mut fs_err::File::open(path)?.take(WARM), &mut io::sink()).map(drop)?);
    }
    fs_err::read_dir(path)?.try_for_each(|entry| warm(&entry?.path()))
}

/// Runs a command to its end; it must succeed.
pub(super) fn run(command: &mut Command) -> Result<Cost> {
    let shown = format!("{command:?}").replace('"', "");
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.with_context(|| format!("{shown} cannot be run"))?;
    let status = format!("/proc/{}/status", child.id());
    let watch = thread::spawn(move || {
        let mut most = 0;
        // The file loses its line about memory when the program has ended, and is gone when it has been waited for.
        while let Some(peak) = fs_err::read_to_string(&status).ok().as_deref().and_then(peak) {
            most = peak.max(most);
            thread::sleep(Duration::from_millis(2));
        }
        most
    });
    let ended = child.wait()?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(ended.success(), "{shown}: {ended}");
    let memory = watch.join().map_err(|_panicked| anyhow::anyhow!("the watcher of {shown} panicked"))?;
    Ok(Cost { seconds, memory, bytes: 0 })
}

fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Counts the bytes of a file, or of all files in a folder.
pub(super) fn bytes(path: &Path) -> Result<u64> {
    let metadata = fs_err::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let entries: Vec<PathBuf> =
        fs_err::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.iter().map(|entry| bytes(entry)).sum()
}

/// The median of what runs cost, each part by itself; of memory the most.
pub(super) fn median(costs: &[Cost]) -> Option<Cost> {
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let (lower, upper) = (values.get((values.len().max(1) - 1) / 2)?, values.get(values.len() / 2)?);
        Some(f64::midpoint(*lower, *upper))
    };
    let last = costs.last()?;
    Some(Cost {
        seconds: middle(costs.iter().map(|cost| cost.seconds).collect())?,
        memory: costs.iter().map(|cost| cost.memory).max()?,
        bytes: last.bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let cost = |seconds, memory| Cost { seconds, memory, bytes: 7 };
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[cost(9.0, 1), cost(1.0, 5), cost(3.0, 2)]), Some(cost(3.0, 5)));
        assert_eq!(median(&[cost(1.0, 1), cost(2.0, 1)]), Some(cost(1.5, 1)));
    }

    #[test]
    fn what_linux_says_of_memory() {
        assert_eq!(peak("Name:\tx\nVmHWM:\t   12345 kB\n"), Some(12_345));
        assert_eq!(peak("Name:\tx\nState:\tZ (zombie)\n"), None);
    }
}
