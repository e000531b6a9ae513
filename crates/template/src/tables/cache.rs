//! `[cache]`.

use crate::{reader::Field, report::Checked};
use kiln_types::RegionName;

/// Reads `[cache]`.
pub(super) fn region(field: &Field<'_>) -> Checked<Option<RegionName>> {
    let mut table = field.table("`[cache]`")?;
    let region = table.optional("region", Field::parse);
    table.finish()?;
    region
}
