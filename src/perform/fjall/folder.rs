//! Folders of databases.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::FjallError;

/// Makes a folder of databases appear at `path` as a whole or not at all. (fjall cannot open what a kill left half made.)
///
/// `fill` makes them in a folder next to `path`, and closes them; what an earlier kill left there is removed first.
pub fn create_whole<E>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E>
where
    E: From<FjallError>,
{
    let failed = |source| FjallError::Folder { path: path.into(), source };
    let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
    let mut unfinished = name.to_os_string();
    unfinished.push(".unfinished");
    let unfinished = path.with_file_name(unfinished);
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(failed)?;
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error).into()),
        _ => {}
    }
    fill(&unfinished)?;
    // This removes an empty folder only, and then there is nothing to be lost.
    let _ = fs::remove_dir(path);
    fs::rename(&unfinished, path).map_err(failed)?;
    sync_folder(parent).map_err(failed)?;
    Ok(())
}

pub(super) fn is_blank(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    // Windows has no such thing.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
