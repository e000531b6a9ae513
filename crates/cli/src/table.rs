//! Tables for people: columns as wide as their content, two spaces between.

/// Renders rows under a header; a column of numbers is aligned by whoever made the cells.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = line(&header, &widths);
    for row in rows {
        out.push_str(&line(&row.each_ref().map(String::as_str), &widths));
    }
    out
}

/// Renders what is known of one thing: a name and a value a line, empty values left out.
pub(crate) fn details(rows: &[(&str, String)]) -> String {
    let rows = rows.iter().filter(|(_, value)| !value.is_empty());
    rows.map(|(name, value)| format!("{name:<14}{value}\n")).collect()
}

fn line<const N: usize>(cells: &[&str; N], widths: &[usize; N]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    let line = cells.collect::<Vec<_>>().join("  ");
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_their_content() {
        let rows = [["ami-1".to_owned(), "debian-web".to_owned()], ["ami-22".to_owned(), "x".to_owned()]];
        assert_eq!(table(["IMAGE", "NAME"], &rows), "IMAGE   NAME\nami-1   debian-web\nami-22  x\n");
    }
}
