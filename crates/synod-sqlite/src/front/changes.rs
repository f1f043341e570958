//! The rows that a branch has touched, as it left them: as bytes, and back into their places.

use std::collections::BTreeSet;

use rusqlite::{
    Connection, Result, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::file::quoted;

/// The first byte of what is written. Another one is another layout.
const LAYOUT: u8 = 1;

/// All that a branch has changed, table by table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Changes(pub(crate) Vec<TableChanges>);

/// What has become of the rows of one table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TableChanges {
    pub(crate) table: String,
    /// The columns that tell rows apart.
    pub(crate) keys: Vec<String>,
    /// All columns that are stored, and the key of a row that has no column of its own.
    pub(crate) columns: Vec<String>,
    /// The keys of the rows that were touched. Some may have been there before, some are there afterwards.
    pub(crate) touched: Vec<Vec<Cell>>,
    /// Those of them that are there afterwards.
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A value as SQLite stores it. Texts need not be UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(text) => Self::Text(text.into()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.into()),
        }
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Changes {
    /// Puts all rows in their places. What was touched goes first, so rows that have exchanged something unique do not meet.
    pub(crate) fn make(&self, db: &Connection) -> Result<()> {
        for TableChanges { table, keys, columns, touched, rows } in &self.0 {
            let table = quoted(table);
            let is_key: Vec<String> = keys.iter().map(|key| format!("{} = ?", quoted(key))).collect();
            let mut delete = db.prepare_cached(&format!("DELETE FROM {table} WHERE {}", is_key.join(" AND ")))?;
            for key in touched {
                delete.execute(params_from_iter(key))?;
            }
            let (names, marks): (Vec<String>, Vec<&str>) = columns.iter().map(|name| (quoted(name), "?")).unzip();
            let insert = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), marks.join(", "));
            let mut insert = db.prepare_cached(&insert)?;
            for row in rows {
                insert.execute(params_from_iter(row))?;
            }
        }
        Ok(())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![LAYOUT];
        count(&mut bytes, self.0.len());
        for TableChanges { table, keys, columns, touched, rows } in &self.0 {
            text(&mut bytes, table.as_bytes());
            for names in [keys, columns] {
                count(&mut bytes, names.len());
                names.iter().for_each(|name| text(&mut bytes, name.as_bytes()));
            }
            for cells in [touched, rows] {
                count(&mut bytes, cells.len());
                cells.iter().flatten().for_each(|cell| cell.encode(&mut bytes));
            }
        }
        bytes
    }

    /// What these bytes are of; nothing if they are of nothing that this version writes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        if bytes.take(1)? != [LAYOUT] {
            return None;
        }
        let changes = bytes.list(|bytes| {
            let table = bytes.name()?;
            let (keys, columns) = (bytes.list(Bytes::name)?, bytes.list(Bytes::name)?);
            let touched = bytes.list(|bytes| bytes.row(keys.len()))?;
            let rows = bytes.list(|bytes| bytes.row(columns.len()))?;
            Some(TableChanges { table, keys, columns, touched, rows })
        })?;
        bytes.0.is_empty().then_some(Self(changes))
    }
}

/// Leaves out what is there already.
pub(crate) fn distinct(rows: Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    let mut seen = BTreeSet::new();
    rows.into_iter()
        .filter(|row| {
            let mut bytes = Vec::new();
            row.iter().for_each(|cell| cell.encode(&mut bytes));
            seen.insert(bytes)
        })
        .collect()
}

impl Cell {
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Null => bytes.push(0),
            Self::Integer(number) => {
                bytes.push(1);
                bytes.extend(number.to_le_bytes());
            }
            Self::Real(number) => {
                bytes.push(2);
                bytes.extend(number.to_bits().to_le_bytes());
            }
            Self::Text(content) => {
                bytes.push(3);
                text(bytes, content);
            }
            Self::Blob(content) => {
                bytes.push(4);
                text(bytes, content);
            }
        }
    }
}

fn count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend((count as u64).to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, content: &[u8]) {
    count(bytes, content.len());
    bytes.extend(content);
}

/// What is left to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<[u8; 8]> {
        self.take(8)?.try_into().ok()
    }

    fn content(&mut self) -> Option<&'a [u8]> {
        let len = u64::from_le_bytes(self.number()?);
        self.take(usize::try_from(len).ok()?)
    }

    fn name(&mut self) -> Option<String> {
        Some(std::str::from_utf8(self.content()?).ok()?.into())
    }

    /// Nothing is allocated for what is not there.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        for _ in 0..u64::from_le_bytes(self.number()?) {
            items.push(item(self)?);
        }
        Some(items)
    }

    fn row(&mut self, cells: usize) -> Option<Vec<Cell>> {
        // A row of nothing would take no bytes, however many there are.
        (0..cells.max(1)).map(|_| self.cell()).collect()
    }

    fn cell(&mut self) -> Option<Cell> {
        Some(match self.take(1)? {
            [0] => Cell::Null,
            [1] => Cell::Integer(i64::from_le_bytes(self.number()?)),
            [2] => Cell::Real(f64::from_bits(u64::from_le_bytes(self.number()?))),
            [3] => Cell::Text(self.content()?.into()),
            [4] => Cell::Blob(self.content()?.into()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Changes {
        let cells = [
            Cell::Integer(i64::MIN),
            Cell::Real(0.1 + 0.2),
            Cell::Text(vec![b'a', 0, 0xff]),
            Cell::Blob(vec![0, 1]),
            Cell::Null,
        ];
        let table = TableChanges {
            table: "a \"table\"".into(),
            keys: vec!["_rowid_".into()],
            columns: ["_rowid_", "a", "b", "c", "d"].map(Into::into).into(),
            touched: vec![vec![Cell::Integer(1)], vec![Cell::Integer(i64::MIN)]],
            rows: vec![cells.into()],
        };
        Changes(vec![table.clone(), TableChanges { rows: vec![], ..table }])
    }

    #[test]
    fn changes_are_read_as_they_were_written_and_nothing_else_is_read() {
        let bytes = example().encode();
        assert_eq!(Changes::decode(&bytes), Some(example()));
        for len in 0..bytes.len() {
            assert_eq!(Changes::decode(&bytes[..len]), None);
        }
        assert_eq!(Changes::decode(&[&bytes[..], &[0]].concat()), None);
        for at in 0..bytes.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut other = bytes.clone();
                other[at] = byte;
                // Whatever it is, it takes no more memory than it has bytes, and no panic.
                let _ = Changes::decode(&other);
            }
        }
    }
}
