//! What the agent holds: the image's root, what is mounted, what runs.

use super::{
    authorities::{self, Extended},
    chroot, disks,
    exec::{Place, Programs},
    failure::{Doing, Failure},
    grow, kernel,
    mounts::{self, Mounted},
    network,
    outbox::Outbox,
    reaper::Reaper,
    selinux, sweep,
    transients::Transients,
};
use crate::model::{Exec, Finished, Greeting, Mount, Setup};
use std::path::{Path, PathBuf};

/// Where the image's root is mounted in the appliance.
const SYSROOT: &str = "/sysroot";

/// The machine as the agent sees it.
pub struct System {
    pub(super) root: Option<PathBuf>,
    pub(super) programs: Programs,
    /// PID 1 of a machine of its own. Otherwise nothing beyond the programs started here may be touched.
    init: bool,
    mounted: Vec<Mounted>,
    setup: Option<Setup>,
    transients: Transients,
    authorities: Vec<Extended>,
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").field("root", &self.root).field("init", &self.init).finish_non_exhaustive()
    }
}

impl System {
    /// Takes over the machine that this process is PID 1 of.
    #[must_use]
    pub fn appliance() -> Self {
        Self::new(Some(PathBuf::from(SYSROOT)), Reaper::as_init(), true)
    }

    /// An ordinary process that runs programs and takes files, in a chroot of `root` where there is one. It mounts nothing
    /// and touches nothing else; for tests.
    #[must_use]
    pub fn process(root: Option<PathBuf>) -> Self {
        Self::new(root, Reaper::default(), false)
    }

    fn new(root: Option<PathBuf>, reaper: Reaper, init: bool) -> Self {
        let programs = Programs::new(reaper);
        Self {
            root,
            programs,
            init,
            mounted: Vec::new(),
            setup: None,
            transients: Transients::default(),
            authorities: Vec::new(),
        }
    }

    fn root(&self) -> PathBuf {
        self.root.clone().unwrap_or_else(|| PathBuf::from("/"))
    }

    fn as_init(&self, what: &str) -> Result<(), Failure> {
        if self.init { Ok(()) } else { Err(Failure::new(format!("only the appliance can {what}"))) }
    }

    /// Learns the time, and gives the kernel's generator the host's random bytes. A process beside others leaves both alone.
    pub(super) fn wake(&self, greeting: &Greeting) -> Result<(), Failure> {
        if !self.init {
            return Ok(());
        }
        kernel::add_entropy(&greeting.entropy)?;
        kernel::set_clock(greeting.unix_time)
    }

    /// Starts a program, with what the setup gives to every one.
    pub(super) fn start(&self, id: u32, mut exec: Exec, outbox: &Outbox) {
        let mut place = Place { root: self.root.clone(), personality_32bit: false };
        if let Some(setup) = &self.setup {
            exec.environment.splice(..0, setup.environment.iter().cloned());
            place.personality_32bit = setup.personality_32bit;
        }
        self.programs.start(id, exec, place, outbox);
    }

    pub(super) fn mount(&mut self, wanted: &[Mount]) -> Result<(), Failure> {
        self.as_init("mount")?;
        for mount in wanted {
            let node = disks::find(&mount.device)?;
            let place = if mount.path == "/" {
                fs_err::create_dir_all(self.root())?;
                self.root()
            } else {
                self.mount_point(Path::new(&mount.path))?
            };
            self.mounted.push(Mounted::mount(mount, &node, &place)?);
            if mount.grow {
                grow::grow(&mount.filesystem, &node, &place)?;
            }
        }
        Ok(())
    }

    /// Resolves a folder of the image. One that is missing is made, as the image's own init would.
    fn mount_point(&self, path: &Path) -> Result<PathBuf, Failure> {
        let root = self.root.as_deref();
        let found = chroot::inside(root, || {
            fs_err::create_dir_all(path)?;
            Ok(fs_err::canonicalize(path)?)
        })?;
        Ok(chroot::seen_from_outside(root, &found))
    }

    pub(super) fn set_up(&mut self, setup: &Setup) -> Result<(), Failure> {
        self.as_init("prepare a chroot")?;
        network::set_up(setup.network.as_ref())?;
        self.put_in_place(setup)?;
        self.setup = Some(setup.clone());
        Ok(())
    }

    fn put_in_place(&mut self, setup: &Setup) -> Result<(), Failure> {
        self.transients.put_in_place(&self.root(), setup)?;
        if let Some(certificates) = &setup.ca_certificates {
            self.authorities = chroot::inside(self.root.as_deref(), || authorities::extend(certificates))?;
        }
        Ok(())
    }

    pub(super) fn end_step(&mut self) -> Result<(), Failure> {
        self.end_programs()?;
        if let (true, Some(setup)) = (self.init, self.setup.take()) {
            self.take_away()?;
            self.put_in_place(&setup)?;
            self.setup = Some(setup);
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, trim: bool) -> Result<Finished, Failure> {
        self.end_programs()?;
        if !self.init {
            return Ok(Finished::default());
        }
        self.take_away()?;
        self.setup = None;
        let relabels = self.relabel()?;
        if trim {
            for mounted in self.mounted.iter().filter(|mounted| mounted.trims()) {
                kernel::trim(&mounted.place).doing(|| format!("trimming {}", mounted.path))?;
            }
        }
        rustix::fs::sync();
        while let Some(mounted) = self.mounted.last() {
            mounted.unmount()?;
            self.mounted.pop();
        }
        Ok(Finished { relabels })
    }

    /// What was written here has no label of the image's SELinux.
    fn relabel(&self) -> Result<bool, Failure> {
        if !self.mounted.first().is_some_and(Mounted::writable) {
            return Ok(false);
        }
        chroot::inside(self.root.as_deref(), || Ok(selinux::relabel()?))
    }

    fn end_programs(&self) -> Result<(), Failure> {
        if self.init {
            sweep::everything(&self.programs)
        } else {
            self.programs.kill();
            sweep::wait_for(|| self.programs.idle())
                .then_some(())
                .ok_or_else(|| Failure::new("a program does not end"))
        }
    }

    /// Unmounts everything in the image that is not of its own disk, and removes what was made to mount on.
    fn take_away(&mut self) -> Result<(), Failure> {
        let authorities = std::mem::take(&mut self.authorities);
        // Without an image there is no root to enter.
        if !authorities.is_empty() {
            chroot::inside(self.root.as_deref(), || authorities.iter().try_for_each(Extended::restore))?;
        }
        let keep: Vec<&Path> = self.mounted.iter().map(|mounted| &*mounted.place).collect();
        mounts::unmount_below(&self.root(), &keep)?;
        self.transients.remove(&self.root())
    }
}
