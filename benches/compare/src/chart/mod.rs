//! Curves as SVG, which all programs that measure draw alike.

pub mod axis;
pub mod curves;
pub mod style;
