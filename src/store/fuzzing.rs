//! Entries for `crate::fuzzing`.

use super::embedded;
#[cfg(feature = "etcd")]
use super::etcd;

/// Bytes as a record of the engines.
pub fn stored(bytes: &[u8]) {
    embedded::fuzzing(bytes);
    #[cfg(feature = "etcd")]
    etcd::fuzzing(bytes);
}
