//! The anchor: a file outside of the store, and best on another disk, that says how far the store was. Who can put back an
//! older copy of the whole store, but not of this file, is noticed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::App;
use crate::catalog::Catalog;
use crate::crypto::{Anchor, Astray, write_private};

/// Why a store is not served beside its anchor.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The file can not be read or written.
    #[error("the anchor file {} can not be used: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The store is not what the anchor says.
    #[error(
        "{}: {}. Nothing was changed. Put the newest copy of the store back or restore a backup; or, where you know why, start \
         once with --accept-altered-store to serve what is there",
        .0.display(), .1
    )]
    Astray(PathBuf, Astray),
    /// There is an anchor, and the store is new.
    #[error(
        "{} says that there was a store, and the one here is new: nothing was set up. Look whether --data-dir or --etcd-prefix is \
         that of the store, and put its newest copy back or restore a backup; or, for a new store, remove the file, or start \
         once with --accept-altered-store",
        .0.display()
    )]
    New(PathBuf),
}

/// Where the anchor is kept, and what it last said.
pub(super) struct AnchorFile {
    path: PathBuf,
    written: Mutex<Option<Anchor>>,
}

impl AnchorFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, written: Mutex::default() }
    }

    /// Whether the file is there, whatever it says.
    pub(super) fn is_there(&self) -> Result<bool, AnchorError> {
        self.path.try_exists().map_err(|error| AnchorError::File(self.path.clone(), error))
    }

    /// Fails where there is an anchor: for a store that is new.
    pub(super) fn refuse_new(&self) -> Result<(), AnchorError> {
        if self.is_there()? { Err(AnchorError::New(self.path.clone())) } else { Ok(()) }
    }

    /// Fails where the store is older than the anchor. Where there is no anchor yet, one is made.
    pub(super) fn check(&self, catalog: &Catalog, accept: bool) -> Result<(), AnchorError> {
        match fs::read_to_string(&self.path) {
            Ok(_) if accept => tracing::warn!("the anchor is not looked at, since that was asked for"),
            Ok(text) => {
                let anchor = Anchor::parse(&text).ok_or(Astray::Foreign);
                let admitted = anchor.and_then(|anchor| anchor.admits(&catalog.keyring(), &catalog.digest()));
                admitted.map_err(|astray| AnchorError::Astray(self.path.clone(), astray))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.path.display(), "there is no anchor yet: it is made of the store as it is");
            }
            Err(error) => return Err(AnchorError::File(self.path.clone(), error)),
        }
        self.write(catalog)
    }

    /// Has the file say how far the store is, durably.
    fn write(&self, catalog: &Catalog) -> Result<(), AnchorError> {
        let anchor = Anchor::of(&catalog.keyring(), &catalog.digest());
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.as_ref() != Some(&anchor) {
            put(&self.path, &anchor).map_err(|error| AnchorError::File(self.path.clone(), error))?;
            *written = Some(anchor);
        }
        Ok(())
    }
}

fn put(path: &Path, anchor: &Anchor) -> io::Result<()> {
    write_private(path, anchor.to_line().as_bytes(), false)
}

impl App {
    /// Has the anchor, where there is one, say how far the store is.
    pub async fn anchor(&self) {
        let Some(anchor) = self.anchor.clone() else { return };
        let catalog = self.catalog.clone();
        let written = tokio::task::spawn_blocking(move || anchor.write(&catalog)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "the anchor could not be written");
        }
    }
}
