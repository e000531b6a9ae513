//! One volume's tree: its folders, level by level, with the names as this volume writes them.

use super::{
    Extent, SECTOR, Sectors, Volume,
    names::{Name, names},
    records::{FIXED, record_size},
};
use crate::medium::{
    MediumError,
    contents::{Contents, Folder, Node},
};

/// Path tables number folders with 16 bits.
const MOST_FOLDERS: usize = 0xffff;

/// A volume's folders, in the order in which its path table numbers them: the root first, each level after the one above.
pub(super) struct Tree {
    pub(super) volume: Volume,
    pub(super) folders: Vec<Placed>,
    /// The path tables, little-endian and big-endian.
    pub(super) tables: [Extent; 2],
}

/// A folder of a volume.
pub(super) struct Placed {
    /// Its name; nothing for the root.
    pub(super) name: Vec<u8>,
    /// The place of the folder that holds it; the root holds itself.
    pub(super) parent: usize,
    /// What it holds, in the order of the names.
    pub(super) entries: Vec<(Vec<u8>, What)>,
    /// Where it lies.
    pub(super) extent: Extent,
}

/// A file by its place among the medium's files, or a folder by its place among the volume's folders.
#[derive(Clone, Copy)]
pub(super) enum What {
    File(usize),
    Folder(usize),
}

impl Tree {
    /// Names everything.
    pub(super) fn new(volume: Volume, contents: &Contents) -> Result<Self, MediumError> {
        let mut tree = Self { volume, folders: vec![Placed::new(Vec::new(), 0)], tables: Default::default() };
        let mut sources: Vec<&Folder> = vec![contents.root()];
        let mut at = 0;
        while let Some(source) = sources.get(at).copied() {
            let mut entries = Vec::new();
            for Name { bytes, node, .. } in names(volume, source)? {
                let what = match node {
                    Node::File(file) => What::File(*file),
                    Node::Folder(folder) => {
                        sources.push(folder);
                        tree.folders.push(Placed::new(bytes.clone(), at));
                        What::Folder(tree.folders.len() - 1)
                    }
                };
                entries.push((bytes, what));
            }
            tree.folders[at].entries = entries;
            at += 1;
        }
        if tree.folders.len() > MOST_FOLDERS {
            return Err(MediumError::TooMany { what: "folders for a CD" });
        }
        Ok(tree)
    }

    /// Takes sectors for the path tables and the folders.
    pub(super) fn place(&mut self, sectors: &mut Sectors) -> Result<(), MediumError> {
        let record = |folder: &Placed| (8 + folder.shown_name().len().next_multiple_of(2)) as u64;
        let bytes = self.folders.iter().map(record).sum();
        self.tables = [sectors.take(bytes)?, sectors.take(bytes)?];
        for folder in &mut self.folders {
            folder.extent = sectors.take(folder.size())?;
        }
        Ok(())
    }
}

impl Placed {
    const fn new(name: Vec<u8>, parent: usize) -> Self {
        Self { name, parent, entries: Vec::new(), extent: Extent { sector: 0, bytes: 0 } }
    }

    /// Returns the name as path tables write it: the root's is a zero.
    pub(super) fn shown_name(&self) -> &[u8] {
        if self.name.is_empty() { &[0] } else { &self.name }
    }

    /// Adds up whole sectors: no record may reach over the end of one.
    fn size(&self) -> u64 {
        let sector = u64::from(SECTOR);
        let itself_and_parent = 2 * (FIXED as u64 + 1);
        let end = self.entries.iter().fold(itself_and_parent, |end, (name, _)| {
            let size = record_size(name) as u64;
            let room = end.next_multiple_of(sector) - end;
            if room < size { end + room + size } else { end + size }
        });
        end.next_multiple_of(sector)
    }
}
