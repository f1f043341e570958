//! How a server is started.

use std::path::PathBuf;

/// How a server is started. The default takes the server's own settings, with room for many clients, and the system's
/// folder for temporary files.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) parent: Option<PathBuf>,
}

impl Options {
    /// Sets the server's setting `name` to `value`, over what is set by default. The setting holds at every start.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Makes the server's folder in `parent`, for instance on another disk. The path should be short, for the server's
    /// socket is in that folder, and sockets have paths of about 100 bytes at most. The user that the server runs as must
    /// be able to get there.
    #[must_use]
    pub fn within(mut self, parent: impl Into<PathBuf>) -> Self {
        self.parent = Some(parent.into());
        self
    }
}
