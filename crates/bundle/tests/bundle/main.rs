//! Bundles judged by tools that share no code with the writer: xmllint, openssl, gzip and tar; and bundles that are damaged.

mod damage;
mod world;

use anyhow::{Context, Result, ensure};
use kiln_bundle::{
    Changes, Error, MachineConfiguration, Mapping, SignedManifest, Watch, extract, migrate, verify,
};
use proptest::prelude::{ProptestConfig, prop_assert, proptest};
use std::os::unix::fs::MetadataExt;
use world::{World, same, sh};

const MIB: u64 = 1 << 20;

/// Takes the bundle apart with other tools, and compares what comes out with the disk.
fn judge(world: &World) -> Result<()> {
    sh(world.path(), include_str!("judge.sh")).map(drop)
}

fn settings(world: &World) -> Result<kiln_bundle::Settings> {
    world.settings("disk")
}

#[test]
fn other_tools_find_the_disk_in_the_bundle() -> Result<()> {
    let world = World::new()?;
    let mut settings = settings(&world)?;
    settings.part_size = 1 << 20;
    settings.machine = MachineConfiguration {
        mappings: vec![
            Mapping { virtual_name: "root".to_owned(), device: "/dev/sda1".to_owned() },
            Mapping { virtual_name: "ami".to_owned(), device: "sda1".to_owned() },
        ],
        kernel_id: Some("aki-1".to_owned()),
        ..settings.machine
    };
    // More stretches than a header and two records behind it hold.
    let far: Vec<(u64, u64)> = (0..60).map(|place| (place * MIB / 2, 30_000 + place)).collect();
    for (data, size) in [(&[(0, 3 * MIB)][..], 3 * MIB), (&[(5 * MIB, 4097)], 24 * MIB), (&far, 40 * MIB)] {
        world.disk("disk.raw", data, size)?;
        for dense in [false, true] {
            settings.dense = dense;
            let (manifest, path) = world.create("disk.raw", &settings)?;
            ensure!(manifest.parts.len() as u64 == manifest.bundled_size.div_ceil(MIB), "{manifest:?}");
            judge(&world).with_context(|| format!("{data:?} dense: {dense}"))?;
            extract(
                &world.bundles(),
                &path,
                &world.user()?,
                Some(&world.certificate()?),
                &world.file("again"),
                &Watch::default(),
            )?;
            ensure!(same(&world, "disk.raw", "again")?, "{data:?} dense: {dense}");
            world.clear()?;
        }
    }
    Ok(())
}

/// Base-256 sizes, and that holes cost nothing: nobody would wait for 9 GiB.
#[test]
fn nine_gib_of_nothing_stay_nothing() -> Result<()> {
    let world = World::new()?;
    let size = 9 << 30;
    world.disk("disk.raw", &[(8 << 30, 70_000)], size)?;
    let (manifest, path) = world.create("disk.raw", &settings(&world)?)?;
    ensure!(manifest.bundled_size < MIB && manifest.size == size, "{manifest:?}");
    extract(&world.bundles(), &path, &world.user()?, None, &world.file("again"), &Watch::default())?;
    let again = fs_err::metadata(world.file("again"))?;
    ensure!(again.len() == size && again.blocks() * 512 < 2 * MIB, "{again:?}");
    sh(world.path(), "cmp -i 8589934592 -n 100000 disk.raw again").map(drop)
}

/// Boundaries: nothing, one byte, around a record, a block of tar, a chunk of the compressor.
#[test]
fn sizes_around_every_boundary_come_back() -> Result<()> {
    let world = World::new()?;
    let settings = settings(&world)?;
    for edge in [0, 512, 10240, 256 << 10, MIB] {
        for size in [edge.max(1) - 1, edge, edge + 1] {
            world.disk("disk.raw", &[(0, size)], size)?;
            let (_, path) = world.create("disk.raw", &settings)?;
            extract(&world.bundles(), &path, &world.user()?, None, &world.file("again"), &Watch::default())?;
            ensure!(same(&world, "disk.raw", "again")?, "{size} bytes");
            world.clear()?;
        }
    }
    Ok(())
}

/// Every way to compress, on bytes that do not: nothing may outgrow the room that it is given.
#[test]
fn every_level_takes_noise() -> Result<()> {
    let world = World::new()?;
    let mut settings = settings(&world)?;
    world.disk("disk.raw", &[(0, 700_000)], 700_000)?;
    for level in 1..=9 {
        settings.level = level;
        let (_, path) = world.create("disk.raw", &settings)?;
        extract(&world.bundles(), &path, &world.user()?, None, &world.file("again"), &Watch::default())?;
        ensure!(same(&world, "disk.raw", "again")?, "level {level}");
        world.clear()?;
    }
    Ok(())
}

/// Stored random bytes make the stream's length a free choice, up to the byte where the last part is exactly full.
#[test]
fn the_last_part_is_never_empty() -> Result<()> {
    let world = World::new()?;
    let mut settings = settings(&world)?;
    settings.part_size = 16;
    world.disk("disk.raw", &[(0, 100)], 100)?;
    let (manifest, path) = world.create("disk.raw", &settings)?;
    ensure!(manifest.parts.len() as u64 * 16 == manifest.bundled_size, "{manifest:?}");
    verify(&world.bundles(), &path, &world.user()?, None, &Watch::default())?;
    judge(&world)
}

#[test]
fn long_names_are_read_back_and_by_tar() -> Result<()> {
    let world = World::new()?;
    let prefix = "n".repeat(120);
    world.disk("disk.raw", &[(0, 5000), (MIB, 100)], 2 * MIB)?;
    let (_, path) = world.create("disk.raw", &world.settings(&prefix)?)?;
    let extracted =
        extract(&world.bundles(), &path, &world.user()?, None, &world.file("again"), &Watch::default())?;
    ensure!(extracted.manifest.name == prefix && same(&world, "disk.raw", "again")?);
    Ok(())
}

/// The same secret makes the same bytes, whatever the machine: a change here is a change of the format.
#[test]
fn a_golden_bundle_is_the_same_everywhere() -> Result<()> {
    let world = World::new()?;
    let disk: Vec<u8> = (0..300_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    fs_err::write(world.file("disk.raw"), disk)?;
    let mut settings = settings(&world)?;
    settings.secret = kiln_bundle::Secret { key: [7; 16], iv: [9; 16] };
    let (manifest, _) = world.create("disk.raw", &settings)?;
    assert_eq!(manifest.digest, "db2cffe17c3c8203be1e4b03246754767adffde5");
    assert_eq!(manifest.parts[0].digest, "83effb09d341b59625f18183332e382f80a7829f");
    Ok(())
}

#[test]
fn the_regions_key_opens_it_and_another_does_not() -> Result<()> {
    let world = World::new()?;
    world.disk("disk.raw", &[(0, 5000)], 5000)?;
    let (_, path) = world.create("disk.raw", &settings(&world)?)?;
    let by = |key| verify(&world.bundles(), &path, &key, None, &Watch::default());
    ensure!(!by(world.ec2()?)?.signature_checked, "the region knows no signer");
    ensure!(by(world.user()?)?.signature_checked, "the user is the signer");
    let wrong = verify(&world.bundles(), &path, &world.key("other")?, None, &Watch::default());
    ensure!(matches!(wrong, Err(Error::WrongKey)), "{wrong:?}");
    let wrong =
        verify(&world.bundles(), &path, &world.user()?, Some(&world.ec2_certificate()?), &Watch::default());
    ensure!(matches!(wrong, Err(Error::Signature)), "{wrong:?}");
    let again = world.create("disk.raw", &settings(&world)?);
    ensure!(matches!(again, Err(Error::Exists(_))), "{again:?}");
    Ok(())
}

#[test]
fn a_bundle_moves_to_another_region() -> Result<()> {
    let world = World::new()?;
    world.disk("disk.raw", &[(0, 5000)], 5000)?;
    let (_, path) = world.create("disk.raw", &settings(&world)?)?;
    let changes = Changes {
        kernel_id: Some("aki-2".to_owned()),
        ec2_certificate: Some(world.certificate_of("other")?),
        ..Changes::default()
    };
    migrate(&world.bundles(), &path, &path, &world.certificate()?, &world.user()?, &changes)?;
    let moved = verify(
        &world.bundles(),
        &path,
        &world.key("other")?,
        Some(&world.certificate()?),
        &Watch::default(),
    )?;
    assert_eq!(moved.manifest.machine.kernel_id.as_deref(), Some("aki-2"));
    ensure!(matches!(
        verify(&world.bundles(), &path, &world.ec2()?, None, &Watch::default()),
        Err(Error::WrongKey)
    ));
    Ok(())
}

#[test]
fn a_made_pair_is_one_that_openssl_takes() -> Result<()> {
    let world = World::new()?;
    let (certificate, key) = kiln_bundle::generate("throw-away")?;
    fs_err::write(world.file("c.pem"), certificate)?;
    fs_err::write(world.file("k.pem"), key)?;
    let check = "openssl x509 -in c.pem -noout -pubkey > p && openssl pkey -in k.pem -pubout > q && cmp p q && \
                 openssl verify -check_ss_sig -CAfile c.pem c.pem";
    sh(world.path(), check).map(drop)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever byte of a manifest is another, reading it ends in a manifest or an error.
    #[test]
    fn a_damaged_manifest_is_an_error_or_a_manifest(at in 0..4000_usize, byte in 0..128_u8, cut in 0..8_usize) {
        let mut text = world::MANIFEST.as_bytes().to_vec();
        let at = at % text.len();
        text[at] = byte;
        text.drain(at..(at + cut).min(text.len()));
        if let Ok(read) = SignedManifest::parse(std::str::from_utf8(&text).unwrap()) {
            prop_assert!(read.manifest.parts.iter().all(|part| !part.name.contains('/')));
            prop_assert!(!read.manifest.name.contains('/'));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Wherever a disk has data and however large parts are, it comes back, and other tools find it.
    #[test]
    fn any_disk_comes_back(
        data in proptest::collection::vec((0..2_000_000_u64, 1..90_000_u64), 0..40),
        tail in 0..300_000_u64,
        part in 4096..65_536_usize,
        dense in proptest::bool::ANY,
    ) {
        let again = comes_back(&data, tail, part * 16, dense);
        prop_assert!(again.is_ok(), "{again:?}");
    }
}

fn comes_back(data: &[(u64, u64)], tail: u64, part_size: usize, dense: bool) -> Result<()> {
    let world = World::new()?;
    let settings = kiln_bundle::Settings { part_size, dense, ..settings(&world)? };
    let end = data.iter().map(|(start, length)| start + length).max().unwrap_or(0);
    world.disk("disk.raw", data, end + tail)?;
    let (manifest, path) = world.create("disk.raw", &settings)?;
    let (key, certificate) = (world.user()?, world.certificate()?);
    extract(&world.bundles(), &path, &key, Some(&certificate), &world.file("again"), &Watch::default())?;
    ensure!(same(&world, "disk.raw", "again")?, "{manifest:?}");
    judge(&world)
}
