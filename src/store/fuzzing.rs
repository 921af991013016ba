//! Entries for `crate::fuzzing`.

use super::Key;
#[cfg(feature = "etcd")]
use super::etcd;
use super::sled::entry as sled_entry;

/// Bytes as a key of a store, and as what stands in the engines.
pub fn stored(bytes: &[u8]) {
    let _ = Key::from_bytes(bytes).kind();
    let _ = sled_entry(bytes);
    #[cfg(feature = "etcd")]
    etcd::fuzzing(bytes);
}
