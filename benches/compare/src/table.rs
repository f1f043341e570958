//! The figures as a table to be read, and as CSV to be kept.

use std::{fs, path::Path};

use anyhow::Context;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

/// Columns of text first, then columns of numbers.
pub struct Figures {
    text: Vec<&'static str>,
    numbers: Vec<&'static str>,
    rows: Vec<(Vec<String>, Vec<Option<f64>>)>,
}

const LINE: LineStyle = LineStyle::none().fill('─').junction('─');
const STYLE: TableStyle = TableStyle::new().top_border(LINE).header_separator(LINE).bottom_border(LINE);

impl Figures {
    /// No rows yet.
    pub fn new(text: &[&'static str], numbers: &[&'static str]) -> Self {
        Self { text: text.into(), numbers: numbers.into(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, text: Vec<String>, numbers: Vec<Option<f64>>) {
        assert_eq!((text.len(), numbers.len()), (self.text.len(), self.numbers.len()), "a row has every column");
        self.rows.push((text, numbers));
    }

    /// Prints the table. What equals the row above is left blank in the first column.
    pub fn print(&self) {
        let mut table = Table::new();
        table.load_style(STYLE).set_header(self.header());
        for place in self.text.len()..self.text.len() + self.numbers.len() {
            if let Some(column) = table.column_mut(place) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut above = "";
        for (text, numbers) in &self.rows {
            let mut cells = text.clone();
            if cells[0] == above {
                cells[0].clear();
            }
            above = &text[0];
            cells.extend(numbers.iter().map(|number| number.map(readable).unwrap_or_default()));
            table.add_row(cells);
        }
        println!("{table}");
    }

    /// Writes the rows to `name`.csv in `folder`.
    pub fn write(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(name).with_extension("csv");
        let mut csv = csv::Writer::from_path(&path).with_context(|| format!("writing {}", path.display()))?;
        csv.write_record(self.header())?;
        for (text, numbers) in &self.rows {
            let numbers = numbers.iter().map(|number| number.map(|number| format!("{number:.3}")).unwrap_or_default());
            csv.write_record(text.iter().cloned().chain(numbers))?;
        }
        csv.flush()?;
        println!("also in {}", path.display());
        Ok(())
    }

    fn header(&self) -> impl Iterator<Item = &'static str> {
        self.text.iter().chain(&self.numbers).copied()
    }
}

/// Three digits at least, and groups of three.
pub fn readable(number: f64) -> String {
    if number.fract() != 0.0 && number.abs() < 100.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
