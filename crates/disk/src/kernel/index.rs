//! Which modules a kernel has, and what each needs loaded before it.

use super::{
    Module,
    module_file::{MODULE_LIMIT, modinfo, unpack},
};
use crate::{Error, tree::Tree};
use std::collections::{HashMap, HashSet};

/// The largest of the index files, `modules.alias`, is about 2 MiB.
const INDEX_LIMIT: u64 = 32 << 20;

/// Real chains of dependencies are below ten long; a made-up `modules.dep` must not exhaust the stack.
const DEPTH_LIMIT: usize = 64;

/// A module's file below the kernel's folder, and its dependencies where `modules.dep` told them.
struct Entry {
    path: String,
    needs: Option<Vec<String>>,
}

/// What `modules.*` says.
pub(super) struct Index<'a> {
    tree: &'a Tree,
    folder: &'a str,
    kernel: &'a str,
    entries: HashMap<String, Entry>,
    builtin: HashSet<String>,
    /// Modules to load before another if they are there; the names may be aliases.
    soft: HashMap<String, Vec<String>>,
    aliases: HashMap<String, Vec<String>>,
}

impl<'a> Index<'a> {
    /// Reads `modules.dep`, or `modules.order` where depmod never ran, and the rest.
    pub(super) fn read(tree: &'a Tree, folder: &'a str, kernel: &'a str) -> Result<Self, Error> {
        let text = |name: &str| -> Result<Option<String>, Error> {
            tree.read_text(&format!("{folder}/{name}"), INDEX_LIMIT)
        };
        let mut entries = HashMap::new();
        for line in text("modules.dep")?.unwrap_or_default().lines() {
            if let Some((path, needs)) = line.split_once(':') {
                let needs = Some(needs.split_whitespace().map(name_of).collect());
                entries.insert(name_of(path), Entry { path: path.to_owned(), needs });
            }
        }
        if entries.is_empty() {
            for path in text("modules.order")?.unwrap_or_default().lines() {
                entries.insert(name_of(path), Entry { path: path.to_owned(), needs: None });
            }
        }
        let builtin = text("modules.builtin")?.unwrap_or_default().lines().map(name_of).collect();
        let soft = parse_softdeps(&text("modules.softdep")?.unwrap_or_default());
        let mut aliases: HashMap<String, Vec<String>> = HashMap::new();
        for line in text("modules.alias")?.unwrap_or_default().lines() {
            // Patterns for devices are the bulk of the file; only plain names can be a soft dependency.
            if let ["alias", alias, module] = line.split(' ').collect::<Vec<_>>()[..]
                && !alias.contains(['*', ':'])
            {
                aliases.entry(underscores(alias)).or_default().push(underscores(module));
            }
        }
        Ok(Self { tree, folder, kernel, entries, builtin, soft, aliases })
    }

    /// Says whether the kernel holds a module already.
    pub(super) fn is_built_in(&self, name: &str) -> bool {
        self.builtin.contains(&underscores(name))
    }

    /// Reads the named modules after everything they need.
    pub(super) fn closure(&self, names: &[&str]) -> Result<Vec<Module>, Error> {
        let mut loaded = Loaded::default();
        for name in names {
            let (name, optional) = name.strip_suffix('?').map_or((*name, false), |name| (name, true));
            let name = underscores(name);
            if optional && !self.entries.contains_key(&name) {
                continue;
            }
            self.visit(&name, 0, &mut loaded)?;
        }
        Ok(loaded.modules)
    }

    fn visit(&self, name: &str, depth: usize, loaded: &mut Loaded) -> Result<(), Error> {
        if self.builtin.contains(name) || !loaded.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let missing = || Error::MissingModule { kernel: self.kernel.to_owned(), module: name.to_owned() };
        let entry = self.entries.get(name).ok_or_else(missing)?;
        if depth > DEPTH_LIMIT {
            return Err(self.bad(&entry.path, "a chain of dependencies without end"));
        }
        let bytes = self.load(entry)?.ok_or_else(missing)?;
        let (needs, soft) = match &entry.needs {
            Some(needs) => (needs.clone(), self.soft.get(name).cloned().unwrap_or_default()),
            None => own_needs(&bytes),
        };
        for soft in soft.iter().flat_map(|soft| self.providers(soft)) {
            self.visit(&soft, depth + 1, loaded)?;
        }
        for need in &needs {
            self.visit(need, depth + 1, loaded)?;
        }
        loaded.modules.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }

    /// Returns the modules behind a name that may be an alias; none where the kernel has it built in or not at all.
    fn providers(&self, name: &str) -> Vec<String> {
        let known = |name: &String| self.entries.contains_key(name);
        // Without modules.alias (depmod never ran) the plain implementation of an algorithm is found by its name.
        let generic = || vec![name.to_owned(), format!("{name}_generic")];
        let names = self.aliases.get(name).cloned().unwrap_or_else(generic);
        names.into_iter().filter(known).collect()
    }

    /// Reads and unpacks a module; `modules.order` leaves out the ending of packed ones.
    fn load(&self, entry: &Entry) -> Result<Option<Vec<u8>>, Error> {
        for ending in ["", ".xz", ".zst", ".gz"] {
            let path = format!("{}/{}{ending}", self.folder, entry.path);
            if let Some(bytes) = self.tree.read(&path, MODULE_LIMIT)? {
                return unpack(bytes).map(Some).map_err(|e| self.bad(&path, &e.to_string()));
            }
        }
        Ok(None)
    }

    fn bad(&self, path: &str, reason: &str) -> Error {
        Error::BadModule { kernel: self.kernel.to_owned(), path: path.to_owned(), reason: reason.to_owned() }
    }
}

#[derive(Default)]
struct Loaded {
    seen: HashSet<String>,
    modules: Vec<Module>,
}

/// What a module says itself: `depends=` and the `pre:` part of `softdep=`.
fn own_needs(elf: &[u8]) -> (Vec<String>, Vec<String>) {
    let depends = modinfo(elf, "depends").into_iter().flat_map(|list| list.split(','));
    let soft = modinfo(elf, "softdep").into_iter().flat_map(before);
    (depends.filter(|name| !name.is_empty()).map(underscores).collect(), soft.collect())
}

/// Parses lines like `softdep ext4 pre: crc32c post: other`.
fn parse_softdeps(text: &str) -> HashMap<String, Vec<String>> {
    let mut soft: HashMap<String, Vec<String>> = HashMap::new();
    for line in text.lines() {
        if let Some((name, rest)) = line.strip_prefix("softdep ").and_then(|line| line.split_once(' ')) {
            soft.entry(underscores(name)).or_default().extend(before(rest));
        }
    }
    soft
}

/// The names after `pre:` and before `post:`.
fn before(softdep: &str) -> impl Iterator<Item = String> {
    let mut words = softdep.split_whitespace();
    words.by_ref().find(|word| *word == "pre:");
    words.take_while(|word| *word != "post:").map(underscores)
}

/// `kernel/fs/fat/vfat.ko.xz` is the module `vfat`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    underscores(file.split_once(".ko").map_or(file, |(name, _)| name))
}

/// The kernel takes `-` and `_` for the same.
fn underscores(name: &str) -> String {
    name.replace('-', "_")
}
