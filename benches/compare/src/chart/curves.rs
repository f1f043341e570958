//! Curves: one figure as it depends on another.

use std::path::Path;

use anyhow::Result;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, VPos},
};

use super::{
    axis::Axis,
    style::{FAINT, INK, heading, text},
};

/// Some curves with the same axes.
pub struct Panel {
    /// What is above it.
    pub title: String,
    /// The axis across, and what it shows.
    pub across: (Axis, &'static str),
    /// The axis upward, and what it shows.
    pub up: (Axis, &'static str),
    /// The first one is drawn above the others.
    pub curves: Vec<Curve>,
}

/// One curve.
pub struct Curve {
    /// Whose it is.
    pub name: String,
    /// Its colour.
    pub colour: RGBColor,
    /// Across, and up.
    pub points: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (640, 380);

/// Draws the panels, two in a row.
pub fn draw(path: &Path, panels: &[Panel]) -> Result<()> {
    let columns = panels.len().min(2);
    let rows = panels.len().div_ceil(columns);
    let root = SVGBackend::new(path, (SIZE.0 * columns as u32, SIZE.1 * rows as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((rows, columns)).iter().zip(panels) {
        panel.draw(area)?;
    }
    Ok(root.present()?)
}

impl Curve {
    /// A curve through `points`.
    pub fn new(name: &str, colour: RGBColor, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.into(), colour, points: points.into_iter().collect() }
    }
}

impl Panel {
    fn draw(&self, area: &DrawingArea<SVGBackend, Shift>) -> Result<()> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let (across, up) = (self.across.0, self.up.0);
        let x = across.range(points().map(|point| point.0));
        let y = up.range(points().map(|point| point.1));
        area.draw_text(&self.title, &heading(16), (20, 22))?;
        area.draw_text(self.up.1, &text(12, HPos::Left, VPos::Center), (20, 46))?;
        self.legend(area)?;
        let mut chart = ChartBuilder::on(area)
            .margin_top(62)
            .margin_right(42)
            .margin_bottom(10)
            .x_label_area_size(44)
            .y_label_area_size(84)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .x_labels(across.marks(&x))
            .y_labels(up.marks(&y))
            .x_label_formatter(&|place| across.label(*place))
            .y_label_formatter(&|place| up.label(*place))
            .x_desc(self.across.1)
            .label_style(text(12, HPos::Center, VPos::Center))
            .axis_desc_style(text(12, HPos::Center, VPos::Center))
            .bold_line_style(FAINT)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .draw()?;
        // The first one comes last, above the others.
        for curve in self.curves.iter().rev() {
            let points = curve.points.iter().map(|(x, y)| (across.place(*x), up.place(*y)));
            chart.draw_series(LineSeries::new(points.clone(), curve.colour.stroke_width(2)))?;
            chart.draw_series(points.map(|point| Circle::new(point, 3, curve.colour.filled())))?;
        }
        Ok(())
    }

    /// The curves' names above the plot, where none of them can be.
    fn legend(&self, area: &DrawingArea<SVGBackend, Shift>) -> Result<()> {
        let mut at = 120;
        for curve in &self.curves {
            area.draw(&PathElement::new([(at, 46), (at + 18, 46)], curve.colour.stroke_width(3)))?;
            area.draw_text(&curve.name, &text(12, HPos::Left, VPos::Center), (at + 24, 46))?;
            at += 56 + 6 * curve.name.len() as i32;
        }
        Ok(())
    }
}
