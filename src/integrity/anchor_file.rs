//! The anchor file: it lies outside of the store, best on another disk, and records the store's latest state.
//! Somebody who puts back an older copy of the whole store, but not of this file, is noticed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Anchor, AnchorMismatch, StoreDigest};
use crate::crypto::{Keyring, write_private};

/// Why a store is not served beside its anchor.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// The file cannot be read or written.
    #[error("the anchor file {} cannot be used: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The store does not match its anchor.
    #[error(
        "{}: {}. Nothing was changed. Put the newest copy of the store back or restore a backup; or, where you know why, start \
         once with --accept-altered-store to serve what is there",
        .0.display(), .1
    )]
    AnchorMismatch(PathBuf, AnchorMismatch),
    /// There is an anchor, but the store is new.
    #[error(
        "{} says that there was a store, but the store here is new: nothing was set up. Check whether --data-dir or --etcd-prefix is \
         that of the store, and put its newest copy back or restore a backup; or, for a new store, remove the file, or start \
         once with --accept-altered-store",
        .0.display()
    )]
    New(PathBuf),
}

/// The path of the anchor, and the anchor last written there.
pub struct AnchorFile {
    path: PathBuf,
    written: Mutex<Option<Anchor>>,
}

impl AnchorFile {
    /// The anchor file at this path, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, written: Mutex::default() }
    }

    /// Whether the file exists, with any content.
    pub fn is_there(&self) -> Result<bool, AnchorError> {
        self.path.try_exists().map_err(|error| AnchorError::File(self.path.clone(), error))
    }

    /// Fails if there is an anchor. Called for a new store.
    pub fn refuse_new(&self) -> Result<(), AnchorError> {
        if self.is_there()? { Err(AnchorError::New(self.path.clone())) } else { Ok(()) }
    }

    /// Fails if the store is older than the anchor. Where there is no anchor yet, writes one.
    pub fn check(&self, keyring: &Keyring, digest: &StoreDigest, accept: bool) -> Result<(), AnchorError> {
        match fs::read_to_string(&self.path) {
            Ok(_) if accept => tracing::warn!("the anchor is ignored, as --accept-altered-store asks"),
            Ok(text) => {
                let anchor = Anchor::parse(&text).ok_or(AnchorMismatch::Foreign);
                let admitted = anchor.and_then(|anchor| anchor.admits(keyring, digest));
                admitted.map_err(|mismatch| AnchorError::AnchorMismatch(self.path.clone(), mismatch))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.path.display(), "there is no anchor yet: it is made from the present store");
            }
            Err(error) => return Err(AnchorError::File(self.path.clone(), error)),
        }
        self.write(keyring, digest)
    }

    /// Records the store's latest state in the file, durably.
    pub fn write(&self, keyring: &Keyring, digest: &StoreDigest) -> Result<(), AnchorError> {
        let anchor = Anchor::of(keyring, digest);
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
