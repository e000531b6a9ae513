//! Every program that is measured, with what it is given.

use super::world::World;
use crate::{
    bench::{
        measure,
        race::{Tool, counted, removed, words},
    },
    run::{program, succeed},
};
use anyhow::{Context, Result};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// All of them, in the order of a round. A program that is not installed fails its first run, and takes no further part.
pub(super) fn all(world: &World) -> Result<Vec<Tool>> {
    let mut tools = vec![
        qemu_img(world, "qemu-img zstd", &["-c", "-o", "compression_type=zstd"])?,
        qemu_img(world, "qemu-img zstd 512k", &["-c", "-o", "compression_type=zstd,cluster_size=512k"])?,
        qemu_img(world, "qemu-img zlib", &["-c"])?,
        qemu_raw(world)?,
    ];
    let (flat, last) = (&world.first, &world.hundredth);
    // As the peers do, which hash nothing.
    let zstd = ["--compression", "zstd", "--cluster-size", "64KiB", "--no-sha256"];
    let zlib = ["--compression", "zlib", "--no-sha256"];
    tools.extend([
        export(world, "kiln qcow2", flat, "out.qcow2", &["--no-sha256"]),
        export(world, "kiln qcow2 with its sha256", flat, "out.qcow2", &[]),
        export(world, "kiln qcow2 of the 100th", last, "out.qcow2", &["--no-sha256"]),
        export(world, "kiln qcow2 64k zstd", flat, "out.qcow2", &zstd),
        export(world, "kiln qcow2 64k zlib", flat, "out.qcow2", &zlib),
        export(world, "kiln raw", flat, "out.raw", &["--no-sha256"]),
        export(world, "kiln raw with its sha256", flat, "out.raw", &[]),
        export(world, "kiln qcow2 of 1 TiB", &world.sparse_snapshot, "out.qcow2", &["--no-sha256"]),
        first_snapshot(world, "kiln first snapshot", &world.disk),
        first_snapshot(world, "kiln snapshot of 1 TiB", &world.sparse),
        second_snapshot(world),
    ]);
    for tool in [Peer::Restic, Peer::Borg] {
        tools.extend([tool.first(world), tool.second(world)]);
    }
    Ok(tools)
}

fn convert(
    world: &World,
    name: &'static str,
    mut arguments: Vec<OsString>,
    from: &Path,
    out: &str,
) -> Result<Tool> {
    let (out, reads) = (world.out.join(out), vec![from.to_owned()]);
    arguments.extend([from.into(), out.clone().into()]);
    let program = program("qemu-img").context("qemu-img is not installed")?;
    let (prepare, bytes) = (removed(out.clone()), counted(out));
    Ok(Tool { name, program, arguments, environment: &[], reads, prepare, bytes })
}

fn qemu_img(world: &World, name: &'static str, options: &[&str]) -> Result<Tool> {
    let mut arguments = words(&["convert", "-m", "16", "-W", "-f", "raw", "-O", "qcow2"]);
    arguments.extend(words(options));
    convert(world, name, arguments, &world.disk, "peer.qcow2")
}

fn qemu_raw(world: &World) -> Result<Tool> {
    let arguments = words(&["convert", "-m", "16", "-W", "-f", "qcow2", "-O", "raw"]);
    convert(world, "qemu-img raw", arguments, &world.packed, "peer.raw")
}

fn kiln(home: &Path, arguments: &[&str]) -> Vec<OsString> {
    let mut all = vec![OsString::from("--quiet"), "--home".into(), home.into()];
    all.extend(words(arguments));
    all
}

fn export(world: &World, name: &'static str, snapshot: &str, out: &str, options: &[&str]) -> Tool {
    let (out, reads) = (world.out.join(out), vec![world.region()]);
    let mut arguments = kiln(&world.home, &["export", snapshot, "-o"]);
    arguments.push(out.clone().into());
    arguments.extend(words(options));
    let (prepare, bytes) = (removed(out.clone()), counted(out));
    Tool { name, program: world.kiln.clone(), arguments, environment: &[], reads, prepare, bytes }
}

/// Into an empty installation, so that no block is there already.
fn first_snapshot(world: &World, name: &'static str, disk: &Path) -> Tool {
    let (home, reads) = (world.fresh.join("kiln"), vec![disk.to_owned()]);
    let mut arguments = kiln(&home, &["image", "import", "--format", "raw", "--name", "bench"]);
    arguments.push(disk.into());
    let (prepare, bytes) = (removed(home.clone()), counted(home));
    Tool { name, program: world.kiln.clone(), arguments, environment: &[], reads, prepare, bytes }
}

/// Of an overlay in which one block of a hundred was written anew before each run.
fn second_snapshot(world: &World) -> Tool {
    let region = world.region();
    let arguments = vec![
        region.clone().into(),
        world.first.clone().into(),
        world.disk.clone().into(),
        world.overlay.clone().into(),
    ];
    let (overlay, base, before) = (world.overlay.clone(), world.disk.clone(), world.out.join("bytes"));
    let count = region.clone();
    let note = before.clone();
    let prepare = move || {
        super::world::write_overlay(&overlay, &base)?;
        Ok(fs_err::write(&before, measure::bytes(&region)?.to_string())?)
    };
    let bytes = move || Ok(measure::bytes(&count)? - fs_err::read_to_string(&note)?.parse::<u64>()?);
    Tool {
        name: "kiln second snapshot",
        program: world.overlay_program.clone(),
        arguments,
        environment: &[],
        reads: vec![world.disk.clone()],
        prepare: Box::new(prepare),
        bytes: Box::new(bytes),
    }
}

/// A backup program, given the disk as a file.
#[derive(Debug, Clone, Copy)]
enum Peer {
    Restic,
    Borg,
}

impl Peer {
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::Restic => ["restic", "restic first", "restic second"],
            Self::Borg => ["borg", "borg first", "borg second"],
        }
    }

    const fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Restic => &[("RESTIC_PASSWORD", "bench")],
            Self::Borg => &[("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")],
        }
    }

    fn begin(self, repository: &Path) -> Result<()> {
        removed(repository.to_owned())()?;
        let mut command = Command::new(self.names()[0]);
        match self {
            Self::Restic => command.args(["init", "-q", "-r"]),
            Self::Borg => command.args(["init", "--encryption=none"]),
        };
        succeed(command.arg(repository).envs(self.environment().iter().copied()).stdout(Stdio::null()))
    }

    fn backup(self, repository: &Path, disk: &Path) -> Vec<OsString> {
        match self {
            Self::Restic => {
                let mut arguments = words(&["backup", "-q", "--no-cache", "-r"]);
                arguments.extend([repository.into(), disk.into()]);
                arguments
            }
            Self::Borg => {
                let mut archive = repository.as_os_str().to_owned();
                archive.push("::{now}");
                let mut arguments = words(&["create", "--compression", "zstd,3", "--sparse"]);
                arguments.extend([archive, disk.into()]);
                arguments
            }
        }
    }

    fn tool(
        self,
        name: &'static str,
        repository: &Path,
        disk: &Path,
        prepare: Box<dyn Fn() -> Result<()>>,
    ) -> Tool {
        Tool {
            name,
            program: PathBuf::from(self.names()[0]),
            arguments: self.backup(repository, disk),
            environment: self.environment(),
            reads: vec![disk.to_owned()],
            prepare,
            bytes: counted(repository.to_owned()),
        }
    }

    fn first(self, world: &World) -> Tool {
        let repository = world.fresh.join(self.names()[0]);
        let begin = repository.clone();
        self.tool(self.names()[1], &repository, &world.disk, Box::new(move || self.begin(&begin)))
    }

    /// After the first of the same round: the same disk with the blocks changed, in the same repository.
    fn second(self, world: &World) -> Tool {
        let repository = world.fresh.join(self.names()[0]);
        let (changed, overlay) = (world.changed.clone(), world.overlay.clone());
        let flatten = move || {
            let mut command = Command::new("qemu-img");
            succeed(command.args(["convert", "-O", "raw"]).arg(&overlay).arg(&changed))
        };
        self.tool(self.names()[2], &repository, &world.changed, Box::new(flatten))
    }
}
