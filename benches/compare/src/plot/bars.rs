//! Bars below each other, in groups, one figure beside another.

use std::path::Path;

use anyhow::Result;
use compare::{
    chart::{
        axis::Axis,
        style::{FAINT, colour, heading, text},
    },
    table::readable,
};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

/// A line of the plot.
pub enum Line {
    /// What the bars below are about.
    Heading(String),
    /// Who took how much of each figure.
    Bar(String, Vec<f64>),
}

const HEIGHT: u32 = 18;
const WIDTH: u32 = 580;
const NAMES: u32 = 96;
const TOP: u32 = 84;

/// Draws the lines from top to bottom, once for each figure.
pub fn draw(path: &Path, title: &str, figures: &[&str], lines: &[Line]) -> Result<()> {
    let size = (WIDTH * figures.len() as u32, TOP + HEIGHT * lines.len() as u32 + 16);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw_text(title, &heading(18), (16, 24))?;
    for (place, area) in root.split_evenly((1, figures.len())).iter().enumerate() {
        panel(area, figures[place], place, lines)?;
    }
    Ok(root.present()?)
}

fn panel(area: &DrawingArea<SVGBackend, Shift>, figure: &str, place: usize, lines: &[Line]) -> Result<()> {
    let numbers = lines.iter().filter_map(|line| match line {
        Line::Bar(_, numbers) => Some(numbers[place]),
        Line::Heading(_) => None,
    });
    let across = Axis::Log.range(numbers);
    let mut chart = ChartBuilder::on(area)
        .margin_right(72)
        .margin_bottom(16)
        .set_label_area_size(LabelAreaPosition::Left, NAMES)
        .set_label_area_size(LabelAreaPosition::Top, TOP)
        .build_cartesian_2d(across.clone(), lines.len() as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(Axis::Log.marks(&across))
        .x_label_formatter(&|place| Axis::Log.label(*place))
        .x_label_style(text(12, HPos::Center, VPos::Center))
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .axis_style(FAINT)
        .draw()?;
    area.draw_text(&format!("{figure} per decision"), &text(13, HPos::Left, VPos::Center), (NAMES as i32, 52))?;
    for (row, line) in lines.iter().enumerate() {
        let (top, middle, bottom) = (row as f64 + 0.1, row as f64 + 0.5, row as f64 + 0.9);
        let start = EmptyElement::at((across.start, middle));
        match line {
            Line::Heading(words) => {
                chart.draw_series([start + Text::new(words.clone(), (6, 3), heading(13))])?;
            }
            Line::Bar(who, numbers) => {
                let end = Axis::Log.place(numbers[place]);
                let name = Text::new(who.clone(), (-8, 0), text(12, HPos::Right, VPos::Center));
                let number = Text::new(readable(numbers[place]), (6, 0), text(12, HPos::Left, VPos::Center));
                chart.draw_series([Rectangle::new([(across.start, top), (end, bottom)], colour(who).filled())])?;
                chart.draw_series([start + name])?;
                chart.draw_series([EmptyElement::at((end, middle)) + number])?;
            }
        }
    }
    Ok(())
}
