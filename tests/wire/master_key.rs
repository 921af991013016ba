//! Sources of the master key: each source at the first start and at later ones, and the sources that are refused.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::backup::{backup, restore};
use crate::caller::{Caller, Credential};
use crate::etcd_server;
use crate::harness::{Launch, Output};
use crate::requests::Value;

/// A temporary folder for key files and for a data folder.
pub struct Site {
    folder: tempfile::TempDir,
}

/// The settings that tell a server the source of its master key.
#[derive(Clone)]
pub enum From {
    Flag(&'static str, String),
    Variable(&'static str, String),
    Flags(Vec<From>),
}

impl Site {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file that only its owner may read.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn launch(&self, from: &From) -> Launch {
        from.tell(Launch::durable(&self.data()))
    }

    /// Starts a server for the first time, creates a secret, and ends the server.
    pub async fn furnish(&self, from: &From) -> Output {
        let server = self.launch(from).start();
        Caller::root(&server).await.create("A", "still here").await;
        server.stop().await
    }

    pub async fn opens(&self, from: &From) {
        let server = self.launch(from).start();
        assert_eq!(Caller::root(&server).await.value("A").await, Value::text("still here"));
        server.stop().await;
    }

    /// Asserts that a start is refused because of its key and changes nothing.
    pub async fn refused(&self, from: &From, names: &[&str]) -> String {
        let before = names_in(self.folder.path());
        let said = self.launch(from).refused().all();
        for name in names {
            assert!(said.contains(name), "{name} is not named:\n{said}");
        }
        assert_eq!(names_in(self.folder.path()), before);
        said
    }
}

impl From {
    pub fn file(path: impl Into<String>) -> Self {
        Self::Flag("--master-key-file", path.into())
    }

    pub fn command(command: impl Into<String>) -> Self {
        Self::Flag("--master-key-command", command.into())
    }

    pub fn passphrase(path: impl Into<String>) -> Self {
        Self::Flag("--master-key-passphrase-file", path.into())
    }

    pub fn variable(path: impl Into<String>) -> Self {
        Self::Variable("STRONGROOM_MASTER_KEY_FILE", path.into())
    }

    pub fn tell(&self, launch: Launch) -> Launch {
        match self {
            Self::Flag(name, value) => launch.argument(*name).argument(value),
            Self::Variable(name, value) => launch.variable(name, value),
            Self::Flags(all) => all.iter().fold(launch, |launch, from| from.tell(launch)),
        }
    }
}

#[tokio::test]
async fn every_source_opens_the_store_at_the_first_start_and_later() {
    let key = generated();
    for source in 0..6 {
        let site = Site::new();
        let file = site.file("keys/strongroom-master-key", &key);
        let keys = site.path("keys");
        let credentials = From::Variable("CREDENTIALS_DIRECTORY", keys);
        let named = From::Flag("--master-key-credential", "strongroom-master-key".into());
        let (from, name) = match source {
            0 => (From::file(&file), file.as_str()),
            1 => (From::variable(&file), "STRONGROOM_MASTER_KEY_FILE"),
            2 => (From::command(format!("cat '{file}'")), "--master-key-command"),
            3 => (From::passphrase(site.file("words", "correct horse battery staple\n")), "words"),
            4 => (credentials, "systemd credential"),
            _ => (From::Flags(vec![credentials, named]), "systemd credential"),
        };
        let said = site.furnish(&from).await;
        assert!(
            said.stdout.contains(name),
            "the first start does not say where its key is:\n{}",
            said.stdout
        );
        assert!(!said.all().contains(key.trim()) && !said.all().contains("battery"));
        site.opens(&from).await;
        let made: Vec<_> = names_in(&site.data()).into_iter().filter(|name| name.contains("key")).collect();
        // The key of the audit log signs, and opens nothing.
        assert_eq!(made, ["log.key", "root.key"]);
        // The folder has no key of its own, and none is made for it.
        let said = site.refused(&From::Flags(vec![]), &["master.key", "--master-key-file"]).await;
        assert!(said.contains("No new key"), "{said}");
    }
}

#[tokio::test]
async fn the_wrong_key_is_refused_and_its_source_named() {
    let site = Site::new();
    let right = From::file(site.file("right", &generated()));
    site.furnish(&right).await;
    let wrong = site.file("wrong", &generated());
    let words = site.file("words", "correct horse battery staple");
    let command = format!("cat '{wrong}'");
    for (from, name) in [
        (From::file(&wrong), wrong.as_str()),
        (From::variable(&wrong), "STRONGROOM_MASTER_KEY_FILE"),
        (From::command(&command), "--master-key-command"),
        (From::passphrase(&words), words.as_str()),
    ] {
        let said = site.refused(&from, &[name, "nothing was changed"]).await;
        assert!(!said.contains(&command), "the command is shown:\n{said}");
        site.opens(&right).await;
    }

    let site = Site::new();
    let right = From::passphrase(site.file("words", "correct horse battery staple"));
    site.furnish(&right).await;
    let wrong = site.file("wrong", "correct horse battery stable");
    site.refused(&From::passphrase(&wrong), &[&wrong, "nothing was changed"]).await;
    site.refused(&From::file(site.file("key", &generated())), &["nothing was changed"]).await;
    // The line end is not part of the passphrase.
    site.file("words", "correct horse battery staple\r\n");
    site.opens(&right).await;
}

#[tokio::test]
async fn an_earlier_key_opens_a_store_that_it_sealed() {
    let (new, old) = (generated(), generated());
    let site = Site::new();
    let key = From::file(site.file("key", &old));
    site.furnish(&key).await;
    site.file("key", &new);
    site.refused(&key, &["nothing was changed"]).await;
    // Both keys together open the store. From then on the new key is enough.
    site.file("key", &format!("# rotated today\n\n{new}{old}"));
    site.opens(&key).await;

    let site = Site::new();
    let words = From::passphrase(site.file("words", "the old passphrase"));
    site.furnish(&words).await;
    site.file("words", "the new passphrase\nthe old passphrase\n");
    site.opens(&words).await;
}

#[tokio::test]
async fn a_backup_opens_with_its_master_key_also_if_that_is_an_earlier_one() {
    let (key, passphrase) = (generated(), "correct horse battery staple\n");
    let site = Site::new();
    for (flag, content, later) in [
        ("--master-key-file", key.clone(), format!("{}{key}", generated())),
        // Another server has another salt.
        ("--master-key-passphrase-file", passphrase.to_owned(), passphrase.to_owned()),
        ("--master-key-passphrase-file", passphrase.to_owned(), format!("another passphrase\n{passphrase}")),
    ] {
        let from = |content: &str| From::Flag(flag, site.file("key", content));
        let server = from(&content).tell(Launch::in_memory()).start();
        let root_key = server.root_key.clone();
        let root = Caller::root(&server).await;
        root.create("A", "in the backup").await;
        let (made, _) = backup(&root).await.unwrap();
        server.stop().await;

        let server = from(&later).tell(Launch::in_memory()).start();
        restore(&Caller::root(&server).await, &made, false).await.unwrap();
        let restored = Caller::new(&server, Credential::bearer(&root_key)).await;
        assert_eq!(restored.value("A").await, Value::text("in the backup"));
        // After that it is a server like any other.
        restored.create("B", "v").await;
        let (again, _) = backup(&restored).await.unwrap();
        restore(&restored, &again, false).await.unwrap();
        assert_eq!(restored.names().await, ["A", "B"]);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_missing_key_file_is_never_created() {
    let site = Site::new();
    let missing = site.path("missing.key");
    for from in [From::file(&missing), From::variable(&missing)] {
        let said = site.launch(&from).refused().all();
        assert!(said.contains(&format!("strongroom master-key generate --out {missing}")), "{said}");
    }
    site.launch(&From::passphrase(&missing)).refused();
    assert!(!Path::new(&missing).exists());
    let made = names_in(&site.data());
    assert!(!made.contains("root.key") && !made.contains("master.key"), "{made:?}");

    // The command that the message names is enough.
    let made = strongroom(&["master-key", "generate", "--out", &missing]);
    assert!(made.status.success() && made.stdout.is_empty());
    assert_eq!(fs::metadata(&missing).unwrap().permissions().mode() & 0o7777, 0o600);
    site.furnish(&From::file(&missing)).await;
    let kept = fs::read(&missing).unwrap();
    assert_eq!(strongroom(&["master-key", "generate", "--out", &missing]).status.code(), Some(2));
    assert_eq!(fs::read(&missing).unwrap(), kept);

    fs::remove_file(&missing).unwrap();
    let said = site.refused(&From::file(&missing), &[&missing, "No new key was made"]).await;
    assert!(!said.contains("generate"), "a new key would be of no use:\n{said}");
}

#[tokio::test]
async fn a_file_that_others_have_access_to_is_refused() {
    let site = Site::new();
    let file = site.file("keys/strongroom-master-key", &generated());
    let words = site.file("words", "correct horse battery staple");
    let link = site.path("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let sources = [
        (From::file(&file), &file),
        (From::file(&link), &file),
        (From::variable(&file), &file),
        (From::Variable("CREDENTIALS_DIRECTORY", site.path("keys")), &file),
        (From::passphrase(&words), &words),
    ];
    for (from, file) in &sources {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
            let said = site.launch(from).refused().all();
            assert!(said.contains("chmod 600") && said.contains(&format!("{mode:04o}")), "{said}");
        }
        // The mode of systemd's credentials.
        fs::set_permissions(file, fs::Permissions::from_mode(0o400)).unwrap();
    }
    // Only root can change a file's owner.
    if chown(&file, Some(12345), None).is_ok() {
        let said = site.launch(&From::file(&link)).refused().all();
        assert!(said.contains("12345") && said.contains("root"), "{said}");
        chown(&file, Some(0), None).unwrap();
    }
    let (from, _) = &sources[1];
    site.furnish(from).await;
    site.opens(from).await;
}

#[tokio::test]
async fn a_command_that_gives_no_key_is_refused_and_its_output_is_not_shown() {
    const CANARY: &str = "canary-of-the-command-x7q";
    let site = Site::new();
    let key = site.file("key", &generated());
    let right = From::command(format!("cat '{key}'"));
    site.furnish(&right).await;
    for (command, names) in [
        (format!("echo {CANARY} | tr a-z A-Z; exit 3"), "exit status: 3"),
        ("exec no-such-command-anywhere".to_owned(), "exit status: 127"),
        ("kill -9 $$".to_owned(), "signal: 9"),
        ("true".to_owned(), "is empty"),
        (format!("cat '{key}'; echo {CANARY} | tr a-z A-Z"), "line 2"),
        ("head -c 100 /dev/zero".to_owned(), "line 1"),
        ("exec yes".to_owned(), "64 KiB"),
    ] {
        let said = site.refused(&From::command(command), &["--master-key-command", names]).await;
        assert!(!said.contains(&CANARY.to_uppercase()) && !said.contains(CANARY), "{said}");
    }
    // The command says on standard error why it failed, and the server shows that.
    let told = From::command("echo 'the vault is sealed' >&2; exit 1");
    site.refused(&told, &["the vault is sealed"]).await;
    site.opens(&right).await;
}

#[tokio::test]
async fn a_command_that_does_not_end_times_out() {
    let site = Site::new();
    let begun = Instant::now();
    let said = site.launch(&From::command("sleep 1000")).refused().all();
    assert!(said.contains("30 seconds"), "{said}");
    assert!(begun.elapsed() >= Duration::from_secs(30));
}

#[tokio::test]
async fn a_short_or_empty_passphrase_is_refused() {
    let site = Site::new();
    let said = site.launch(&From::passphrase(site.file("words", "hunter2"))).refused().all();
    assert!(said.contains("12 bytes") && !said.contains("hunter2"), "{said}");
    let said = site.launch(&From::passphrase(site.file("words", "\n"))).refused().all();
    assert!(said.contains("passphrase") && said.contains("empty"), "{said}");
}

#[tokio::test]
async fn two_sources_are_refused_and_a_flag_wins_over_the_environment_and_the_file() {
    let site = Site::new();
    let key = site.file("key", &generated());
    let words = site.file("words", "correct horse battery staple");
    let both = From::Flags(vec![From::file(&key), From::passphrase(&words)]);
    let said = site.launch(&both).refused();
    assert_eq!(said.code, Some(2));
    assert!(said.all().contains("--master-key-file and --master-key-passphrase-file"), "{}", said.all());
    let settings =
        site.file("two.toml", &format!("master_key_file = '{key}'\nmaster_key_command = 'cat {key}'\n"));
    let said = site.launch(&From::Flag("--config", settings)).refused();
    assert_eq!(said.code, Some(2));
    assert!(said.all().contains("--master-key-command"), "{}", said.all());
    assert!(!site.data().exists());
    let nowhere = From::Flag("--master-key-credential", "mine".into());
    let said = site.launch(&nowhere).refused();
    assert!(said.code == Some(2) && said.all().contains("CREDENTIALS_DIRECTORY"), "{}", said.all());

    // The flag wins over the variable, and the variable over the file.
    let settings = site.file("one.toml", &format!("master_key_command = 'cat {key}'\n"));
    let config = From::Flag("--config", settings);
    site.furnish(&config).await;
    let wrong = site.file("wrong", &generated());
    let variable = |path: &str| From::Flags(vec![config.clone(), From::variable(path)]);
    site.refused(&variable(&wrong), &["STRONGROOM_MASTER_KEY_FILE"]).await;
    site.opens(&variable(&key)).await;
    site.opens(&variable("")).await;
    site.opens(&From::Flags(vec![variable(&wrong), From::file(&key)])).await;
    site.opens(&From::Flags(vec![variable(&wrong), From::command(format!("cat {key}"))])).await;
}

#[tokio::test]
async fn a_replica_over_etcd_needs_the_same_key_from_any_source() {
    let Some(etcd) = etcd_server::shared() else { return };
    let site = Site::new();
    let key = generated();
    let from = From::file(site.file("key", &key));
    let prefix = Uuid::new_v4().to_string();
    let launch = || Launch::in_etcd(&etcd.url(), &prefix);
    let first = from.tell(launch()).start();
    let caller = Caller::root(&first).await;
    caller.create("A", "shared").await;
    let wrong = site.file("wrong", &generated());
    let said = From::file(&wrong).tell(launch()).refused().all();
    assert!(said.contains(&wrong) && said.contains("nothing was changed"), "{said}");
    let second = From::command(format!("cat '{}'", site.path("key"))).tell(launch()).start();
    let there = Caller::new(&second, Credential::bearer(&first.root_key)).await;
    assert_eq!(there.value("A").await, Value::text("shared"));
    first.stop().await;
    second.stop().await;
}

#[test]
fn generated_keys_are_new_and_printed_alone() {
    let keys: BTreeSet<_> = (0..3).map(|_| generated()).collect();
    assert_eq!(keys.len(), 3);
    for key in keys {
        assert!(key.starts_with("srmk_") && key.ends_with('\n') && key.len() == 49, "{key}");
    }
}

/// The line of a new master key.
pub fn generated() -> String {
    let made = strongroom(&["master-key", "generate"]);
    assert!(made.status.success() && made.stderr.is_empty());
    String::from_utf8(made.stdout).unwrap()
}

fn strongroom(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_strongroom")).args(arguments).output().unwrap()
}

/// The names of the files in a folder and below it, except the store's own.
fn names_in(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() && name != "store" {
            names.extend(names_in(&entry.path()));
        } else {
            names.insert(name);
        }
    }
    names
}
