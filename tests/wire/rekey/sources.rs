use std::fs;

use tonic::{Code, Response};

use super::{key_status, keys_in, rotate_master_key, settled};
use crate::caller::Caller;
use crate::master_key::{From, Site, generated};
use crate::refusal::refused;
use crate::requests::Value;

/// A source that the server cannot write to, the file behind it, and an old and a new key.
struct Source {
    from: From,
    file: &'static str,
    keys: [String; 2],
}

fn sources(site: &Site) -> Vec<Source> {
    let keys = || [generated(), generated()];
    let source = |from, file| Source { from, file, keys: keys() };
    // A folder is in the place where the server would first write the new file, so that even root cannot write it.
    fs::create_dir(site.path("read_only.unfinished")).unwrap();
    let credentials = From::Variable("CREDENTIALS_DIRECTORY", site.path("credentials"));
    let command = format!("cat '{}'", site.path("printed"));
    vec![
        source(From::command(command), "printed"),
        source(credentials, "credentials/strongroom-master-key"),
        source(From::file(site.path("read_only")), "read_only"),
        Source {
            keys: ["the first passphrase\n".into(), "another passphrase\n".into()],
            ..source(From::passphrase(site.path("words")), "words")
        },
    ]
}

#[tokio::test]
async fn a_person_adds_the_new_key_to_a_source_that_the_server_cannot_write_to() {
    let site = Site::new();
    for Source { from, file, keys: [old, new] } in sources(&site) {
        let _ = fs::remove_dir_all(site.data());
        let path = site.file(file, &old);
        let server = site.launch(&from).start();
        let root = Caller::root(&server).await;
        root.create("A", "still here").await;
        let before = key_status(&root).await;

        let refused = async |says: &str| {
            let rotated = rotate_master_key(&root).await.map(Response::new);
            let status = refused(rotated, Code::FailedPrecondition, "MASTER_KEY_NOT_RENEWED");
            let message = status.message();
            assert!(message.contains(says), "{file}: {message}");
            assert!(!message.contains(old.trim()) && !message.contains(new.trim()), "{message}");
            // The status counts seals. This request is refused before any seal is made.
            assert_eq!(key_status(&root).await, before, "{file}");
        };
        refused("keep the old one on the line behind it, and ask again").await;
        // The source must keep the old key until the new one is in use.
        site.file(file, &new);
        refused("does not hold the master key that is in use any more").await;
        fs::remove_file(&path).unwrap();
        refused(if file == "printed" { "failed with" } else { "is not there" }).await;
        site.file(file, "no key\n");
        refused("line 1").await;
        site.file(file, &old);
        refused("ask again").await;
        assert_eq!(root.value("A").await, Value::text("still here"));

        site.file(file, &format!("{new}{old}"));
        let rotated = rotate_master_key(&root).await.unwrap();
        assert_eq!((rotated.generation, rotated.damaged_records), (2, 0));
        assert_ne!(rotated.master_key_id, before.master_key_id);
        // A second request finds no new key to put into use.
        let again = rotate_master_key(&root).await.map(Response::new);
        crate::refusal::refused(again, Code::FailedPrecondition, "MASTER_KEY_NOT_RENEWED");
        assert_eq!(keys_in(path.as_ref()), [new.clone(), old.clone()]);
        server.stop().await;

        site.opens(&from).await;
        site.file(file, &new);
        site.opens(&from).await;
        site.file(file, &old);
        site.refused(&from, &["nothing was changed"]).await;
    }
}

#[tokio::test]
async fn a_start_puts_a_new_key_into_use_by_itself() {
    let site = Site::new();
    let (old, new) = (generated(), generated());
    let from = From::file(site.file("key", &old));
    site.furnish(&from).await;
    site.file("key", &format!("{new}{old}"));
    let server = site.launch(&from).start();
    let root = Caller::root(&server).await;
    assert_eq!(settled(&root).await.generations, [2]);
    server.stop().await;
    site.file("key", &new);
    site.opens(&from).await;
}
