use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{opening, replace};
use crate::store::Unavailable;

/// A file beside sled's own files. It holds the format of the store, and shows that the store has held its first
/// record: a store that opens empty beside it has lost data.
const MARKER: &str = "store.marker";
/// The format of the folder that this release writes. An empty marker, which an interrupted first start can leave,
/// means format 1.
const FORMAT: u32 = 1;
/// A file that says that acknowledged changes were lost, and how many, so that a restart does not overlook it.
const LOST: &str = "store.lost";
const MARKER_TEXT: &str = "strongroom store, format ";

/// Whether a data folder holds a sled store.
pub fn holds_sled(data: &Path) -> bool {
    data.join(MARKER).exists() || data.join("store").exists()
}

/// The folders of a sled store, ready to be opened: leftovers of a crash have been removed.
pub(super) struct StoreFolder {
    data: PathBuf,
    store: PathBuf,
    marked: bool,
    /// Whether a power loss while sled opens the store could destroy it.
    risky: bool,
}

impl StoreFolder {
    /// Examines a data folder and prepares it. A folder of a newer format, or one with lost changes, is refused and
    /// stays as it is.
    pub(super) fn open(data: &Path) -> Result<Self, Unavailable> {
        let verdict = data.join(LOST);
        match fs::read_to_string(&verdict) {
            Ok(why) => Err(Unavailable(
                format!(
                    "{}: {}. Restore a backup into another --data-dir; or remove {} to go on with what is left",
                    data.display(),
                    why.trim_end(),
                    verdict.display()
                )
                .into(),
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::open_condemned(data),
            Err(error) => Err(unusable(&verdict, &error)),
        }
    }

    /// The same, without regard to lost changes.
    pub(super) fn open_condemned(data: &Path) -> Result<Self, Unavailable> {
        let (marked, store) = (is_marked(data)?, data.join("store"));
        if opening::is_in_use(&store) {
            return Err(in_use(&store));
        }
        let risky = ready(data, &store).map_err(|error| unusable(&store, &error))?;
        Ok(Self { data: data.to_owned(), store, marked, risky })
    }

    /// sled's own folder.
    pub(super) fn store(&self) -> &Path {
        &self.store
    }

    /// Whether the store has held a record.
    pub(super) fn is_marked(&self) -> bool {
        self.marked
    }

    pub(super) fn came_back_empty(&self) -> Unavailable {
        Unavailable(
            format!(
                "{} came back empty although it held data before; nothing was changed. Restore the folder from a copy; \
                 only if its data may be lost, remove {} to start with an empty store",
                self.store.display(),
                self.data.join(MARKER).display()
            )
            .into(),
        )
    }

    /// Removes the store that an earlier process was building.
    pub(super) fn remove_unfinished(&self) -> Result<(), Unavailable> {
        replace::remove_unfinished(&self.data).map_err(|error| unusable(&self.store, &error))
    }

    /// Marks that the store holds its first record, once the names of its files are durable too.
    pub(super) fn mark(&self) -> Result<(), Unavailable> {
        if self.marked {
            return Ok(());
        }
        self.write_marker().map_err(|error| unusable(&self.store, &error))
    }

    /// Runs `open` so that the store keeps its former state until the opening is done and durable.
    pub(super) fn opened<T>(&self, open: impl FnOnce() -> Result<T, Unavailable>) -> Result<T, Unavailable> {
        if self.risky {
            opening::begin(&self.data).map_err(|error| unusable(&self.store, &error))?;
        }
        let opened = open().inspect_err(|_| {
            if let Err(error) = opening::undo(&self.data) {
                tracing::warn!(%error, "what the opening changed is undone at the next one");
            }
        })?;
        opening::end(&self.data).map_err(|error| unusable(&self.store, &error))?;
        Ok(opened)
    }

    fn write_marker(&self) -> io::Result<()> {
        sync_files(&self.store)?;
        sync_folder(&self.data)?;
        let marker = self.data.join(MARKER);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()); // what a link names is not ours to write to
        let mut marker = options.open(marker)?;
        marker.write_all(format!("{MARKER_TEXT}{FORMAT}\n").as_bytes())?;
        marker.sync_all()?;
        sync_folder(&self.data)
    }
}

/// Notes durably that acknowledged changes are gone.
pub(super) fn condemn(data: &Path, why: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let mut verdict = options.open(data.join(LOST))?;
    writeln!(verdict, "{why}")?;
    verdict.sync_all()?;
    sync_folder(data)
}

/// Removes that note: a replacement has taken the place of the store.
pub(super) fn pardon(data: &Path) -> Result<(), Unavailable> {
    let verdict = data.join(LOST);
    match fs::remove_file(&verdict).and_then(|()| sync_folder(data)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&verdict, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prepares the folder that sled opens, and says whether the opening is risky.
fn ready(data: &Path, store: &Path) -> io::Result<bool> {
    replace::finish_interrupted(data)?;
    opening::undo_interrupted(data)?;
    // Made here and not by sled, for the owner alone.
    DirBuilder::new().recursive(true).mode(0o700).create(store)?;
    for found in fs::read_dir(store)? {
        let found = found?;
        // A kill while sled opens leaves an unfinished snapshot, which sled then takes for corruption.
        if found.file_name().to_string_lossy().ends_with(".generating") {
            fs::remove_file(found.path())?;
        }
    }
    opening::is_risky(store)
}

/// Whether there is a marker, of a format that this release knows.
fn is_marked(data: &Path) -> Result<bool, Unavailable> {
    let marker = data.join(MARKER);
    let text = match fs::read_to_string(&marker) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unusable(&marker, &error)),
    };
    let format = text.trim_end().strip_prefix(MARKER_TEXT).and_then(|format| format.parse::<u32>().ok());
    match format {
        Some(FORMAT) => Ok(true),
        None if text.is_empty() => Ok(true),
        Some(format) => Err(Unavailable(
            format!(
                "{} is of format {format}, and this release knows format {FORMAT}: nothing was changed. Start the release \
                 that wrote it, or a later one",
                data.display()
            )
            .into(),
        )),
        None => Err(Unavailable(
            format!(
                "{} does not say which format the store has: nothing was changed. Restore it from a copy of the folder; it \
                 is one line, '{MARKER_TEXT}{FORMAT}'",
                marker.display()
            )
            .into(),
        )),
    }
}

/// Makes sled's files durable under their names.
pub(super) fn sync_files(store: &Path) -> io::Result<()> {
    for file in ["conf", "db"] {
        File::open(store.join(file))?.sync_all()?;
    }
    for folder in [store.join("blobs").as_path(), store] {
        if folder.exists() {
            sync_folder(folder)?;
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn in_use(store: &Path) -> Unavailable {
    Unavailable(
        format!(
            "{} is in use by another process: one folder serves one server. Stop the other one, or give this one another \
             --data-dir",
            store.display()
        )
        .into(),
    )
}

pub(super) fn unusable(place: &Path, cause: &dyn std::fmt::Display) -> Unavailable {
    Unavailable(
        format!(
            "the store in {} could not be opened: {cause}. Nothing was changed; keep a copy of the folder before you \
             try anything",
            place.display()
        )
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_refused_untouched() {
        let data = tempfile::tempdir().unwrap();
        let leftover = data.path().join("store/snap.1.generating");
        fs::create_dir(data.path().join("store")).unwrap();
        fs::write(&leftover, "x").unwrap();
        fs::write(data.path().join(MARKER), "strongroom store, format 2\n").unwrap();
        let refused = StoreFolder::open(data.path()).err().unwrap().to_string();
        assert!(refused.contains("format 2") && refused.contains("format 1"), "{refused}");
        assert!(leftover.exists());
        fs::write(data.path().join(MARKER), "something else").unwrap();
        let refused = StoreFolder::open(data.path()).err().unwrap().to_string();
        assert!(refused.contains("which format"), "{refused}");
        assert!(leftover.exists());
        for known in ["", "strongroom store, format 1\n"] {
            fs::write(data.path().join(MARKER), known).unwrap();
            assert!(StoreFolder::open(data.path()).unwrap().is_marked());
        }
        assert!(!leftover.exists());
    }
}
