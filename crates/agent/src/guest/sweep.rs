//! Ending every process of the guest but the agent.

use super::{exec::Programs, failure::Failure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(15);

/// Asks until it is so; `false` when patience is over.
pub(crate) fn wait_for(mut done: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if done() {
            return true;
        }
        if started.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Kills every process. PID 1 is never among those that a signal to everyone reaches; kernel threads take none.
pub(crate) fn everything(programs: &Programs) -> Result<(), Failure> {
    let mut left = Vec::new();
    let gone = wait_for(|| {
        // An error means that there is no one.
        kill_process_group(Pid::INIT, Signal::KILL).ok();
        left = processes(Path::new("/proc"));
        left.is_empty() && programs.idle()
    });
    if gone { Ok(()) } else { Err(Failure::new(format!("processes do not end: {}", left.join(", ")))) }
}

/// Names the processes that are neither the agent nor threads of the kernel, which are all children of PID 2.
fn processes(proc: &Path) -> Vec<String> {
    let entries =
        fs_err::read_dir(proc).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let numbers = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|pid| *pid > 2).filter_map(|pid| process(&proc.join(pid.to_string()))).collect()
}

/// ```text
/// /proc/41/stat   41 (a name) S 1 …      its parent is the second field after the last parenthesis
/// ```
fn process(folder: &Path) -> Option<String> {
    let stat = fs_err::read_to_string(folder.join("stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let parent = tail.split_whitespace().nth(1)?;
    (parent != "2").then(|| head.replacen(" (", " ", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_threads_and_the_agent_are_left_out() {
        let proc = tempfile::tempdir().unwrap();
        let put = |pid: &str, stat: &str| {
            fs_err::create_dir_all(proc.path().join(pid)).unwrap();
            fs_err::write(proc.path().join(pid).join("stat"), stat).unwrap();
        };
        put("1", "1 (init) S 0 1 1");
        put("2", "2 (kthreadd) S 0 0 0");
        put("13", "13 (ksoftirqd/0) S 2 0 0");
        put("99", "99 (a) b) (c) D 1 99 99");
        put("self", "");
        assert_eq!(processes(proc.path()), ["99 a) b) (c"]);
    }
}
