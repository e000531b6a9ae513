//! What the figures were measured on.

use super::Bench;
use crate::run::output;
use serde_json::{Value, json};

/// This host.
#[derive(Debug, Default)]
pub(super) struct Host {
    cores: usize,
    memory_mib: u64,
    cpu: String,
    kernel: String,
    accelerator: &'static str,
    qemu: String,
}

impl Host {
    pub(super) fn look(bench: &Bench) -> Self {
        let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
        let qemu = output("qemu-system-x86_64", &["--version"]).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory(&read("/proc/meminfo")).unwrap_or_default(),
            cpu: cpu(&read("/proc/cpuinfo")).unwrap_or("unknown processor").to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            accelerator: bench.accelerator,
            qemu: qemu
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("QEMU emulator version ")
                .to_owned(),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({"cores": self.cores, "memory_mib": self.memory_mib, "cpu": self.cpu, "kernel": self.kernel,
               "accelerator": self.accelerator, "qemu": self.qemu})
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cores, gib) = (self.cores, (self.memory_mib + 512) / 1024);
        let accelerator = self.accelerator.to_uppercase();
        write!(
            f,
            "{cores} cores, {gib} GiB, {}, Linux {}, {accelerator}, QEMU {}",
            self.cpu, self.kernel, self.qemu
        )
    }
}

fn memory(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kib.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn cpu(cpuinfo: &str) -> Option<&str> {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says() {
        assert_eq!(memory("MemTotal:       24689412 kB\nMemFree: 1 kB\n"), Some(24110));
        assert_eq!(cpu("processor\t: 0\nmodel name\t: AMD EPYC\nflags\t: x\n"), Some("AMD EPYC"));
    }
}
