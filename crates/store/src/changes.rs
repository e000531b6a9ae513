//! What differs between two snapshots of a lineage, as the EBS direct API's ListChangedBlocks says it: by who wrote a
//! block, never by its bytes.

use crate::{BlockMap, BlockRef, Error, Region};
use kiln_types::{BlockIndex, SnapshotId};
use std::cmp::Ordering;

/// A block that differs between two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedBlock {
    /// The block's place in the volume.
    pub index: BlockIndex,
    /// What the first snapshot has there; nothing where it was never written.
    pub first: Option<BlockRef>,
    /// What the second has.
    pub second: Option<BlockRef>,
}

impl Region {
    /// Lists the blocks that differ between two snapshots of one lineage, ascending.
    ///
    /// # Errors
    /// [`Error::Unrelated`] when they have no ancestor in common, and as [`Region::block_map`].
    pub async fn changed_blocks(
        &self,
        first: SnapshotId,
        second: SnapshotId,
    ) -> Result<Vec<ChangedBlock>, Error> {
        let (first, second) = (self.block_map(first).await?, self.block_map(second).await?);
        changed_blocks(&first, &second)
    }
}

fn changed_blocks(first: &BlockMap, second: &BlockMap) -> Result<Vec<ChangedBlock>, Error> {
    if let (Some(a), Some(b)) = (first.lineage.last(), second.lineage.last())
        && first.lineage.first() != second.lineage.first()
    {
        return Err(Error::Unrelated { first: *a, second: *b });
    }
    let (mut first, mut second) = (first.entries.iter().copied(), second.entries.iter().copied());
    let (mut a, mut b) = (first.next(), second.next());
    let mut changed = Vec::new();
    loop {
        let order = match (&a, &b) {
            (None, None) => return Ok(changed),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.index.cmp(&b.index),
        };
        let (one, other) = (a.filter(|_| order.is_le()), b.filter(|_| order.is_ge()));
        if order.is_le() {
            a = first.next();
        }
        if order.is_ge() {
            b = second.next();
        }
        if let Some(block) = one.or(other)
            && one.map(|entry| entry.writer) != other.map(|entry| entry.writer)
        {
            changed.push(ChangedBlock { index: block.index, first: one, second: other });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        BlockContent, Error,
        testing::{Volume, region_in_memory, text_block},
    };

    #[tokio::test]
    async fn who_wrote_a_block_is_compared_and_not_its_bytes() {
        let region = region_in_memory().await;
        let zeros = vec![0; crate::frame::BLOCK];
        let create = async |blocks: &[Vec<u8>], changed: &[u32], parent| {
            let volume = Volume::new(blocks.concat(), changed.iter().copied());
            region.create_snapshot(volume.snapshot(parent), |_| {}).await.unwrap().snapshot_id
        };
        let [a, b, c, d] = [1, 2, 3, 4].map(text_block);
        let root = create(&[a.clone(), b.clone(), zeros.clone()], &[0, 1, 2], None).await;
        let child = create(&[c.clone(), zeros.clone(), d.clone()], &[0, 1, 2], Some(root)).await;
        // Block 0 is as it was in the root, and another snapshot's.
        let grandchild = create(&[a, zeros, d], &[0], Some(child)).await;

        let changed = async |first, second| {
            let changed = region.changed_blocks(first, second).await.unwrap();
            changed
                .into_iter()
                .map(|block| (block.index.0, block.first.is_some(), block.second.is_some()))
                .collect::<Vec<_>>()
        };
        assert_eq!(changed(root, child).await, [(0, true, true), (1, true, true), (2, false, true)]);
        assert_eq!(changed(child, root).await, [(0, true, true), (1, true, true), (2, true, false)]);
        assert_eq!(changed(child, grandchild).await, [(0, true, true)]);
        assert_eq!(changed(root, grandchild).await.len(), 3);
        assert_eq!(changed(child, child).await, []);
        let zeroed = region.changed_blocks(root, child).await.unwrap()[1].second.unwrap();
        assert_eq!((zeroed.content, zeroed.writer), (BlockContent::Zero, child));

        let stranger = create(&[b], &[0], None).await;
        let unrelated = region.changed_blocks(root, stranger).await.unwrap_err();
        assert!(matches!(unrelated, Error::Unrelated { .. }), "{unrelated}");
    }
}
