//! Prints lines, also when nobody reads them any more.
//!
//! `println!` panics on a closed pipe, such as `| head` leaves. Here the lines are dropped, and the example goes on: its
//! work and its exit code are the same, whoever reads.

use std::{fmt, io, io::Write};

/// As `println!`.
#[allow(unused_macros, reason = "not every example prints both ways")]
macro_rules! out {
    ($($line:tt)*) => { crate::say::line(&mut std::io::stdout(), format_args!($($line)*)) };
}

/// As `eprintln!`.
#[allow(unused_macros, reason = "not every example prints both ways")]
macro_rules! err {
    ($($line:tt)*) => { crate::say::line(&mut std::io::stderr(), format_args!($($line)*)) };
}

#[allow(unused_imports, reason = "not every example prints both ways")]
pub(crate) use {err, out};

pub(crate) fn line(to: &mut impl Write, line: fmt::Arguments<'_>) {
    match writeln!(to, "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => panic!("a line cannot be written: {error}"),
        _ => {}
    }
}
