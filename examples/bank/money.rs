//! Sums of money.

use std::{fmt, iter::Sum, str::FromStr};

/// A sum of money in hundredths, exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cents(pub(crate) i64);

/// No sum in this bank is larger than this, so that none overflows when they are added.
const LARGEST: i64 = 100_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an amount such as 12.50 or -3.00")]
pub(crate) struct NoAmount;

impl FromStr for Cents {
    type Err = NoAmount;

    fn from_str(text: &str) -> Result<Self, NoAmount> {
        let (sign, digits) = match text.as_bytes().first() {
            Some(b'-') => (-1, &text[1..]),
            Some(b'+') => (1, &text[1..]),
            _ => (1, text),
        };
        let (whole, hundredths) = digits.split_once('.').ok_or(NoAmount)?;
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(hundredths) || hundredths.len() != 2 {
            return Err(NoAmount);
        }
        let whole: i64 = whole.parse().map_err(|_| NoAmount)?;
        let hundredths: i64 = hundredths.parse().map_err(|_| NoAmount)?;
        let sum = whole.checked_mul(100).ok_or(NoAmount)? + hundredths;
        if sum > LARGEST { Err(NoAmount) } else { Ok(Self(sign * sum)) }
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let sum = self.0.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", grouped(sum / 100), sum % 100))
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(sums: I) -> Self {
        Self(sums.map(|Self(cents)| cents).sum())
    }
}

/// A number with a comma after each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
