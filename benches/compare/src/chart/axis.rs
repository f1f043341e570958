//! Where a number is on an axis.

use std::ops::Range;

use crate::table::readable;

/// How numbers are laid out along an axis.
#[derive(Clone, Copy)]
pub enum Axis {
    /// From nothing upward.
    Linear,
    /// By powers of ten.
    Log,
}

impl Axis {
    /// Where `number` is on the axis.
    pub fn place(self, number: f64) -> f64 {
        match self {
            Self::Linear => number,
            Self::Log => number.log10(),
        }
    }

    /// What `numbers` span: from zero, or in whole powers of ten.
    pub fn range(self, numbers: impl Iterator<Item = f64> + Clone) -> Range<f64> {
        let most = numbers.clone().fold(f64::MIN, f64::max);
        match self {
            Self::Linear => 0.0..most * 1.15,
            Self::Log => {
                let least = numbers.fold(f64::MAX, f64::min);
                let (first, last) = (least.log10().floor(), most.log10().ceil());
                first..last.max(first + 1.0)
            }
        }
    }

    /// How many marks a range has.
    pub fn marks(self, range: &Range<f64>) -> usize {
        match self {
            Self::Linear => 6,
            Self::Log => (range.end - range.start) as usize + 1,
        }
    }

    /// What to write beside a mark.
    pub fn label(self, place: f64) -> String {
        match self {
            Self::Linear => readable(place),
            Self::Log => readable(10f64.powf(place)),
        }
    }
}
