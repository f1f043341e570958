//! What the programs that measure are told alike.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;

/// How long to measure, and where.
#[derive(Debug, Args)]
pub struct Options {
    /// How long to measure a row, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 300)]
    patience: u64,
    /// Where the figures, the profiles and the plots go.
    #[arg(long, value_name = "FOLDER", default_value = "target/compare", global = true)]
    pub out: PathBuf,
    /// With --durable: where to make a folder of databases, which is removed again. By default where the figures go.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Options {
    /// How long to measure a row.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience)
    }

    /// Where databases go.
    pub fn folder(&self) -> &PathBuf {
        self.folder.as_ref().unwrap_or(&self.out)
    }

    /// The same, for the command line of another program.
    pub fn arguments(&self) -> [OsString; 6] {
        let [patience, out, folder] = ["--patience", "--out", "--folder"].map(OsString::from);
        [patience, self.patience.to_string().into(), out, (&self.out).into(), folder, self.folder().into()]
    }
}
