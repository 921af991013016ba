//! Entries for `crate::fuzzing`.

use super::{embedded, etcd};

/// Bytes as a record of the engines.
pub fn stored(bytes: &[u8]) {
    embedded::fuzzing(bytes);
    etcd::fuzzing(bytes);
}
