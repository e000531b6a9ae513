//! Bundles that other tools made, and everything that can be wrong with one: nothing of it may leave a file.

use crate::world::{World, same, sh};
use anyhow::{Result, ensure};
use kiln_bundle::{Extracted, Place, Watch, copy, extract, remove};

/// Makes a bundle with tar, gzip and openssl from `archive`, a script that prints one; `edit` changes the manifest with sed.
fn foreign(world: &World, size: u64, archive: &str, gzip: &str, edit: &str) -> Result<()> {
    world.clear()?;
    sh(
        world.path(),
        &format!(
            r#"set -e
            K=000102030405060708090a0b0c0d0e0f I=0f0e0d0c0b0a09080706050403020100
            ({archive}) > archive
            {gzip} < archive | openssl enc -e -aes-128-cbc -K $K -iv $I > stream
            split -a 2 -d -b 65536 stream b/disk.part.
            for who in user ec2; do for what in K I; do
                eval "printf %s \$$what" | openssl pkeyutl -encrypt -certin -inkey $who.pem | od -An -v -tx1 | tr -d ' \n' > $who.$what
            done; done
            n=0; parts=
            for part in b/disk.part.*; do
                parts="$parts<part index=\"$n\"><filename>$(basename $part)</filename><digest algorithm=\"SHA1\">$(sha1sum < $part | cut -d' ' -f1)</digest></part>"
                n=$((n + 1))
            done
            m="<machine_configuration><architecture>x86_64</architecture></machine_configuration>"
            i="<image><name>disk</name><user>123456789012</user><type>machine</type><digest algorithm=\"SHA1\">$(sha1sum < archive | cut -d' ' -f1)</digest><size>{size}</size><bundled_size>$(stat -c %s stream)</bundled_size><ec2_encrypted_key algorithm=\"AES-128-CBC\">$(cat ec2.K)</ec2_encrypted_key><user_encrypted_key algorithm=\"AES-128-CBC\">$(cat user.K)</user_encrypted_key><ec2_encrypted_iv>$(cat ec2.I)</ec2_encrypted_iv><user_encrypted_iv>$(cat user.I)</user_encrypted_iv><parts count=\"$n\">$parts</parts></image>"
            printf '%s%s' "$m" "$i" > signed
            s=$(openssl dgst -sha1 -sign user.key signed | od -An -v -tx1 | tr -d ' \n')
            printf "<?xml version='1.0' encoding='ASCII'?>\n<manifest><version>2007-10-10</version><bundler><name>euca2ools</name><version>3.4</version><release>0</release></bundler>%s<signature>$s</signature></manifest>" "$(cat signed)" > b/disk.manifest.xml
            {edit}"#
        ),
    )
    .map(drop)
}

/// Opens the bundle as its user, who knows the signature, or as the region, which does not.
fn read(world: &World, signed: bool) -> Result<Extracted> {
    let key = if signed { world.user()? } else { world.ec2()? };
    let certificate = world.certificate()?;
    let certificate = signed.then_some(&certificate);
    Ok(extract(
        &world.bundles(),
        "disk.manifest.xml",
        &key,
        certificate,
        &world.file("out"),
        &Watch::default(),
    )?)
}

/// Reads a bundle that must be refused with these words, and leave nothing.
fn refused(world: &World, signed: bool, words: &str) -> Result<()> {
    let said = read(world, signed).map(|extracted| extracted.manifest);
    let said = said.err().map_or_else(|| "it was taken".to_owned(), |error| error.to_string());
    ensure!(said.contains(words), "`{said}` and not `{words}`");
    let left = sh(world.path(), "ls -A | grep -e out -e staged || true")?;
    ensure!(left.is_empty(), "{left} is left");
    Ok(())
}

const TAR: &str = "tar -c --owner 0 --group 0";

#[test]
fn what_other_tools_write_is_read() -> Result<()> {
    let world = World::new()?;
    world.disk("disk", &[(0, 90_000), (5 << 20, 200_000)], 8 << 20)?;
    for (archive, gzip) in [
        ("--format=gnu disk", "gzip -9"),
        ("--format=gnu -S disk", "gzip -9"),
        ("--format=ustar disk", "gzip"),
        ("--format=pax disk", "gzip"),
        ("--format=gnu disk", "sh -c 'head -c 102400 | gzip; gzip'"),
    ] {
        foreign(&world, 8 << 20, &format!("{TAR} {archive}"), gzip, "")?;
        let extracted = read(&world, true)?;
        ensure!(extracted.signature_checked && same(&world, "disk", "out")?, "{archive}");
        fs_err::remove_file(world.file("out"))?;
    }
    // An empty last part, as euca2ools leaves it behind an exact multiple.
    let empty = "n=$(ls b | grep -c part); printf '' > b/disk.part.$n; e=$(printf '' | sha1sum | cut -d' ' -f1)
        sed -i \"s|count=\\\"$n\\\"|count=\\\"$((n + 1))\\\"|; s|</parts>|<part index=\\\"$n\\\"><filename>disk.part.$n</filename><digest algorithm=\\\"SHA1\\\">$e</digest></part></parts>|\" b/disk.manifest.xml";
    foreign(&world, 8 << 20, &format!("{TAR} --format=gnu disk"), "gzip", empty)?;
    ensure!(!read(&world, false)?.signature_checked);
    ensure!(same(&world, "disk", "out")?);
    Ok(())
}

/// Whoever has the user's certificate can make a bundle that the user opens, and cannot sign it.
#[test]
fn a_users_key_knows_its_signature() -> Result<()> {
    let world = World::new()?;
    world.disk("disk", &[(0, 200_000)], 200_000)?;
    let archive = format!("{TAR} --format=gnu disk");
    let by_user = |world: &World| {
        let (place, manifest) = (world.bundles(), "disk.manifest.xml");
        kiln_bundle::verify(&place, manifest, &world.user()?, None, &Watch::default())
            .map_err(anyhow::Error::from)
    };
    foreign(&world, 200_000, &archive, "gzip", "")?;
    ensure!(by_user(&world)?.signature_checked);
    let other = "s=$(openssl dgst -sha1 -sign other.key signed | od -An -v -tx1 | tr -d ' \\n')
        sed -i \"s|<signature>.*</signature>|<signature>$s</signature>|\" b/disk.manifest.xml";
    foreign(&world, 200_000, &archive, "gzip", other)?;
    let said = by_user(&world).err().map(|error| error.to_string());
    ensure!(said.as_deref() == Some(&*kiln_bundle::Error::Signature.to_string()), "{said:?}");
    ensure!(!read(&world, false)?.signature_checked, "the region knows no signer");
    Ok(())
}

/// Row by row: what stock tools refuse, and what some of them take.
#[test]
fn every_damage_is_found() -> Result<()> {
    let world = World::new()?;
    world.disk("disk", &[(0, 200_000)], 200_000)?;
    let m = "b/disk.manifest.xml";
    for (edit, words) in [
        (
            "printf X | dd of=b/disk.part.01 seek=77 bs=1 conv=notrunc 2>/dev/null",
            "part 1, `disk.part.01`: its SHA-1",
        ),
        ("truncate -s 65520 b/disk.part.00", "part 0, `disk.part.00`: its SHA-1"),
        ("mv b/disk.part.00 x; mv b/disk.part.01 b/disk.part.00; mv x b/disk.part.01", "part 0"),
        ("rm b/disk.part.02", "part 2, `disk.part.02`: is missing"),
        ("rm b/disk.part.02; mkfifo b/disk.part.02", "is not a file"),
        (
            &format!("sed -i 's|\\(disk.part.01</filename><digest algorithm=\"SHA1\">\\)....|\\10000|' {m}"),
            "part 1",
        ),
        (
            &format!("sed -i 's|\\(machine</type><digest algorithm=\"SHA1\">\\)....|\\10000|' {m}"),
            "image/digest",
        ),
        (&format!("sed -i 's|<size>200000|<size>200001|' {m}"), "image/size"),
        (&format!("sed -i 's|<size>200000|<size>199999|' {m}"), "image/size"),
        (&format!("sed -i 's|<bundled_size>2|<bundled_size>3|' {m}"), "image/bundled_size"),
        (&format!("sed -i 's|count=\"4\"|count=\"5\"|' {m}"), "count"),
        (&format!("sed -i 's|2007-10-10|2006-10-10|' {m}"), "version 2006-10-10"),
        (&format!("sed -i 's|disk.part.00|../disk.part|' {m}"), "manifest:"),
        (&format!("sed -i 's|disk.part.00|x;touch PWNED|' {m}"), "manifest:"),
        (&format!("sed -i 's|<name>disk|<name>../escaped|' {m}"), "manifest:"),
        (&format!("sed -i 's|<manifest>|<!DOCTYPE m [<!ENTITY a \"b\">]><manifest>|' {m}"), "manifest:"),
        (&format!("truncate -s 700 {m}"), "manifest:"),
    ] {
        foreign(&world, 200_000, &format!("{TAR} --format=gnu disk"), "gzip", edit)?;
        refused(&world, false, words).map_err(|error| error.context(edit.to_owned()))?;
    }
    let swap = format!("sed -i 's|x86_64|i386|' {m}");
    foreign(&world, 200_000, &format!("{TAR} --format=gnu disk"), "gzip", &swap)?;
    refused(&world, true, "signature")
}

/// What is signed stands in the manifest, and beside it something else that is read as XML: the signature is of neither.
#[test]
fn a_signature_is_of_what_is_read() -> Result<()> {
    let world = World::new()?;
    world.disk("disk", &[(0, 5000)], 5000)?;
    let plain = "machine_configuration|image";
    for (first, second) in [("<other>$s</other>", "$e"), ("", "$e"), ("$s", "$e")] {
        let edit = format!(
            r#"m=b/disk.manifest.xml s=$(cat signed)
            e=$(sed -E 's#<(/?)({plain})>#<\1\2 >#g; s|x86_64|i386|' signed)
            head=$(sed 's|<machine_configuration>.*||' $m) tail=$(sed 's|.*</image>||' $m | tail -n 1)
            printf '%s' "$head{first}{second}$tail" > $m"#
        );
        foreign(&world, 5000, &format!("{TAR} --format=gnu disk"), "gzip", &edit)?;
        let words = if first == "$s" { "twice" } else { "plain tags" };
        refused(&world, true, words).map_err(|error| error.context(first))?;
    }
    Ok(())
}

/// A manifest says which files are brought and removed: only those that can be parts of its own.
#[test]
fn a_manifest_reaches_nothing_but_parts() -> Result<()> {
    let world = World::new()?;
    world.disk("disk", &[(0, 5000)], 5000)?;
    let edit =
        "cp b/disk.part.00 b/precious; sed -i 's|disk.part.00|precious|' b/disk.manifest.xml; mkdir -p to";
    foreign(&world, 5000, &format!("{TAR} --format=gnu disk"), "gzip", edit)?;
    let (name, to) = ("disk.manifest.xml", Place::folder(&world.file("to")));
    fs_err::write(world.file("to/precious"), "mine")?;
    let said =
        copy(&world.bundles(), &to, name, &Watch::default()).map(drop).map_err(|error| error.to_string());
    ensure!(said == Err("manifest: part 0 is not called `disk.part.N`".to_owned()), "{said:?}");
    ensure!(fs_err::read(world.file("to/precious"))? == b"mine");
    ensure!(remove(&world.bundles(), name).is_err() && world.file("b/precious").exists());
    Ok(())
}

/// `-o /dev/null` of root must not put a file in the device's place.
#[test]
fn what_is_no_file_is_not_replaced() -> Result<()> {
    let world = World::new()?;
    world.disk("disk", &[(0, 5000)], 5000)?;
    foreign(&world, 5000, &format!("{TAR} --format=gnu disk"), "gzip", "")?;
    sh(world.path(), "mkfifo out")?;
    let said = read(&world, false).map(drop).map_err(|error| error.to_string());
    ensure!(said.as_ref().is_err_and(|said| said.contains("is not a file")), "{said:?}");
    sh(world.path(), "test -p out").map(drop)
}

#[test]
fn nothing_in_a_manifest_speaks_to_the_terminal() -> Result<()> {
    let world = World::new()?;
    world.disk("disk", &[(0, 5000)], 5000)?;
    let edit = r"printf '<manifest><version>\033[2J</version></manifest>' > b/disk.manifest.xml";
    foreign(&world, 5000, &format!("{TAR} --format=gnu disk"), "gzip", edit)?;
    refused(&world, false, "manifest: version \u{fffd}[2J")
}

#[test]
fn hostile_archives_are_refused() -> Result<()> {
    let world = World::new()?;
    world.disk("disk", &[(0, 5000)], 5000)?;
    world.disk("hole", &[(1 << 20, 5000)], 4 << 20)?;
    for (archive, size, words) in [
        ("cp disk two; tar -c disk two", 5000, "more than one member"),
        ("ln -sf /etc/passwd disk.link; tar -c disk.link", 0, "the archive"),
        ("mknod d.fifo p 2>/dev/null; tar -c d.fifo", 0, "the archive"),
        ("mkdir -p folder; tar -c folder", 0, "the archive"),
        ("tar -c --format=pax -S hole", 4 << 20, "PAX"),
        ("tar -c hole", 5000, "image/size"),
        ("tar -c disk | head -c 3000", 5000, "the archive: ends early"),
        ("tar -c disk; head -c 30000000 /dev/zero", 5000, "the archive: goes on"),
        ("head -c 10240 /dev/urandom", 5000, "the archive"),
        ("true", 5000, "the archive"),
    ] {
        foreign(&world, size, archive, "gzip", "")?;
        refused(&world, false, words).map_err(|error| error.context(archive))?;
    }
    foreign(&world, 5000, "tar -c disk", "cat", "")?;
    refused(&world, false, "gzip")
}
