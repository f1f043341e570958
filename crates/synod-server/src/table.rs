//! Tables for people.

use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};

/// A table, as wide as the terminal at most.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    if let Ok(width) = std::env::var("COLUMNS")
        && let Ok(width) = width.parse()
    {
        table.set_width(width);
    }
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    format!("{table}\n")
}
