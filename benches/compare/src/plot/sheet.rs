//! The figures that an earlier run wrote.

use std::path::Path;

use anyhow::{Context, Result};

/// A table of [`Figures`](compare::table::Figures), read again.
pub struct Sheet {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// One row of a sheet.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    header: &'a [String],
    cells: &'a [String],
}

impl Sheet {
    /// The sheet that is called `name` in `folder`; none if there is no such file.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Self>> {
        let path = folder.join(name).with_extension("csv");
        if !path.exists() {
            return Ok(None);
        }
        let mut csv = csv::Reader::from_path(&path).with_context(|| format!("reading {}", path.display()))?;
        let words = |record: &csv::StringRecord| record.iter().map(String::from).collect();
        let header = words(csv.headers()?);
        let rows = csv.records().map(|record| record.map(|record| words(&record))).collect::<Result<_, _>>()?;
        Ok(Some(Self { header, rows }))
    }

    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { header: &self.header, cells })
    }
}

impl<'a> Row<'a> {
    pub fn text(self, column: &str) -> &'a str {
        let place = self.header.iter().position(|name| name == column);
        place.and_then(|place| self.cells.get(place)).map_or("", String::as_str)
    }

    /// None if nothing was measured.
    pub fn number(self, column: &str) -> Option<f64> {
        self.text(column).parse().ok()
    }
}
