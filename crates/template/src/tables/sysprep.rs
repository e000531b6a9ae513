//! `[sysprep]`.

use crate::{model::Sysprep, reader::Field, report::Checked};

/// Reads what is taken out of the guest at the end.
pub(crate) fn read(field: &Field<'_>) -> Checked<Sysprep> {
    let mut table = field.table("`[sysprep]`")?;
    let enabled = table.or("enabled", true, Field::boolean);
    let keep = table.or("keep", Vec::new(), |field| field.each(Field::word));
    table.finish()?;
    Ok(Sysprep { enabled: enabled?, keep: keep?.into_iter().collect() })
}
