//! What the boot loader of an image gives its kernel.
//!
//! ```text
//! <boot>/loader/entries/*.conf              options root=UUID=… ro rootflags=subvol=root console=ttyS0
//!       /grub/grub.cfg, /grub2/grub.cfg     linux /vmlinuz-6.1.0 root=UUID=… ro console=ttyS0
//!       /grub/grubenv, /grub2/grubenv       kernelopts=root=UUID=… ro            what `$kernelopts` stands for
//!       /extlinux.conf, /extlinux/…         append root=UUID=… modules=ext4 console=ttyS0
//! ```
//! `<boot>` is `/boot` of a root, or the root of a separate partition. The newest entry or the first one counts: which one
//! a menu would choose is for the boot loader to say.

use super::TEXT_LIMIT;
use crate::{Error, tree::Tree, version::newest_first};

/// The kernel's arguments, as far as they do not depend on the boot loader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct BootArguments {
    /// What `root=` says, like `UUID=…`.
    pub(super) root: Option<String>,
    /// The others.
    pub(super) others: Vec<String>,
}

impl BootArguments {
    /// Reads them from a folder for boot loaders (empty for a tree's own root); `None` where there is no boot loader.
    pub(super) fn read(tree: &Tree, boot: &str) -> Result<Option<Self>, Error> {
        let places = [entry(tree, boot)?, grub(tree, boot)?, extlinux(tree, boot)?];
        Ok(places.into_iter().flatten().next().map(|line| Self::parse(&line)))
    }

    /// Parses what follows the kernel's name.
    pub(super) fn parse(line: &str) -> Self {
        let mut inside = false;
        let words = line.split(|c: char| {
            inside ^= c == '"';
            c.is_whitespace() && !inside
        });
        let mut arguments = Self::default();
        for word in words.filter(|word| !word.is_empty()) {
            if let Some(root) = word.strip_prefix("root=") {
                arguments.root = Some(root.to_owned());
            } else if !word.starts_with("BOOT_IMAGE=") && !word.starts_with("initrd=") && !word.contains('$')
            {
                arguments.others.push(word.to_owned());
            }
        }
        arguments
    }

    /// Returns what `rootflags=` says.
    pub(super) fn root_flags(&self) -> Option<&str> {
        self.others.iter().rev().find_map(|word| word.strip_prefix("rootflags="))
    }
}

/// The newest entry of the Boot Loader Specification.
fn entry(tree: &Tree, boot: &str) -> Result<Option<String>, Error> {
    let folder = format!("{boot}/loader/entries");
    let mut names = tree.list(&folder)?;
    names.retain(|name| name.ends_with(".conf"));
    names.sort_by(|a, b| newest_first(a, b));
    for name in names {
        let text = tree.read_text(&format!("{folder}/{name}"), TEXT_LIMIT)?.unwrap_or_default();
        let options: Vec<_> = text.lines().filter_map(|line| after(line, &["options"])).collect();
        if !options.is_empty() {
            return expand(tree, boot, &options.join(" ")).map(Some);
        }
    }
    Ok(None)
}

fn grub(tree: &Tree, boot: &str) -> Result<Option<String>, Error> {
    for name in ["grub/grub.cfg", "grub2/grub.cfg"] {
        let text = tree.read_text(&format!("{boot}/{name}"), TEXT_LIMIT)?.unwrap_or_default();
        let line = text.lines().find_map(|line| after(line, &["linux", "linux16", "linuxefi"]));
        if let Some(line) = line {
            let arguments = line.split_once(char::is_whitespace).map_or("", |(_, arguments)| arguments);
            return expand(tree, boot, arguments).map(Some);
        }
    }
    Ok(None)
}

fn extlinux(tree: &Tree, boot: &str) -> Result<Option<String>, Error> {
    for name in ["extlinux.conf", "extlinux/extlinux.conf", "syslinux/syslinux.cfg"] {
        let text = tree.read_text(&format!("{boot}/{name}"), TEXT_LIMIT)?.unwrap_or_default();
        if let Some(line) = text.lines().find_map(|line| after(line, &["append", "APPEND"])) {
            return Ok(Some(line.to_owned()));
        }
    }
    Ok(None)
}

/// Returns the rest of a line whose first word is one of these.
fn after<'a>(line: &'a str, words: &[&str]) -> Option<&'a str> {
    let (first, rest) = line.trim().split_once(char::is_whitespace)?;
    words.contains(&first).then(|| rest.trim())
}

/// Puts in what GRUB's environment block keeps: lines `name=value`, filled up with `#`.
fn expand(tree: &Tree, boot: &str, line: &str) -> Result<String, Error> {
    if !line.contains("$kernelopts") {
        return Ok(line.to_owned());
    }
    for name in ["grub2/grubenv", "grub/grubenv"] {
        let text = tree.read_text(&format!("{boot}/{name}"), TEXT_LIMIT)?.unwrap_or_default();
        if let Some(options) = text.lines().find_map(|line| line.strip_prefix("kernelopts=")) {
            return Ok(line.replace("$kernelopts", options));
        }
    }
    Ok(line.to_owned())
}
