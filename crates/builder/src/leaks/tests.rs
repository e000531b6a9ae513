//! Disks that mke2fs, debugfs and QEMU made, and what a scan says of them.

use super::*;
use anyhow::{Result, ensure};
use std::{io::Write, os::unix::fs::FileExt, process::Command};
use tempfile::TempDir;

const TOKEN: &str = "tok/3n-of+nobody-else";
const CLUSTER: usize = 64 << 10;

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{program} {arguments:?}: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &errors)
}

/// A base disk, and a copy of it that stands for what the guest sees.
struct World {
    folder: TempDir,
    /// Where the file system begins.
    offset: u64,
}

impl World {
    /// A base that is one ext4 of these files.
    fn ext4(files: &[(&str, &[u8])], options: &[&str], size: &str) -> Result<Self> {
        let world = Self { folder: tempfile::tempdir()?, offset: 0 };
        let tree = world.path("tree");
        for (path, bytes) in files {
            let path = Path::new(&tree).join(path);
            fs_err::create_dir_all(path.parent().unwrap())?;
            fs_err::write(path, bytes)?;
        }
        fs_err::create_dir_all(Path::new(&tree).join("srv"))?;
        let base = world.path("base");
        run("mke2fs", &[&["-q", "-t", "ext4", "-d", &tree], options, &[&base, size]].concat())?;
        fs_err::copy(base, world.path("now"))?;
        Ok(world)
    }

    /// The same disk with a partition table before it.
    fn behind_a_table(mut self) -> Result<Self> {
        let ext4 = fs_err::read(self.path("base"))?;
        let file = fs_err::File::create(self.path("base"))?;
        file.set_len(ext4.len() as u64 + (2 << 20))?;
        file.file().write_all_at(&ext4, 1 << 20)?;
        fs_err::write(
            self.path("table"),
            format!("label: gpt\n2 : start=1MiB, size={}KiB\n", ext4.len() >> 10),
        )?;
        let (table, base) = (self.path("table"), self.path("base"));
        run("sh", &["-c", "sfdisk -q \"$1\" <\"$0\"", &table, &base])?;
        fs_err::copy(base, self.path("now"))?;
        self.offset = 1 << 20;
        Ok(self)
    }

    /// A base of bytes.
    fn bytes(bytes: &[u8]) -> Result<Self> {
        let world = Self { folder: tempfile::tempdir()?, offset: 0 };
        fs_err::write(world.path("base"), bytes)?;
        fs_err::write(world.path("now"), bytes)?;
        Ok(world)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Lets debugfs change the file system as it is now.
    fn debugfs(&self, command: &str) -> Result<String> {
        let device = format!("{}?offset={}", self.path("now"), self.offset);
        let said = run("debugfs", &["-w", "-R", command, &device])?;
        ensure!(!said.contains("rror") && !said.contains("not found"), "{command}: {said}");
        Ok(said)
    }

    /// Writes a file anew.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        fs_err::write(self.path("upload"), bytes)?;
        self.debugfs(&format!("write {} {path}", self.path("upload"))).map(drop)
    }

    /// Writes bytes of the disk as it is now.
    fn poke(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let now = fs_err::OpenOptions::new().write(true).open(self.path("now"))?;
        Ok(now.file().write_all_at(bytes, at)?)
    }

    /// Has QEMU write what differs from the base into an overlay, and scans.
    fn scan(&self, secrets: &[(&str, &str)]) -> Result<Scan> {
        let (base, now) = (fs_err::read(self.path("base"))?, fs_err::read(self.path("now"))?);
        let overlay = self.path("overlay");
        run("qemu-img", &["create", "-q", "-f", "qcow2", &overlay, &now.len().to_string()])?;
        let mut commands = Vec::new();
        for (number, (then, cluster)) in base.chunks(CLUSTER).zip(now.chunks(CLUSTER)).enumerate() {
            if then != cluster {
                let piece = self.path(&format!("cluster-{number}"));
                fs_err::write(&piece, cluster)?;
                commands.push(format!("write -s {piece} {} {}", number * CLUSTER, cluster.len()));
            }
        }
        let arguments: Vec<_> = commands.iter().flat_map(|command| ["-c", command]).collect();
        run("qemu-io", &[&["-f", "qcow2"], &*arguments, &[&*overlay]].concat())?;
        let secret =
            |(name, value): &(&str, &str)| Secret { name: (*name).to_owned(), value: (*value).to_owned() };
        let secrets: Vec<_> = secrets.iter().map(secret).collect();
        Ok(super::scan(Path::new(&self.path("base")), &[overlay.into()], &secrets)?)
    }

    fn leaks(&self, value: &str) -> Result<Vec<String>> {
        let scan = self.scan(&[("token", value)])?;
        ensure!(scan.notes.is_empty() && scan.too_short.is_empty(), "{scan:?}");
        let told: Vec<_> = scan.leaks.iter().map(Leak::to_string).collect();
        assert!(!told.concat().contains(value) && !format!("{scan:?}").contains(value));
        Ok(told)
    }
}

fn root() -> Result<World> {
    World::ext4(&[("etc/os-release", b"ID=test\n"), ("etc/app.conf", b"user = me\n")], &[], "16M")
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

#[test]
fn nothing_to_find() -> Result<()> {
    let world = root()?;
    assert_eq!(world.leaks(TOKEN)?, [""; 0], "nothing changed");
    world.put("/etc/new", b"no secret in here\n")?;
    assert_eq!(world.leaks(TOKEN)?, [""; 0]);
    let scan = world.scan(&[("pin", "1234"), ("empty", " \n"), ("token", TOKEN)])?;
    assert_eq!(scan, Scan { too_short: vec!["pin".to_owned()], ..Scan::default() });
    Ok(())
}

#[test]
fn files_by_their_names() -> Result<()> {
    let world = root()?.behind_a_table()?;
    let (left, right) = TOKEN.split_at(9);
    // So that whatever packs it has met both halves before, and writes neither again.
    let line = format!("{left} {right} token = {TOKEN}\n");
    world.debugfs("rm /etc/app.conf")?;
    world.put("/etc/app.conf", format!("{}{line}", "# padding\n".repeat(1000)).as_bytes())?;
    world.put("/srv/app.log.1.gz", &gzip(&[vec![b'x'; 3 << 20], line.clone().into_bytes()].concat())?)?;
    world.put("/srv/dump.zst", &zstd::encode_all(line.as_bytes(), 3)?)?;
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
    xz.write_all(line.as_bytes())?;
    world.put("/srv/dump.xz", &xz.finish()?)?;
    world.put("/srv/basic", b"Authorization: Basic dXNlcjp0b2svM24tb2Yrbm9ib2R5LWVsc2U=\n")?;
    let expected = [
        "the value of `token` is in /etc/app.conf of partition 2",
        "the value of `token` is in /srv/app.log.1.gz of partition 2, packed by gzip",
        "the value of `token` is in /srv/basic of partition 2",
        "the value of `token` is in /srv/dump.xz of partition 2, packed by xz",
        "the value of `token` is in /srv/dump.zst of partition 2, packed by zstd",
    ];
    assert_eq!(world.leaks(TOKEN)?, expected);
    Ok(())
}

#[test]
fn what_a_deleted_file_left_behind() -> Result<()> {
    let world = root()?.behind_a_table()?;
    world.put("/srv/gone", format!("{}{TOKEN}", "y".repeat(5000)).as_bytes())?;
    let block: u64 = world.debugfs("blocks /srv/gone")?.split_whitespace().nth(1).unwrap().parse()?;
    world.debugfs("rm /srv/gone")?;
    let offset = (1 << 20) + block * 1024 + 5000 - 1024;
    assert_eq!(
        world.leaks(TOKEN)?,
        [format!("the value of `token` is in no file, at byte {offset} of the disk in partition 2")]
    );
    Ok(())
}

#[test]
fn a_value_across_borders() -> Result<()> {
    const BLOCK: u64 = 512 << 10;
    let (left, right) = TOKEN.split_at(7);
    // Both blocks changed; then one of them, with the other half in the base, before and behind.
    let mut base = vec![b'.'; 8 << 20];
    base[(3 << 20) - 7..3 << 20].copy_from_slice(left.as_bytes());
    base[5 << 20..(5 << 20) + right.len()].copy_from_slice(right.as_bytes());
    let world = World::bytes(&base)?;
    world.poke(BLOCK - 7, TOKEN.as_bytes())?;
    world.poke(3 << 20, right.as_bytes())?;
    world.poke((5 << 20) - 7, left.as_bytes())?;
    let offsets = [BLOCK - 7, (3 << 20) - 7, (5 << 20) - 7];
    let told =
        offsets.map(|offset| format!("the value of `token` is in no file, at byte {offset} of the disk"));
    assert_eq!(world.leaks(TOKEN)?, told);
    Ok(())
}

#[test]
fn what_the_base_held_is_not_the_builds() -> Result<()> {
    let old = format!("token = {TOKEN}\n");
    let world = World::ext4(&[("etc/old", old.as_bytes())], &[], "16M")?;
    world.put("/etc/new", b"in the same cluster\n")?;
    world.debugfs("set_inode_field /etc/old mode 0100600")?;
    assert_eq!(world.leaks(TOKEN)?, [""; 0]);
    world.debugfs("rm /etc/old")?;
    assert_eq!(world.leaks(TOKEN)?, [""; 0], "what it leaves behind is the base's");
    world.put("/etc/copy", old.repeat(3).as_bytes())?;
    let told = world.leaks(TOKEN)?;
    assert_eq!(told, ["the value of `token` is in /etc/copy"], "a copy is the build's");
    Ok(())
}

#[test]
fn a_file_in_many_places() -> Result<()> {
    // Every second block of a full file system is free: a value on the border of two lies in no stretch of the disk.
    let names: Vec<_> = (0..1500).map(|number| format!("f{number:04}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), [b'-'; 1024].as_slice())).collect();
    let world = World::ext4(&files, &["-b", "1024", "-N", "1600", "-O", "^has_journal", "-m", "0"], "3M")?;
    let commands: Vec<_> = names.iter().step_by(2).map(|name| format!("rm /{name}\n")).collect();
    fs_err::write(world.path("commands"), commands.concat())?;
    run("debugfs", &["-w", "-f", &world.path("commands"), &world.path("now")])?;
    let mut bytes = vec![b'x'; 700 << 10];
    for border in (1024..bytes.len() - 1024).step_by(1024) {
        bytes[border - 7..border - 7 + TOKEN.len()].copy_from_slice(TOKEN.as_bytes());
    }
    world.put("/srv/spread", &bytes)?;
    let blocks: Vec<u64> = world
        .debugfs("blocks /srv/spread")?
        .split_whitespace()
        .filter_map(|block| block.parse().ok())
        .collect();
    assert!(blocks.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count() > 300, "{blocks:?}");
    let told = world.leaks(TOKEN)?;
    assert_eq!(told.first().unwrap(), "the value of `token` is in /srv/spread");
    Ok(())
}

#[test]
fn a_file_that_unpacks_to_very_much() -> Result<()> {
    let world = root()?;
    let zeros = vec![0; 65 << 20];
    world.put("/srv/bomb.gz", &gzip(&[zeros.as_slice(), TOKEN.as_bytes()].concat())?)?;
    world.put("/srv/early.gz", &gzip(&[TOKEN.as_bytes(), zeros.as_slice()].concat())?)?;
    let mut damaged = gzip(format!("{TOKEN}{}", "z".repeat(100_000)).as_bytes())?;
    damaged.truncate(damaged.len() / 2);
    world.put("/srv/damaged.gz", &damaged)?;
    world.put("/srv/no.gz", b"\x1f\x8bnothing of the kind")?;
    let packed = |name: &str| format!("the value of `token` is in /srv/{name}.gz, packed by gzip");
    assert_eq!(world.leaks(TOKEN)?, [packed("damaged"), packed("early")]);
    Ok(())
}

#[test]
fn a_damaged_file_system_is_searched_by_bytes() -> Result<()> {
    let world = root()?;
    world.put("/srv/file", TOKEN.as_bytes())?;
    // The root folder's inode.
    let inode = world.debugfs("imap /")?;
    let place = inode.split("at block ").nth(1).unwrap();
    let block: u64 = place.split(',').next().unwrap().parse()?;
    let within = u64::from_str_radix(place.split_whitespace().nth(2).unwrap().trim_start_matches("0x"), 16)?;
    world.poke(block * 1024 + within, &[0xff; 100])?;
    let scan = world.scan(&[("token", TOKEN)])?;
    assert!(matches!(scan.leaks.as_slice(), [Leak { place: Place::Raw { .. }, .. }]), "{scan:?}");
    assert!(scan.notes[0].starts_with("the whole disk: searched for secrets by bytes"), "{scan:?}");
    Ok(())
}
