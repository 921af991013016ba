//! Notices that the certificate files for etcd have changed, and connects again with the new ones. The password needs none of
//! this: it is read at each login.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::EtcdClient;

/// How often the files are looked at.
const PAUSE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// When each file was changed, and its size; `None`: it cannot be looked at.
type FileStates = Vec<Option<(SystemTime, u64)>>;

/// Looks at the files until it is aborted. Without files, ends at once.
pub(super) async fn follow_files(client: Arc<EtcdClient>) {
    let files = client.cluster.certificate_files();
    if files.is_empty() {
        return;
    }
    let mut seen = look(&files).await;
    loop {
        tokio::time::sleep(PAUSE).await;
        let found = look(&files).await;
        if found == seen {
            continue;
        }
        // A key whose certificate is not written yet is an error, and both are read again after the next pause.
        match client.cluster.reconnect().await {
            Ok(()) => {
                tracing::info!("the certificates for etcd were read again");
                seen = found;
            }
            Err(error) => {
                tracing::error!(cause = %error, "the certificates for etcd cannot be read again: the former ones stay in use");
            }
        }
    }
}

async fn look(files: &[PathBuf]) -> FileStates {
    let files = files.to_vec();
    let state =
        |file: &PathBuf| fs::metadata(file).and_then(|found| Ok((found.modified()?, found.len()))).ok();
    let states = tokio::task::spawn_blocking(move || files.iter().map(state).collect());
    states.await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_replaced_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("certificate");
        let files = [file.clone(), folder.path().join("not there")];
        fs::write(&file, "one").unwrap();
        let before = look(&files).await;
        assert_eq!(before, look(&files).await);
        fs::write(&file, "longer").unwrap();
        assert_ne!(before, look(&files).await);
    }
}
