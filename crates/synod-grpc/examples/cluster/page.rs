//! What is printed fits into 80 columns.

use comfy_table::{ContentArrangement, Row, Table, TableStyle};

const WIDTH: u16 = 80;

/// A table that breaks the lines of its cells where it would be too wide.
pub(crate) fn table(style: TableStyle, header: impl Into<Row>) -> Table {
    let mut table = Table::new();
    table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH).set_header(header);
    table
}

/// `text` in lines, all but the first of them indented. A word that is wider than a line, such as a path, stays whole.
pub(crate) fn folded(text: &str) -> String {
    let (mut folded, mut column) = (String::new(), 0);
    for word in text.split_whitespace() {
        let width = word.chars().count();
        let separator = match column {
            0 => "",
            _ if column + 1 + width <= usize::from(WIDTH) => " ",
            _ => {
                column = 0;
                "\n  "
            }
        };
        folded.push_str(separator);
        folded.push_str(word);
        column += width + separator.trim_start_matches('\n').len();
    }
    folded
}
