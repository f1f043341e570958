//! Events that were kept, because a run with them once broke a property.

use std::{fs, path::PathBuf};

use serde::Deserialize;
use synod::sim::{Event, Setup};

/// A run that was kept: what it is about, what the world was made of, and what happened in it.
#[derive(Deserialize)]
pub(crate) struct Story {
    pub(crate) about: String,
    pub(crate) setup: Setup,
    pub(crate) events: Vec<Event>,
}

/// Every story that was kept, by the name of its file.
pub(crate) fn all() -> Vec<(PathBuf, Story)> {
    let folder = PathBuf::from("tests/events");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: PathBuf| {
        let story = serde_json::from_str(&fs::read_to_string(&file).unwrap());
        let story = story.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file, story)
    };
    files.into_iter().map(read).collect()
}
