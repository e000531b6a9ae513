//! Which blocks of a chain may differ from its base.

use super::{
    layer::{Cluster, Layer},
    layers::Layers,
};
use crate::{BlockSource, Error, raw::index};
use kiln_types::{BLOCK_SIZE, BlockIndex};

impl Layers {
    /// Lists the blocks in which an overlay has data or zeros, or hides the base by being smaller.
    pub(super) fn changed(&self) -> Result<Vec<BlockIndex>, Error> {
        let size = self.overlays.first().map_or(self.base.size(), |top| top.geometry.size);
        let mut marks = Marks::new(size);
        for layer in &self.overlays {
            mark_layer(layer, &mut marks)?;
        }
        // Where a layer ends before the base does, zeros stand over the base's bytes, also if a layer above grew again.
        let shortest = self.overlays.iter().map(|layer| layer.geometry.size).min().unwrap_or(size);
        if shortest < self.base.size() {
            for block in shortest / BLOCK_SIZE..self.base.size().div_ceil(BLOCK_SIZE) {
                marks.set(block);
            }
        }
        marks.list(size)
    }

    /// Lists the blocks that overlays have written to, each with the topmost of these overlays; 0 is the lowest. A block over
    /// which a layer ends is left out: what hides the base there is no overlay's doing.
    pub(super) fn writers(&self) -> Result<Vec<(BlockIndex, usize)>, Error> {
        let size = self.overlays.first().map_or(self.base.size(), |top| top.geometry.size);
        let shortest = self.overlays.iter().map(|layer| layer.geometry.size).min().unwrap_or(size);
        let mut seen = Marks::new(size);
        let mut writers = Vec::new();
        for (layer, number) in self.overlays.iter().zip((0..self.overlays.len()).rev()) {
            let mut marks = Marks::new(size);
            mark_layer(layer, &mut marks)?;
            for block in marks.list(size)? {
                if !seen.has(u64::from(block.0)) && block.offset() + BLOCK_SIZE <= shortest {
                    writers.push((block, number));
                }
                seen.set(u64::from(block.0));
            }
        }
        Ok(writers)
    }
}

fn mark_layer(layer: &Layer, marks: &mut Marks) -> Result<(), Error> {
    let cluster = layer.cluster_size();
    let covered = cluster * (cluster / 8);
    let mut offset = 0;
    for present in layer.present_tables()? {
        let end = (offset + covered).min(layer.geometry.size);
        while present && offset < end {
            let (first, last) = (offset / BLOCK_SIZE, (offset + cluster - 1) / BLOCK_SIZE);
            let known = first == last && marks.has(first);
            if !known && layer.cluster(offset)? != Cluster::Lower {
                (first..=last).for_each(|block| marks.set(block));
            }
            offset += cluster;
        }
        offset = end;
    }
    Ok(())
}

/// One bit a block: 16 MiB for the largest volume.
struct Marks {
    words: Vec<u64>,
    blocks: u64,
}

impl Marks {
    fn new(size: u64) -> Self {
        let blocks = size.div_ceil(BLOCK_SIZE);
        let words = usize::try_from(blocks.div_ceil(64)).expect("the gate bounds a volume's size");
        Self { words: vec![0; words], blocks }
    }

    fn has(&self, block: u64) -> bool {
        let word = usize::try_from(block / 64).ok().and_then(|at| self.words.get(at));
        word.is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// Marks a block; one beyond the volume's end is of no interest.
    fn set(&mut self, block: u64) {
        if block < self.blocks
            && let Some(word) = usize::try_from(block / 64).ok().and_then(|at| self.words.get_mut(at))
        {
            *word |= 1 << (block % 64);
        }
    }

    fn list(&self, size: u64) -> Result<Vec<BlockIndex>, Error> {
        (0..self.blocks).filter(|block| self.has(*block)).map(|block| index(block, size)).collect()
    }
}
