//! Plots of what earlier runs measured.

mod bars;
mod sheet;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use compare::{
    chart::{
        axis::{
            self,
            Axis::{Linear, Log},
        },
        curves::{self, Curve, Panel},
        style::{ACCENTS, colour},
    },
    table::readable,
};

use self::{
    bars::Line,
    sheet::{Row, Sheet},
};

/// Draws all that there are figures of in `folder`, and says where.
pub fn run(folder: &Path) -> Result<()> {
    let mut drawn = Vec::new();
    if let Some(sheet) = Sheet::read(folder, "decisions")? {
        drawn.extend(decisions(folder, &sheet)?);
    }
    for (name, panels) in [("durable", durable as Panels), ("scale", scale), ("flow", flow)] {
        if let Some(sheet) = Sheet::read(folder, name)? {
            let path = folder.join(name).with_extension("svg");
            curves::draw(&path, &panels(&sheet))?;
            drawn.push(path);
        }
    }
    ensure!(!drawn.is_empty(), "there are no figures in {} yet: measure first", folder.display());
    drawn.iter().for_each(|path| println!("{}", path.display()));
    Ok(())
}

type Panels = fn(&Sheet) -> Vec<Panel>;

/// What rows of one plot begin with, the plot's title and its name.
const DECISIONS: [(&str, &str, &str); 3] = [
    ("one value", "One value chosen", "decisions-one-value"),
    ("Paxos Commit", "One transaction decided: Paxos Commit", "decisions-paxos-commit"),
    ("Faster", "One transaction decided: Faster Paxos Commit", "decisions-faster"),
];

/// Nanoseconds per decision, and instructions where they were counted.
fn decisions(folder: &Path, sheet: &Sheet) -> Result<Vec<PathBuf>> {
    let mut drawn = Vec::new();
    for (start, title, name) in DECISIONS {
        let rows: Vec<Row> = sheet.rows().filter(|row| row.text("what").starts_with(start)).collect();
        let counted = |figure: &&str| rows.iter().all(|row| row.number(figure).is_some());
        let figures: Vec<&str> = ["ns", "instructions"].into_iter().filter(counted).collect();
        if rows.is_empty() || figures.is_empty() {
            continue;
        }
        let in_flight = |row: &Row| row.number("in flight").map(readable).unwrap_or_default();
        let group = |row: &Row| format!("{}; {} in flight", row.text("what"), in_flight(row));
        let mut lines = Vec::new();
        for rows in rows.chunk_by(|row, next| group(row) == group(next)) {
            lines.push(Line::Heading(group(&rows[0])));
            lines.extend(rows.iter().map(|row| {
                let numbers = figures.iter().filter_map(|figure| row.number(figure)).collect();
                Line::Bar(row.text("who").into(), numbers)
            }));
        }
        let path = folder.join(name).with_extension("svg");
        bars::draw(&path, title, &figures, &lines)?;
        drawn.push(path);
    }
    Ok(drawn)
}

/// Transactions a second by how many are in flight, a panel for each role.
fn durable(sheet: &Sheet) -> Vec<Panel> {
    let rows: Vec<Row> = sheet.rows().collect();
    let panel = |rows: &[Row]| {
        let mut curves: Vec<Curve> = Vec::new();
        for row in rows {
            let (who, point) = (row.text("who"), row.number("in flight").zip(row.number("tx/s")));
            match curves.iter_mut().find(|curve| curve.name == who) {
                Some(curve) => curve.points.extend(point),
                None => curves.push(Curve::new(who, colour(who), point)),
            }
        }
        let title = format!("Transactions/s on a disk: {}", rows[0].text("what"));
        Panel { title, across: (Log, "transactions in flight, one batch"), up: (Log, "per second"), curves }
    };
    rows.chunk_by(|row, next| row.text("what") == next.text("what")).map(panel).collect()
}

/// What a message takes, and what a transaction holds, by how many transactions are open.
fn scale(sheet: &Sheet) -> Vec<Panel> {
    let open = (Log, "open transactions", "open transactions");
    let votes = ["ns, second vote", "ns, third vote", "second, ahead", "third, ahead"];
    vec![
        columns(sheet, "A message to an acceptor", open, (Linear, "ns"), &votes),
        columns(sheet, "Live heap per open transaction", open, (Linear, "bytes"), &["bytes"]),
    ]
}

/// Memory, by how many transactions there were.
fn flow(sheet: &Sheet) -> Vec<Panel> {
    let over = (Linear, "transactions that are over", "transactions");
    vec![columns(sheet, "Memory", over, (Linear, "MiB"), &["resident MiB", "heap MiB"])]
}

/// A curve for each of some columns, beside the column `x`.
fn columns(
    sheet: &Sheet,
    title: &str,
    (axis, across, x): (axis::Axis, &'static str, &str),
    up: (axis::Axis, &'static str),
    names: &[&str],
) -> Panel {
    let curve = |(name, colour): (&&str, _)| {
        Curve::new(name, colour, sheet.rows().filter_map(|row| row.number(x).zip(row.number(name))))
    };
    let curves = names.iter().zip(ACCENTS).map(curve).collect();
    Panel { title: title.into(), across: (axis, across), up, curves }
}
