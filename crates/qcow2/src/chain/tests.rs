//! Chains of overlays that QEMU wrote, read as QEMU reads them.

use super::*;
use crate::oracle::{Random, content, qemu_img, qemu_io, read_all, same};
use anyhow::{Result, ensure};
use kiln_types::BLOCK_SIZE;
use std::collections::BTreeSet;

/// A base and overlays in a folder of their own.
struct World {
    folder: tempfile::TempDir,
    overlays: Vec<PathBuf>,
}

impl World {
    fn new(base_size: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        content(&folder.path().join("base.raw"), base_size, 42)?;
        Ok(Self { folder, overlays: Vec::new() })
    }

    fn base(&self) -> PathBuf {
        self.folder.path().join("base.raw")
    }

    /// QEMU's description of the chain as far as it goes.
    fn node(&self) -> String {
        let file = |path: &Path| format!(r#"{{"driver":"file","filename":"{}"}}"#, path.display());
        let mut node = format!(r#"{{"driver":"raw","file":{}}}"#, file(&self.base()));
        for overlay in &self.overlays {
            node = format!(r#"{{"driver":"qcow2","file":{},"backing":{node}}}"#, file(overlay));
        }
        node
    }

    /// Puts an overlay on top, without a backing name in it, and has QEMU write into it.
    fn overlay(&mut self, options: &str, size: u64, commands: &[String]) -> Result<()> {
        let path = self.folder.path().join(format!("overlay{}.qcow2", self.overlays.len()));
        let options = if options.is_empty() { String::new() } else { format!("-o {options}") };
        let name = path.display();
        qemu_img(self.folder.path(), &format!("create -q -f qcow2 {options} {name} {size}"))?;
        self.overlays.push(path);
        qemu_io(&self.node(), commands)
    }

    /// Reads the chain with QEMU, and what changed.
    fn theirs(&self) -> Result<Vec<u8>> {
        let out = self.folder.path().join("theirs.raw");
        let node = format!("json:{}", self.node());
        crate::oracle::run("qemu-img", &["convert", "-O", "raw", &node, &out.display().to_string()])?;
        Ok(fs_err::read(out)?)
    }

    /// Compares our reading with QEMU's; returns the blocks said to be changed.
    fn judge(&self) -> Result<BTreeSet<u32>> {
        let mut chain = Chain::open(&self.base(), &self.overlays)?;
        let theirs = self.theirs()?;
        same(&read_all(&mut chain)?, &theirs)?;
        same(&read_all(&mut *chain.reopen()?)?, &theirs)?;
        let changed: BTreeSet<u32> = chain.changed_blocks()?.into_iter().map(|index| index.0).collect();
        // Whatever differs from the base must be among the changed.
        let mut base = fs_err::read(self.base())?;
        base.resize(theirs.len(), 0);
        let block = usize::try_from(BLOCK_SIZE)?;
        for (index, (ours, old)) in theirs.chunks(block).zip(base.chunks(block)).enumerate() {
            ensure!(ours == old || changed.contains(&u32::try_from(index)?), "block {index} changed");
        }
        ensure!(changed.iter().all(|index| u64::from(*index) * BLOCK_SIZE < chain.size()), "past the end");
        // What a block holds depends on its topmost writer and what lies below that alone.
        let mut buffer = PageBuffer::block();
        for (index, writer) in chain.writers()? {
            ensure!(changed.contains(&index.0), "block {} was written to", index.0);
            let mut below = Chain::open(&self.base(), &self.overlays[..=writer])?;
            below.read_block(index, &mut buffer)?;
            let start = usize::try_from(index.offset())?;
            let ours = &theirs[start..theirs.len().min(start + block)];
            ensure!(&buffer[..ours.len()] == ours, "block {} is not overlay {writer}'s", index.0);
        }
        Ok(changed)
    }
}

fn commands(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn writes_zeros_and_discards_over_a_base() -> Result<()> {
    for options in ["", "cluster_size=4k", "cluster_size=2M", "compat=0.10", "lazy_refcounts=on"] {
        let mut world = World::new(8 << 20)?;
        let lines = [
            "write -P 1 100k 3k",
            "write -z 2M 512k",
            "write -z -u 2600k 100k",
            "discard 4M 1M",
            "write -P 2 6M 700k",
            "write -P 0 7600k 64k",
        ];
        world.overlay(options, 8 << 20, &commands(&lines))?;
        let changed = world.judge().map_err(|error| error.context(options))?;
        if options.is_empty() {
            ensure!(changed == BTreeSet::from([0, 4, 5, 8, 9, 12, 13, 14]), "{changed:?}");
        }
    }
    Ok(())
}

#[test]
fn an_overlay_larger_than_its_base() -> Result<()> {
    // The base ends inside a cluster and inside a block; then at the end of both.
    for base in [(3 << 20) + 512 * 77, 3 << 20] {
        let mut world = World::new(base)?;
        world.overlay("", 9 << 20, &commands(&["write -P 5 8M 64k"]))?;
        let changed = world.judge()?;
        ensure!(changed == BTreeSet::from([16]), "growing alone changes nothing: {changed:?}");
    }
    Ok(())
}

#[test]
fn an_overlay_smaller_than_its_base_hides_the_rest() -> Result<()> {
    let mut world = World::new(8 << 20)?;
    // Ends inside block 4; what the base has behind is gone, also when the next overlay grows again.
    world.overlay("", (2 << 20) + 1024, &commands(&["write -P 3 0 512"]))?;
    ensure!(world.judge()?.contains(&4));
    world.overlay("", 7 << 20, &commands(&["write -P 4 6M 1k"]))?;
    let changed = world.judge()?;
    ensure!(changed == BTreeSet::from([0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]), "{changed:?}");
    Ok(())
}

#[test]
fn layers_of_different_cluster_sizes_odd_sizes_and_compression() -> Result<()> {
    let size = (5 << 20) + 512 * 13;
    let mut world = World::new(size)?;
    world.overlay("cluster_size=2M", size, &commands(&["write -P 7 1M 512", "write -P 8 5M 6k"]))?;
    world.overlay("cluster_size=64k", size, &commands(&["write -c -P 9 1M 64k", "write -z 3M 64k"]))?;
    world.overlay("cluster_size=4k", size, &commands(&["write -P 10 3M 512", "discard 5M 4k"]))?;
    world.overlay("cluster_size=1M", size, &commands(&["write -c -P 11 2M 1M"]))?;
    world.judge()?;
    Ok(())
}

#[test]
fn many_tables_and_an_internal_snapshot() -> Result<()> {
    // 4 KiB clusters: each L2 table maps 2 MiB, so that the cache of 256 slices turns over.
    let size = 640 << 20;
    let folder = tempfile::tempdir()?;
    let base = folder.path().join("base.raw");
    fs_err::File::create(&base)?.set_len(size)?;
    let mut world = World { folder, overlays: Vec::new() };
    let lines: Vec<String> = (0..320).map(|i| format!("write -q -P {} {}M 4k", i % 250 + 1, i * 2)).collect();
    world.overlay("cluster_size=4k", size, &lines)?;
    qemu_img(world.folder.path(), "snapshot -c before overlay0.qcow2")?;
    qemu_io(&world.node(), &commands(&["write -P 99 0 4k"]))?;
    let mut chain = Chain::open(&world.base(), &world.overlays)?;
    ensure!(chain.changed_blocks()?.len() == 320);
    for pass in 0..2 {
        let mut buffer = PageBuffer::block();
        for i in 0..320_u32 {
            chain.read_block(BlockIndex(i * 4), &mut buffer)?;
            let wanted = if i == 0 { 99 } else { u8::try_from(i % 250 + 1)? };
            ensure!(buffer[..4096].iter().all(|byte| *byte == wanted), "pass {pass}, table {i}");
            ensure!(buffer[4096..].iter().all(|byte| *byte == 0), "pass {pass}, table {i}");
        }
    }
    Ok(())
}

#[test]
fn no_overlay_and_too_many() -> Result<()> {
    let mut world = World::new(1 << 20)?;
    let chain = Chain::open(&world.base(), &[])?;
    ensure!(chain.size() == 1 << 20);
    world.overlay("", 1 << 20, &[])?;
    ensure!(world.judge()?.is_empty());
    let twice = vec![world.overlays[0].clone(), world.overlays[0].clone()];
    ensure!(matches!(Chain::open(&world.base(), &twice), Err(Error::Chain { .. })));
    let many = vec![world.overlays[0].clone(); MOST_OVERLAYS + 1];
    ensure!(matches!(Chain::open(&world.base(), &many), Err(Error::Chain { .. })));
    Ok(())
}

#[test]
fn layers_that_qcow2_rs_cannot_read_are_refused() -> Result<()> {
    let world = World::new(1 << 20)?;
    let path = world.folder.path().join("x.qcow2");
    for options in ["extended_l2=on", "compression_type=zstd", "cluster_size=512"] {
        qemu_img(world.folder.path(), &format!("create -q -f qcow2 -o {options} x.qcow2 1M"))?;
        let opened = Chain::open(&world.base(), std::slice::from_ref(&path));
        ensure!(matches!(opened, Err(Error::Refused { .. } | Error::Malformed { .. })), "{options}");
    }
    let opened = Chain::open(&world.base(), &[world.base()]);
    ensure!(matches!(opened, Err(Error::Malformed { .. })), "the base is no overlay");
    Ok(())
}

#[test]
fn damaged_tables_are_errors_and_not_data() -> Result<()> {
    use std::os::unix::fs::FileExt;
    let mut world = World::new(1 << 20)?;
    world.overlay("", 1 << 20, &commands(&["write -P 1 0 64k"]))?;
    let path = world.overlays[0].clone();
    let bytes = fs_err::read(&path)?;
    // Entries: L2 table beyond the file; cluster beyond the file.
    let l1 = u64::from_be_bytes(bytes[40..48].try_into()?);
    let at = usize::try_from(l1)?;
    let l2 = u64::from_be_bytes(bytes[at..at + 8].try_into()?) & 0x00ff_ffff_ffff_fe00;
    for entry in [l1, l2] {
        let file = fs_err::OpenOptions::new().write(true).open(&path)?;
        let old: [u8; 8] = bytes[usize::try_from(entry)?..usize::try_from(entry)? + 8].try_into()?;
        file.file().write_all_at(&(1_u64 << 63 | 1 << 40).to_be_bytes(), entry)?;
        let mut chain = Chain::open(&world.base(), &world.overlays)?;
        let read = chain.read_block(BlockIndex(0), &mut PageBuffer::block());
        ensure!(matches!(read, Err(Error::Layer { .. })), "{read:?}");
        file.file().write_all_at(&old, entry)?;
    }
    Ok(())
}

/// Random writes, zeros, discards and compressed writes in up to three overlays of random cluster and volume sizes.
#[test]
fn random_overlays_read_as_qemu_reads_them() -> Result<()> {
    for seed in 1..=8 {
        let mut random = Random(seed);
        let mut world = World::new(512 * (1 + random.below(12_000)))?;
        for _ in 0..=random.below(3) {
            let size = 512 * (2048 + random.below(12_000));
            let bits = 12 + random.below(10);
            // QEMU compresses into clusters that are free: first of all.
            let compressed = format!("write -q -c -P {} 0 {}", random.below(256), size.min(1 << bits));
            let lines: Vec<String> =
                [compressed].into_iter().chain((0..12).map(|_| random_command(&mut random, size))).collect();
            world.overlay(&format!("cluster_size={}", 1 << bits), size, &lines)?;
        }
        world.judge().map_err(|error| error.context(format!("seed {seed}")))?;
    }
    Ok(())
}

fn random_command(random: &mut Random, size: u64) -> String {
    let offset = 512 * random.below(size / 512);
    let length = (512 * (1 + random.below(600))).min(size - offset);
    match random.below(5) {
        0 => format!("write -q -z {offset} {length}"),
        1 => format!("write -q -z -u {offset} {length}"),
        2 => format!("discard -q {offset} {length}"),
        _ => format!("write -q -P {} {offset} {length}", random.below(256)),
    }
}

/// Whatever the tables of an overlay say: an answer or an error, soon, and no byte of another place's memory.
#[test]
fn damaged_overlays_are_answered() -> Result<()> {
    let mut world = World::new(1 << 20)?;
    world.overlay("cluster_size=4k", 1 << 20, &commands(&["write -P 1 0 300k", "write -c -P 2 512k 4k"]))?;
    let (path, mut random) = (world.overlays[0].clone(), Random(5));
    let sound = fs_err::read(&path)?;
    let length = u64::try_from(sound.len())?;
    let (mut read, mut refused) = (0, 0);
    for _ in 0..300 {
        let mut bytes = sound.clone();
        for _ in 0..=random.below(4) {
            // The header, or the tables behind it: the file's first 48 KiB.
            let end = if random.below(2) == 0 { 128 } else { length.min(48 << 10) };
            let at = usize::try_from(random.below(end))?;
            bytes[at] = if random.below(3) == 0 { 0xff } else { random.next().to_le_bytes()[0] };
        }
        fs_err::write(&path, &bytes)?;
        // A header may say that the volume is huge: some blocks will do.
        match Chain::open(&world.base(), &world.overlays) {
            Err(_) => refused += 1,
            Ok(mut chain) => {
                drop(chain.changed_blocks());
                let mut buffer = PageBuffer::block();
                read +=
                    (0..4).filter(|index| chain.read_block(BlockIndex(*index), &mut buffer).is_ok()).count();
            }
        }
    }
    ensure!(read > 50 && refused > 50, "{read} blocks read, {refused} overlays refused");
    Ok(())
}
