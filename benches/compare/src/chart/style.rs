//! How plots look.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// What is written, and axes.
pub const INK: RGBColor = RGBColor(0x26, 0x2b, 0x33);
/// What lies behind the curves.
pub const FAINT: RGBColor = RGBColor(0xe3, 0xe6, 0xea);
const FONT: &str = "sans-serif";

/// Everyone's colour, the same in every plot.
pub fn colour(who: &str) -> RGBColor {
    match who {
        "synod" => RGBColor(0x1f, 0x5f, 0xbf),
        "synod, 1" => RGBColor(0x8f, 0xaf, 0xdf),
        "floor" | "disk" | "by hand" => RGBColor(0x9a, 0xa3, 0xad),
        "omnipaxos" | "fjall" | "dtmrs" => RGBColor(0xe0, 0x91, 0x3a),
        "raft" | "plain" => RGBColor(0x4f, 0x9d, 0x69),
        "raftbare" => RGBColor(0x8f, 0x6b, 0xb3),
        "quepaxa" | "alone" => RGBColor(0xc9, 0x5d, 0x63),
        "paxos-rust" => RGBColor(0x8a, 0x8f, 0x3c),
        _ => INK,
    }
}

/// Colours of what nobody owns.
pub const ACCENTS: [RGBColor; 4] =
    [RGBColor(0x1f, 0x5f, 0xbf), RGBColor(0xe0, 0x91, 0x3a), RGBColor(0x8f, 0xaf, 0xdf), RGBColor(0xf0, 0xc8, 0x9c)];

/// Text of a size, whose given point is where it is put.
pub fn text(size: u32, across: HPos, up: VPos) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK).pos(Pos::new(across, up))
}

/// A heading, whose given point is its left end.
pub fn heading(size: u32) -> TextStyle<'static> {
    (FONT, size, FontStyle::Bold).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center))
}
