//! What the host asks for and what it learns: plain data that both sides share.

/// A disk or a partition of it, named so that no order of detection matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The disk's serial, as QEMU was given it (virtio-blk keeps 20 bytes).
    pub serial: String,
    /// The partition's number; `None` for the whole disk.
    pub partition: Option<u32>,
}

/// A file system to mount below the image's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What to mount.
    pub device: Device,
    /// The kernel's name for the file system: `ext4`, `vfat`.
    pub filesystem: String,
    /// Options that the file system itself understands: `umask=0077`.
    pub options: String,
    /// Where, as the image sees it: `/` first, then `/boot`, `/boot/efi`.
    pub path: String,
    /// Mounts it for reading only.
    pub read_only: bool,
    /// Grows the file system to the size of its device, once it is mounted. ext4, XFS and btrfs can.
    pub grow: bool,
}

/// What every conversation begins with. A machine that was saved knows neither, and another one may have been restored
/// from the same state: without the host's random bytes the two would make the same keys.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Greeting {
    /// Seconds since 1970: the guest's clock, which certificates are checked against. 0 leaves it alone.
    pub unix_time: u64,
    /// Random bytes of the host for the kernel's generator; at most 512.
    pub entropy: Vec<u8>,
}

impl std::fmt::Debug for Greeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Greeting").field("unix_time", &self.unix_time).finish_non_exhaustive()
    }
}

/// What the chroot gets beside the image's own files. None of it stays in the image.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Setup {
    /// The network card's settings; `None` leaves the guest without a network.
    pub network: Option<Network>,
    /// The host name while steps run; `None` takes the image's `/etc/hostname`.
    pub hostname: Option<String>,
    /// Variables that every program gets, below its own: proxies of the host.
    pub environment: Vec<(String, String)>,
    /// Certificates (PEM) of authorities that programs trust beside the image's own.
    pub ca_certificates: Option<Vec<u8>>,
    /// Runs every program under the 32-bit personality: `uname -m` says `i686`.
    pub personality_32bit: bool,
}

impl std::fmt::Debug for Setup {
    /// Names variables without their values: a proxy's address may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup")
            .field("network", &self.network)
            .field("hostname", &self.hostname)
            .field("environment", &names(&self.environment))
            .field("personality_32bit", &self.personality_32bit)
            .finish_non_exhaustive()
    }
}

/// Fixed settings of the one network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The card's IPv4 address.
    pub address: [u8; 4],
    /// The length of the network's prefix.
    pub prefix: u8,
    /// Where everything else goes.
    pub gateway: [u8; 4],
    /// Who answers names.
    pub nameserver: [u8; 4],
}

impl Network {
    /// The fixed addresses of QEMU's user network.
    pub const QEMU_USER: Self =
        Self { address: [10, 0, 2, 15], prefix: 24, gateway: [10, 0, 2, 2], nameserver: [10, 0, 2, 3] };
}

/// A program to run in the chroot, in a session of its own.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Exec {
    /// The program, looked up in `PATH` when it holds no slash, and its arguments.
    pub argv: Vec<String>,
    /// Variables over `PATH`, `HOME`, `USER`, `LOGNAME` and `SHELL`, which the agent sets from the image's `/etc/passwd`.
    pub environment: Vec<(String, String)>,
    /// An absolute path; `None` is `/`.
    pub working_directory: Option<String>,
    /// A name or a number of the image's, with a group perhaps: `app`, `1000`, `app:www-data`. `None` is root.
    pub user: Option<String>,
    /// Gives it a terminal of this size: it reads what the host sends, and all that it writes comes as its standard output.
    /// `None` has no input, and two outputs.
    pub terminal: Option<TerminalSize>,
}

impl std::fmt::Debug for Exec {
    /// Names variables without their values: they may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exec")
            .field("argv", &self.argv)
            .field("environment", &names(&self.environment))
            .field("working_directory", &self.working_directory)
            .field("user", &self.user)
            .field("terminal", &self.terminal)
            .finish()
    }
}

fn names(environment: &[(String, String)]) -> Vec<&str> {
    environment.iter().map(|(name, _)| name.as_str()).collect()
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

impl ExitStatus {
    /// Says whether it exited with 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signaled(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL, perhaps the guest ran out of memory",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// Which of a program's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What the image was left with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Finished {
    /// It uses SELinux, and labels its files when it first boots: `/.autorelabel` is there.
    pub relabels: bool,
}

/// The guest, as it introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The running kernel's release, like `6.1.0-37-cloud-amd64`.
    pub kernel: String,
    /// From the kernel's start to this answer.
    pub uptime: std::time::Duration,
    /// Whether the kernel takes disks that are plugged in while it runs.
    pub hot_plug: bool,
}
