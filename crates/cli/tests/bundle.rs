//! Bundles on the command line: of a disk file, of one of its partitions and of an image, and back.

use anyhow::{Context, Result, ensure};
use kiln_testkit::{Kiln, Run, S3};
use std::{path::Path, process::Command};

/// A disk of 8 MiB with one partition of 2 MiB at 1 MiB, in which stands some text.
fn disk(kiln: &Kiln) -> Result<String> {
    let mut bytes = vec![0; 8 << 20];
    bytes[5 << 19..][..7].copy_from_slice(b"bundled");
    let path = kiln.world.file("disk.raw", &bytes)?;
    let path = path.to_str().context("a path")?.to_owned();
    let table = format!("printf 'start=2048, size=4096, type=83\n' | sfdisk -q -X dos {path}");
    ensure!(Command::new("sh").args(["-c", &table]).status()?.success());
    Ok(path)
}

fn done(kiln: &Kiln, words: &[&str]) -> Result<String> {
    let run = kiln.run(words)?;
    ensure!(run.code == Some(0), "{words:?}: {run:?}");
    Ok(run.stdout)
}

#[test]
fn a_disk_goes_into_bundles_and_comes_back() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let file = disk(&kiln)?;
    let folder = Path::new(&file).parent().context("a folder")?.to_owned();
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    for pair in ["user", "ec2"] {
        done(&kiln, &["bundle", "keygen", "-o", &path(pair)])?;
        ensure!(
            kiln.run(&["bundle", "keygen", "-o", &path(pair)])?.code == Some(1),
            "keys are never replaced"
        );
    }
    done(&kiln, &["image", "import", &file, "--name", "small"])?;
    let (cert, key, ec2) = (path("user/cert.pem"), path("user/key.pem"), path("ec2/cert.pem"));
    let keys = ["--cert", &cert, "--key", &key, "--ec2cert", &ec2, "--user", "123456789012"];
    let whole = fs_err::read(&file)?;
    for (name, source, more, expected) in [
        ("file", file.as_str(), &[][..], &whole[..]),
        ("image", "small", &["--dense", "--block-device-mapping", "ephemeral0=sdb"][..], &whole[..]),
        ("part", file.as_str(), &["--partition", "1"][..], &whole[1 << 20..3 << 20]),
    ] {
        let out = path(name);
        let words = ["bundle", "create", source, "--prefix", name, "-o", &out, "--json"];
        let made = kiln.json(&[&words[..], &keys, more].concat())?;
        ensure!(made["Size"] == expected.len(), "{made}");
        let manifest = made["Manifest"].as_str().context("a manifest")?;
        let said = done(&kiln, &["bundle", "verify", manifest, "--key", &path("ec2/key.pem")])?;
        ensure!(said.contains("signature not checked"), "{said}");
        let back = path("back");
        let said =
            done(&kiln, &["bundle", "extract", manifest, "--key", &key, "--cert", &cert, "-o", &back])?;
        ensure!(said.contains("the signature is the user's"), "{said}");
        let read = fs_err::read(&back)?;
        ensure!(
            read.get(..expected.len()) == Some(expected) && read[expected.len()..].iter().all(|b| *b == 0)
        );
        ensure!(done(&kiln, &["bundle", "show", manifest])?.contains("123456789012"));
    }
    registered(&kiln, &path("image/image.manifest.xml"))?;
    unpacked(&kiln, &path("image/image.manifest.xml"), &key, &cert, &whole)?;
    let words = ["bundle", "create", &file, "--prefix", "none", "-o", &path("none"), "--partition", "7"];
    let run = kiln.run(&[&words[..], &keys].concat())?;
    ensure!(run.code == Some(2) && run.stderr.contains("has no partition 7"), "{run:?}");
    let manifest = path("file/file.manifest.xml");
    done(&kiln, &["bundle", "migrate", &manifest, "--cert", &cert, "--key", &key, "--kernel", "aki-2"])?;
    ensure!(done(&kiln, &["bundle", "show", &manifest])?.contains("aki-2"));
    fs_err::remove_file(path("file/file.part.00"))?;
    let run = kiln.run(&["bundle", "extract", &manifest, "--key", &key, "-o", &path("gone")])?;
    ensure!(run.code == Some(1) && run.stderr.contains("part 0, `file.part.00`: is missing"), "{run:?}");
    ensure!(!folder.join("gone").exists());
    Ok(())
}

/// An image of a bundle is found as EC2 shows such, and refuses what needs a volume.
fn registered(kiln: &Kiln, manifest: &str) -> Result<()> {
    let words = ["image", "register", "--name", "bundled", "--image-location", manifest, "--json"];
    let image = &kiln.json(&words)?["Images"][0];
    ensure!(image["ImageLocation"] == manifest && image["RootDeviceType"] == "instance-store", "{image}");
    ensure!(image["BlockDeviceMappings"][0]["VirtualName"] == "ephemeral0", "{image}");
    let root = ["--block-device-mapping", "/dev/sda1=ephemeral1", "--replace"];
    let run = kiln.run(&[&words[..], &root].concat())?;
    ensure!(run.code == Some(1) && run.stderr.contains("takes no block device mapping"), "{run:?}");
    let run = kiln.run(&["export", "bundled", "-o", "-"])?;
    ensure!(run.code == Some(1) && run.stderr.contains("has no snapshot"), "{run:?}");
    Ok(())
}

/// With a key the disk of a bundle is here: what can be done with a volume can be done with it.
fn unpacked(kiln: &Kiln, manifest: &str, key: &str, cert: &str, disk: &[u8]) -> Result<()> {
    let words = ["image", "register", "--name", "opened", "--image-location", manifest, "--key"];
    let wrong = kiln.run(
        &[
            &words[..],
            &[&cert.replace("user/cert", "ec2/key"), "--cert", &key.replace("user/key", "ec2/cert")],
        ]
        .concat(),
    )?;
    ensure!(wrong.code == Some(1) && wrong.stderr.contains("signature"), "{wrong:?}");
    let image = &kiln.json(&[&words[..], &[key, "--cert", cert, "--json"]].concat())?["Images"][0];
    ensure!(image["RootDeviceType"] == "instance-store" && image["ImageLocation"] == manifest, "{image}");
    ensure!(image["BlockDeviceMappings"].as_array().is_some_and(|devices| devices.len() == 1), "{image}");
    let out = manifest.replace("image.manifest.xml", "out.raw");
    done(kiln, &["export", "opened", "--format", "raw", "-o", &out])?;
    let read = fs_err::read(&out)?;
    ensure!(read.get(..disk.len()) == Some(disk) && read[disk.len()..].iter().all(|byte| *byte == 0));
    let snapshot = image["Kiln"]["BundledFrom"].as_str().context("a snapshot")?;
    let run = kiln.run(&["snapshot", "delete", snapshot])?;
    ensure!(run.code == Some(1) && run.stderr.contains("in use"), "{run:?}");
    let taken = kiln.run(&[&words[..], &[key]].concat())?;
    ensure!(taken.code != Some(0) && taken.stderr.contains("opened"), "{taken:?}");
    Ok(())
}

/// Runs `kiln` as one who has credentials for a bucket.
fn with(kiln: &Kiln, s3: &S3, words: &[&str]) -> Result<Run> {
    Ok(Run::from(kiln.command(words).envs(s3.environment()).output()?))
}

#[test]
fn bundles_go_to_s3_and_come_back() -> Result<()> {
    let (kiln, s3) = (Kiln::new(env!("CARGO_BIN_EXE_kiln"))?, S3::start()?);
    let noise: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let file = kiln.world.file("disk.raw", &noise)?;
    let folder = file.parent().context("a folder")?.to_owned();
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    done(&kiln, &["bundle", "keygen", "-o", &path("keys")])?;
    let (cert, key) = (path("keys/cert.pem"), path("keys/key.pem"));
    let keys = ["--cert", &cert, "--key", &key, "--ec2cert", &cert, "--user", "123456789012"];
    let disk = path("disk.raw");
    let create = |to: &str| {
        let words = ["bundle", "create", &disk, "--prefix", "d", "-o", to, "--part-size", "256KiB"];
        with(&kiln, &s3, &[&words[..], &keys].concat())
    };
    let ok = |run: Run| {
        ensure!(run.code == Some(0), "{run:?}");
        Ok(run.stdout)
    };
    let writes = |requests: Vec<String>| {
        requests.into_iter().filter(|request| request.starts_with("PUT")).collect::<Vec<_>>()
    };
    // Straight to the bucket, which is busy at first; the manifest comes last.
    s3.refuse(2);
    ok(create("s3://team/a")?)?;
    let last = writes(s3.requests()).pop();
    ensure!(last.as_deref() == Some("PUT team/a/d.manifest.xml"), "{last:?}");
    let again = create("s3://team/a")?;
    ensure!(again.code == Some(1) && again.stderr.contains("`a/d.manifest.xml` exists"), "{again:?}");
    // Into a folder: what is there and whole is not fetched again.
    let (remote, local) = ("s3://team/a/d.manifest.xml", path("local"));
    ok(with(&kiln, &s3, &["bundle", "download", remote, &local])?)?;
    fs_err::write(path("local/d.part.01"), "cut off")?;
    fs_err::remove_file(path("local/d.manifest.xml"))?;
    drop(s3.requests());
    let said = ok(with(&kiln, &s3, &["bundle", "download", remote, &local])?)?;
    let fetched = s3.requests().into_iter().filter(|request| request.contains(".part.")).collect::<Vec<_>>();
    ensure!(fetched == ["GET team/a/d.part.01"], "{fetched:?} {said}");
    // To another bucket: what is there is not sent again, by its tag.
    let manifest = path("local/d.manifest.xml");
    ok(with(&kiln, &s3, &["bundle", "upload", &manifest, "s3://other"])?)?;
    s3.set("other/d.part.00", Some(b"another"));
    s3.set("other/d.manifest.xml", None);
    drop(s3.requests());
    let said = ok(with(&kiln, &s3, &["bundle", "upload", &manifest, "s3://other"])?)?;
    let sent = writes(s3.requests());
    ensure!(
        sent == ["PUT other/d.part.00", "PUT other/d.manifest.xml"] && said.contains("there already"),
        "{sent:?}"
    );
    // The disk straight from the bucket, and nothing where a part is gone.
    let back = path("back");
    let extract = ["bundle", "extract", "s3://other/d.manifest.xml", "--key", &key, "-o", &back];
    ok(with(&kiln, &s3, &extract)?)?;
    ensure!(fs_err::read(&back)? == noise);
    fs_err::remove_file(&back)?;
    s3.set("other/d.part.01", None);
    let run = with(&kiln, &s3, &extract)?;
    ensure!(run.code == Some(1) && run.stderr.contains("part 1, `d.part.01`: is missing"), "{run:?}");
    ensure!(!Path::new(&back).exists());
    // Removing what is half gone already.
    ok(with(&kiln, &s3, &["bundle", "delete", "s3://other/d.manifest.xml"])?)?;
    let left = s3.objects();
    ensure!(left.iter().all(|object| object.starts_with("team/a/")), "{left:?}");
    Ok(())
}
