//! Trees made of a few files: load order, what is built in, what is missing.

use super::*;
use crate::KernelTree;
use std::path::Path;

type Result<T = ()> = anyhow::Result<T>;

const VERSION: &str = "6.1.0-1-cloud-amd64";

fn tree(folder: &Path, files: &[(&str, &str)]) -> Result<KernelTree> {
    let modules = folder.join("lib/modules").join(VERSION);
    fs_err::create_dir_all(folder.join("boot"))?;
    fs_err::write(folder.join("boot").join(format!("vmlinuz-{VERSION}")), "kernel")?;
    for (name, content) in files {
        let path = modules.join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(&modules))?;
        fs_err::write(path, content)?;
    }
    KernelTree::from_folder(folder)?.ok_or_else(|| anyhow::anyhow!("no kernel"))
}

fn names(modules: Vec<Module>) -> Vec<String> {
    modules.into_iter().map(|module| module.name).collect()
}

#[test]
fn dependencies_come_first() -> Result {
    let folder = tempfile::tempdir()?;
    let kernel = tree(
        folder.path(),
        &[
            (
                "modules.dep",
                "kernel/a-b.ko: kernel/c.ko kernel/d.ko\nkernel/c.ko: kernel/d.ko\nkernel/d.ko:\nkernel/crc.ko:\n",
            ),
            ("modules.builtin", "kernel/fs/ext4.ko\n"),
            ("modules.softdep", "softdep c pre: crc32c post: zzz\n"),
            ("modules.alias", "alias crc32c crc\nalias pci:v* d\n"),
            ("kernel/a-b.ko", "\x7fELF a"),
            ("kernel/c.ko", "\x7fELF c"),
            ("kernel/d.ko", "\x7fELF d"),
            ("kernel/crc.ko", "\x7fELF crc"),
        ],
    )?;
    assert_eq!(kernel.version(), VERSION);
    assert_eq!(kernel.read_vmlinuz()?, b"kernel");
    assert_eq!(
        names(kernel.modules(&["ext4", "a_b", "d", "absent?"])?),
        ["crc", "d", "c", "a_b"].map(str::to_owned)
    );
    let error = kernel.modules(&["absent"]).err();
    assert!(matches!(&error, Some(Error::MissingModule { module, .. }) if module == "absent"), "{error:?}");
    Ok(())
}

#[test]
fn endless_chains_are_refused() -> Result {
    let folder = tempfile::tempdir()?;
    let dep: String = (0..200).map(|n| format!("kernel/m{n}.ko: kernel/m{}.ko\n", n + 1)).collect();
    let files: Vec<_> = (0..200).map(|n| format!("kernel/m{n}.ko")).collect();
    let mut files: Vec<_> = files.iter().map(|name| (name.as_str(), "\x7fELF")).collect();
    files.push(("modules.dep", &dep));
    let kernel = tree(folder.path(), &files)?;
    assert!(matches!(kernel.modules(&["m0"]), Err(Error::BadModule { .. })));
    Ok(())
}

#[test]
fn a_damaged_module_is_named() -> Result {
    let folder = tempfile::tempdir()?;
    let kernel = tree(folder.path(), &[("modules.dep", "kernel/a.ko.xz:\n"), ("kernel/a.ko.xz", "text")])?;
    let error = kernel.modules(&["a"]).err().map(|error| error.to_string());
    assert!(error.as_deref().is_some_and(|text| text.contains("kernel/a.ko.xz")), "{error:?}");
    Ok(())
}
