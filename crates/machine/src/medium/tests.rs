//! What Kiln writes, judged by those who read it: `isoinfo`, `xorriso`, `blkid`, `fsck.fat` and `mtools`. That guests mount
//! it is shown by the machines that install themselves.

use super::*;
use std::process::Command;

/// Runs a tool, and returns what it says; it must be content.
fn told(program: &str, args: &[&str], file: &Path) -> String {
    let output = Command::new(program)
        .args(args)
        .arg(file)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{program}, which the tests need: {error}"));
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{program}: {text}");
    text
}

/// Makes a folder with files whose short names are equal, a deep one, an empty one and one of several sectors.
fn world() -> (tempfile::TempDir, Contents) {
    let world = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = world.path().join("in").join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    };
    file("user-data", b"#cloud-config\n");
    file("Autounattend.xml", b"<unattend/>\n");
    file("käse und brot.txt", b"x");
    file("empty", b"");
    file("answers/.hidden", b"h");
    file("answers/a/b/c/d/e/deep.txt", b"deep\n");
    for number in 0..90 {
        file(&format!("answers/many/a-rather-long-name-{number:03}.conf"), &[b'x'; 600]);
    }
    fs_err::create_dir(world.path().join("in/answers/void")).unwrap();
    let names = ["user-data", "Autounattend.xml", "käse und brot.txt", "empty", "answers"];
    let paths = names.map(|name| world.path().join("in").join(name));
    let mut contents = Contents::gather(&paths).unwrap();
    contents.add("meta-data", b"instance-id: kiln\n".to_vec()).unwrap();
    (world, contents)
}

#[test]
fn a_cd_is_read_by_others() {
    let (world, contents) = world();
    let cd = world.path().join("cd.iso");
    write_cd(&cd, "cidata", &contents).unwrap();
    let text = told("blkid", &["-p", "-o", "export"], &cd);
    assert!(text.contains("LABEL=cidata\n") && text.contains("TYPE=iso9660\n"), "{text}");
    let text = told("isoinfo", &["-d", "-i"], &cd);
    assert!(text.contains("Volume id: cidata\n") && text.contains("Joliet with UCS level 3 found"), "{text}");
    let joliet = told("isoinfo", &["-J", "-f", "-i"], &cd);
    for name in ["/answers/.hidden", "/answers/a/b/c/d/e/deep.txt", "/answers/void", "/meta-data"] {
        assert!(joliet.lines().any(|line| line.trim_end_matches(";1") == name), "{name}: {joliet}");
    }
    assert_eq!(joliet.lines().filter(|line| line.contains("/many/")).count(), 90, "{joliet}");
    let primary = told("isoinfo", &["-f", "-i"], &cd);
    for name in
        ["/USER_DAT.;1", "/AUTOUNAT.XML;1", "/ANSWERS/MANY/A_RATHER.CON;1", "/ANSWERS/MANY/A_RAT_89.CON;1"]
    {
        assert!(primary.lines().any(|line| line == name), "{name}: {primary}");
    }
    for (volume, name) in [("-J", "/answers/a/b/c/d/e/deep.txt;1"), ("-s", "/ANSWERS/A/B/C/D/E/DEEP.TXT;1")] {
        assert_eq!(told("isoinfo", &[volume, "-x", name, "-i"], &cd), "deep\n");
    }
}

/// Another reader, which complains of what is not as it should be.
#[test]
fn a_cd_is_taken_out_again_as_it_was() {
    let (world, contents) = world();
    let cd = world.path().join("cd.iso");
    write_cd(&cd, "cidata", &contents).unwrap();
    let out = world.path().join("out");
    let image = cd.to_str().unwrap();
    let text =
        told("xorriso", &["-read_fs", "norock", "-osirrox", "on", "-indev", image, "-extract", "/"], &out);
    assert!(!text.contains("WARNING") && !text.contains("FAILURE"), "{text}");
    let diff = Command::new("diff").arg("-r").arg(world.path().join("in")).arg(&out).output().unwrap();
    let text = String::from_utf8_lossy(&diff.stdout);
    assert_eq!(text.lines().collect::<Vec<_>>(), [format!("Only in {}: meta-data", out.display())]);
}

#[test]
fn a_floppy_disk_is_read_by_others() {
    let (world, contents) = world();
    let floppy = world.path().join("floppy.img");
    write_floppy(&floppy, "answers", &contents).unwrap();
    assert_eq!(fs_err::metadata(&floppy).unwrap().len(), 1_474_560);
    let text = told("fsck.fat", &["-n", "-v"], &floppy);
    assert!(text.contains("2 root directory") || text.contains("224 root directory entries"), "{text}");
    let text = told("blkid", &["-p", "-o", "export"], &floppy);
    assert!(text.contains("LABEL=answers\n") && text.contains("TYPE=vfat\n"), "{text}");
    let image = floppy.to_str().unwrap();
    let text = told("mtype", &["-i", image], Path::new("::answers/a/b/c/d/e/deep.txt"));
    assert_eq!(text, "deep\n");
    let text = told("mdir", &["-i", image, "-b"], Path::new("::answers/many"));
    assert_eq!(text.lines().count(), 90, "{text}");
}

#[test]
fn equal_contents_make_equal_media() {
    let (world, contents) = world();
    let made = |name: &str| {
        let path = world.path().join(name);
        write_cd(&path, "x", &contents).unwrap();
        let cd = fs_err::read(&path).unwrap();
        write_floppy(&path, "x", &contents).unwrap();
        (cd, fs_err::read(&path).unwrap())
    };
    assert!(made("one") == made("two"));
}

#[test]
fn what_does_not_fit_is_said() {
    let world = tempfile::tempdir().unwrap();
    let path = world.path().join("medium");
    let holding = |name: &str, bytes: usize| {
        let mut contents = Contents::default();
        contents.add(name, vec![1; bytes]).unwrap();
        contents
    };
    let floppy = |contents: &Contents| write_floppy(&path, "x", contents).map_err(|error| error.to_string());
    let cd = |contents: &Contents| write_cd(&path, "x", contents).map_err(|error| error.to_string());
    let room = 1_457_664;
    floppy(&holding("fits", room)).unwrap();
    let text = floppy(&holding("large", room + 1)).unwrap_err();
    assert_eq!(text, "1458176 bytes of files do not fit on a floppy disk, which holds 1457664");
    for (name, bad_on_cd) in
        [("a:b", true), ("a\nb", true), ("a<b", false), ("dot.", false), ("a\u{1f600}", true)]
    {
        let contents = holding(name, 1);
        assert_eq!(cd(&contents).is_err(), bad_on_cd, "{name}");
        assert!(floppy(&contents).unwrap_err().contains("cannot stand on the medium"), "{name}");
    }
    assert!(cd(&holding(&"x".repeat(65), 1)).unwrap_err().contains("at most 64 characters"));
    let mut both = holding("a", 1);
    both.add("A", Vec::new()).unwrap();
    cd(&both).unwrap();
    assert!(floppy(&both).unwrap_err().contains("there is another one"));
    let mut many = Contents::default();
    (0..112).for_each(|number| many.add(&format!("{number}"), Vec::new()).unwrap());
    assert!(floppy(&many).unwrap_err().contains("too many names at the root"));
    assert!(matches!(both.add("a", Vec::new()), Err(MediumError::Twice { .. })));
    assert!(matches!(write_cd(&path, "seventeen letters", &both), Err(MediumError::Label { .. })));
    assert!(matches!(write_floppy(&path, "twelve_chars", &both), Err(MediumError::Label { .. })));
}

#[test]
fn what_is_no_file_is_said() {
    let world = tempfile::tempdir().unwrap();
    let path = |name: &str| world.path().join(name);
    assert!(matches!(Contents::gather(&[path("none")]), Err(MediumError::Io(_))));
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    assert!(matches!(Contents::gather(&[path("socket")]), Err(MediumError::Kind { .. })));
    fs_err::create_dir(path("folder")).unwrap();
    fs_err::os::unix::fs::symlink(path("folder"), path("folder/round")).unwrap();
    let error = Contents::gather(&[path("folder")]).unwrap_err().to_string();
    assert!(error.contains("7 folders deep"), "{error}");
}

#[test]
fn a_file_that_grows_meanwhile_is_no_medium() {
    let world = tempfile::tempdir().unwrap();
    let file = world.path().join("file");
    fs_err::write(&file, "x").unwrap();
    let contents = Contents::gather(std::slice::from_ref(&file)).unwrap();
    for now in ["", "xx"] {
        fs_err::write(&file, now).unwrap();
        let error = write_cd(&world.path().join("cd"), "x", &contents).unwrap_err();
        assert!(matches!(error, MediumError::Changed { .. }), "{error}");
    }
}
