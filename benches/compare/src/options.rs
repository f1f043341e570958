//! What the programs that measure are told alike.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;

/// How long to measure, and where.
#[derive(Debug, Args)]
pub struct Options {
    /// Only rows whose name contains this; with --durable that is "acceptor | 1000" and the like.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    only: String,
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
    /// Whether a row of that name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// How long to measure a row.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience)
    }

    /// Where databases go.
    pub fn folder(&self) -> &PathBuf {
        self.folder.as_ref().unwrap_or(&self.out)
    }

    /// The same, for the command line of another program.
    pub fn arguments(&self) -> impl Iterator<Item = OsString> {
        let patience = self.patience.to_string().into();
        let told: [(&str, OsString); 4] = [
            ("--only", self.only.clone().into()),
            ("--patience", patience),
            ("--out", self.out.clone().into()),
            ("--folder", self.folder().into()),
        ];
        told.into_iter().flat_map(|(name, value)| [name.into(), value])
    }
}
