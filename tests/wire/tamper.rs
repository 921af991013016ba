//! An attacker who can write to etcd but has no keys: records are altered under a running service and before a start. The
//! service never serves one record as another.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etcd_client::{Client, GetOptions};
use strongroom::api::v1::{
    DeleteSecretRequest, GetSecretRequest, GetStatusRequest, ListSecretsRequest, RevokeApiKeyRequest,
};
use tonic::Code;
use uuid::Uuid;

use crate::caller::{Caller, Credential, names};
use crate::etcd_server::{self, Etcd};
use crate::harness::{Launch, Server};
use crate::refusal::{reason_of, refused};
use crate::requests::{Value, create, delete, get, rename};

/// The time within which a running service must notice.
const SOON: Duration = Duration::from_secs(5);

/// Keys and values, without the prefix of the store.
type Content = BTreeMap<Vec<u8>, Vec<u8>>;

/// A store in etcd: its last state, and an older one.
struct Left {
    etcd: &'static Etcd,
    client: Client,
    now: Content,
    /// The keys of `now`, in the order of their revisions.
    order: Vec<Vec<u8>>,
    older: Content,
    keys: tempfile::TempDir,
    credentials: Vec<String>,
    deletion: DeleteSecretRequest,
}

/// Requests and their answers: a value, or the code and reason of a refusal.
type Answers = BTreeMap<String, Result<String, (Code, String)>>;

/// A manipulation of records: its name, and the altered keys with their new values. `None` deletes a key.
type Manipulation = (&'static str, Vec<(Vec<u8>, Option<Vec<u8>>)>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_service_soon_notices_manipulated_records() {
    let Some(etcd) = etcd_server::shared() else { return };
    let left = Left::behind(etcd).await;
    let expected = left.expected().await;
    for (what, changes) in left.manipulations() {
        let mut client = left.client.clone();
        let prefix = left.copy(&Vec::new(), false).await;
        let server = left.launch(&prefix).start();
        for (key, value) in &changes {
            match value {
                Some(value) => drop(client.put(at(&prefix, key), value.clone(), None).await.unwrap()),
                None => drop(client.delete(at(&prefix, key), None).await.unwrap()),
            }
        }
        let begun = Instant::now();
        let told = changes.iter().filter(|(key, _)| b"anisr".contains(&kind(key))).count();
        left.are_told(what, &server, told).await;
        left.judge(what, &expected, &left.answers(&server).await);
        assert!(begun.elapsed() < 2 * SOON, "{what}: it took {:?}", begun.elapsed());
        // A later change does not repair it.
        let root = Caller::new(&server, Credential::bearer(&left.credentials[0])).await;
        let written = root.secrets().create_secret(create("later", "v")).await.err();
        assert!(
            written.is_none_or(|refusal| reason_of(&refusal) == "INTEGRITY_FAILURE" || what.starts_with('a'))
        );
        server.stop().await;
        left.opens_or_not(what, &prefix, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_notices_manipulated_records() {
    let Some(etcd) = etcd_server::shared() else { return };
    let left = Left::behind(etcd).await;
    let expected = left.expected().await;
    for (what, changes) in left.manipulations() {
        // Before the last commit, and after it.
        for after in [false, true] {
            let prefix = left.copy(&changes, after).await;
            left.opens_or_not(what, &prefix, &expected).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incomplete_lists_and_backups_say_so() {
    let Some(etcd) = etcd_server::shared() else { return };
    let prefix = format!("{}/", Uuid::new_v4());
    let server = Launch::in_etcd(&etcd.url(), &prefix).start();
    let root = Caller::root(&server).await;
    root.create("sound", "a").await;
    let mut client = Client::connect([etcd.url()], None).await.unwrap();
    let before: BTreeSet<_> = stored(&mut client, &prefix).await.into_iter().map(|(_, key, _)| key).collect();
    root.create("altered", "b").await;
    let request = ListSecretsRequest { limit: Some(1), ..Default::default() };
    let page = root.list(request.clone()).await;
    assert_eq!((page.total_size, page.damaged_size), (2, 0));

    let made = stored(&mut client, &prefix).await.into_iter();
    let (_, key, mut value) =
        made.into_iter().find(|(_, key, _)| kind(key) == b's' && !before.contains(key)).unwrap();
    *value.last_mut().unwrap() ^= 1;
    client.put(at(&prefix, &key), value, None).await.unwrap();
    let told_so = async {
        loop {
            let page = root.list(request.clone()).await;
            if page.damaged_size == 1 {
                break page;
            }
        }
    };
    let page = tokio::time::timeout(SOON, told_so).await.expect("the service notices in time");
    assert_eq!((names(&page), page.total_size), (vec!["sound".to_owned()], 1));
    // The damaged secret counts for every filter, because nobody can say whether it would match.
    let request = ListSecretsRequest { name_prefix: "other".into(), ..Default::default() };
    let page = root.list(request).await;
    assert_eq!((page.total_size, page.damaged_size), (0, 1));

    let strongroom = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.args(arguments).stdin(Stdio::null());
        command.env("STRONGROOM_SERVER", &server.url).env("STRONGROOM_API_KEY", &server.root_key);
        let output = command.output().unwrap();
        let [told, warned] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), told, warned)
    };
    const MISSING: &str =
        "1 secret of this namespace is not listed, because its record was altered or damaged";
    let (code, told, warned) = strongroom(&["list", "-o", "json"]);
    assert!(
        code == Some(0) && told.contains("\"damaged_size\": 1") && warned.contains(MISSING),
        "{told}{warned}"
    );
    // A command does not run without a secret that it may need. The sound secrets can be exported, and the export does not
    // count as complete.
    let (code, told, warned) = strongroom(&["run", "--only", "sound*", "--", "echo", "ran"]);
    assert!(code == Some(1) && told.is_empty() && warned.contains(MISSING), "{told}{warned}");
    let (code, told, _) = strongroom(&["run", "--env", "SOUND=sound", "--", "sh", "-c", "echo \"$SOUND\""]);
    assert_eq!((code, told.as_str()), (Some(0), "a\n"));
    let (code, told, warned) = strongroom(&["export", "--yes", "--format", "env"]);
    assert!(code == Some(1) && told.contains("sound") && warned.contains(MISSING), "{told}{warned}");
    // A backup of this store is not presented as one that can be restored.
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup").display().to_string();
    assert_eq!(strongroom(&["backup", &backup]).0, Some(0));
    let (code, told, warned) = strongroom(&["restore", "--verify-only", "-o", "json", &backup]);
    assert!(code == Some(1) && told.contains("\"damaged_records\": 1"), "{told}{warned}");
    assert!(warned.contains("would not be restored: 1 of its records cannot be opened"), "{warned}");
    let accepting = ["restore", "--verify-only", "--accept-damaged", "--accept-altered", &backup];
    assert_eq!(strongroom(&accepting).0, Some(0));
    server.stop().await;
}

impl Left {
    async fn behind(etcd: &'static Etcd) -> Self {
        let prefix = format!("{}/", Uuid::new_v4());
        let server = Launch::in_etcd(&etcd.url(), &prefix).start();
        let keys = tempfile::tempdir().unwrap();
        std::fs::copy(server.data_dir.join("master.key"), keys.path().join("master.key")).unwrap();
        let root = Caller::root(&server).await;
        let mut credentials = vec![server.root_key.clone()];
        let mut revoked = Vec::new();
        for name in ["kept", "revoked"] {
            let request = strongroom::api::v1::CreateApiKeyRequest {
                name: name.into(),
                home_namespace: "team".into(),
                ..Default::default()
            };
            let made = root.access().create_api_key(request).await.unwrap().into_inner();
            credentials.push(made.credential);
            revoked.push(made.api_key.unwrap().id);
        }
        let team = root.with(Credential::bearer(&credentials[1]));
        for caller in [&root, &team] {
            for name in ["a", "b", "deleted"] {
                caller.create(name, &format!("first of {name}")).await;
            }
        }
        let mut client = Client::connect([etcd.url()], None).await.unwrap();
        let older =
            stored(&mut client, &prefix).await.into_iter().map(|(_, key, value)| (key, value)).collect();
        let deletion = DeleteSecretRequest { request_id: Uuid::new_v4().to_string(), ..delete("deleted") };
        for caller in [&root, &team] {
            caller.rotate("b", "second of b").await;
            caller.rotate("b", "third of b").await;
            caller.disable("b", 1).await;
            caller.destroy("b", 2).await;
            caller.update(rename("a", "renamed")).await;
            caller.secrets().delete_secret(deletion.clone()).await.unwrap();
        }
        let id = revoked.pop().unwrap();
        root.access().revoke_api_key(RevokeApiKeyRequest { id }).await.unwrap();
        server.stop().await;
        let mut now = stored(&mut client, &prefix).await;
        now.sort();
        let order = now.iter().map(|(_, key, _)| key.clone()).collect();
        let now = now.into_iter().map(|(_, key, value)| (key, value)).collect();
        Self { etcd, client, now, order, older, keys, credentials, deletion }
    }

    /// Copies the store to another prefix, with a manipulation before its last commit or after it.
    async fn copy(&self, changes: &[(Vec<u8>, Option<Vec<u8>>)], after: bool) -> String {
        let (prefix, mut client) = (format!("{}/", Uuid::new_v4()), self.client.clone());
        let done: BTreeMap<_, _> = changes.iter().cloned().collect();
        let added = changes.iter().map(|(key, _)| key).filter(|key| !self.now.contains_key(*key));
        let (heads, records): (Vec<_>, Vec<_>) =
            self.order.iter().chain(added).partition(|key| key.starts_with(b"head/"));
        let (altered, rest): (Vec<_>, Vec<_>) = records.into_iter().partition(|key| done.contains_key(*key));
        let whole = if after { [rest, heads, altered].concat() } else { [rest, altered, heads].concat() };
        for key in whole {
            let value = done.get(key).cloned().unwrap_or_else(|| self.now.get(key).cloned());
            if let Some(value) = value {
                client.put(at(&prefix, key), value, None).await.unwrap();
            }
        }
        prefix
    }

    fn launch(&self, prefix: &str) -> Launch {
        let key = self.keys.path().join("master.key").display().to_string();
        Launch::in_etcd(&self.etcd.url(), prefix).argument("--master-key-file").argument(key)
    }

    async fn expected(&self) -> Answers {
        let prefix = self.copy(&Vec::new(), false).await;
        let server = self.launch(&prefix).start();
        let answers = self.answers(&server).await;
        assert_eq!(answers["0 a None"], Err((Code::NotFound, "SECRET_NOT_FOUND".into())));
        assert_eq!(answers["1 renamed None"], Ok("1: Text(\"first of a\")".into()));
        assert!(answers["delete 0"].is_ok() && answers["authenticate 1"].is_ok());
        assert!(answers["authenticate 2"].is_err());
        server.stop().await;
        answers
    }

    async fn answers(&self, server: &Server) -> Answers {
        let root = Caller::new(server, Credential::bearer(&self.credentials[0])).await;
        let mut answers = Answers::new();
        for at in [0, 1] {
            let caller = root.with(Credential::bearer(&self.credentials[at]));
            for name in ["a", "b", "deleted", "renamed"] {
                for version in [None, Some(1), Some(2), Some(3)] {
                    let request = GetSecretRequest { version, ..get(name) };
                    let told = match caller.secrets().get_secret(request).await {
                        Ok(reply) => {
                            let reply = reply.into_inner();
                            Ok(format!("{}: {:?}", reply.version, Value::of(&reply.secret.unwrap())))
                        }
                        Err(refusal) => Err((refusal.code(), reason_of(&refusal))),
                    };
                    answers.insert(format!("{at} {name} {version:?}"), told);
                }
            }
            let told = match caller.secrets().delete_secret(self.deletion.clone()).await {
                Ok(reply) => Ok(format!("{:?}", reply.into_inner().deleted_at)),
                Err(refusal) => Err((refusal.code(), reason_of(&refusal))),
            };
            answers.insert(format!("delete {at}"), told);
        }
        for at in 0..self.credentials.len() {
            let caller = root.with(Credential::bearer(&self.credentials[at]));
            let told = match caller.secrets().get_secret(get("never_was")).await {
                Err(refusal) if refusal.code() != Code::Unauthenticated => Ok(String::new()),
                Err(refusal) => Err((refusal.code(), reason_of(&refusal))),
                Ok(_) => panic!("it never was"),
            };
            answers.insert(format!("authenticate {at}"), told);
        }
        answers
    }

    /// Asserts that each answer is the original one, or says that the record is damaged.
    fn judge(&self, what: &str, expected: &Answers, answers: &Answers) {
        let damaged = Err((Code::DataLoss, "INTEGRITY_FAILURE".to_owned()));
        for (asked, answer) in answers {
            let refused = |of: &Result<_, (Code, String)>| {
                of.as_ref().is_err_and(|(code, _)| *code == Code::Unauthenticated)
            };
            let fits = *answer == expected[asked] || *answer == damaged;
            // An API key with a damaged record is not accepted.
            let fits = fits || refused(answer) && what.starts_with('a');
            assert!(fits, "{what}: {asked}: instead of {:?} there is {answer:?}", expected[asked]);
        }
    }

    async fn opens_or_not(&self, what: &str, prefix: &str, expected: &Answers) {
        // The server has no root key file, but must not take the store for a new one.
        match self.launch(prefix).start_or_refuse() {
            Ok(server) => {
                self.judge(what, expected, &self.answers(&server).await);
                assert!(!server.data_dir.join("root.key").exists(), "{what}: a root key was made");
                server.stop().await;
            }
            Err(said) => {
                let said = said.all();
                let clear = said.contains("is not what it was when it was last changed")
                    || said.contains("its keyring is gone")
                    || said.contains("does not hold the master key that this store was made with");
                assert!(clear, "{what}: {said}");
            }
        }
    }

    /// Waits until the service says that so many records are damaged.
    async fn are_told(&self, what: &str, server: &Server, told: usize) {
        let root = Caller::new(server, Credential::bearer(&self.credentials[0])).await;
        let told_so = async {
            loop {
                match root.operator().get_status(GetStatusRequest {}).await {
                    Ok(status) if status.get_ref().damaged_records < told as u64 => {}
                    Ok(_) => return,
                    refusal => return drop(refused(refusal, Code::Unauthenticated, "CREDENTIAL_INVALID")),
                }
            }
        };
        let noticed = tokio::time::timeout(SOON, told_so).await;
        assert!(noticed.is_ok(), "{what}: the service does not notice in time:\n{}", server.logged());
    }

    /// Manipulations of one record of each kind, and of records of several kinds.
    fn manipulations(&self) -> Vec<Manipulation> {
        let mut manipulations = Vec::new();
        let data = |kind_of: u8| {
            let of_kind = move |(key, _): &(&Vec<u8>, &Vec<u8>)| kind(key) == kind_of;
            self.now.iter().filter(of_kind).collect::<Vec<_>>()
        };
        for (at, names) in [
            (b'a', ["a flipped", "a cut", "a deleted", "a swapped", "a duplicated"]),
            (b'n', ["n flipped", "n cut", "n deleted", "n swapped", "n duplicated"]),
            (b'i', ["i flipped", "i cut", "i deleted", "i swapped", "i duplicated"]),
            (b's', ["s flipped", "s cut", "s deleted", "s swapped", "s duplicated"]),
            (b'v', ["v flipped", "v cut", "v deleted", "v swapped", "v duplicated"]),
            (b'r', ["r flipped", "r cut", "r deleted", "r swapped", "r duplicated"]),
            (b'k', ["k flipped", "k cut", "k deleted", "k swapped", "k duplicated"]),
            (b'd', ["d flipped", "d cut", "d deleted", "d swapped", "d duplicated"]),
        ] {
            let there = data(at);
            let [flipped, cut, deleted, swapped, duplicated] = names;
            for (key, value) in there.iter().copied().rev().take(2) {
                let mut altered = value.clone();
                *altered.last_mut().unwrap() ^= 1;
                manipulations.push((flipped, vec![(key.clone(), Some(altered))]));
                manipulations.push((cut, vec![(key.clone(), Some(value[..value.len() / 2].to_vec()))]));
                manipulations.push((deleted, vec![(key.clone(), None)]));
                let mut elsewhere = key.clone();
                *elsewhere.last_mut().unwrap() ^= 0x40;
                manipulations.push((duplicated, vec![(elsewhere, Some(value.clone()))]));
            }
            if let [(one, first), .., (other, last)] = there[..] {
                let swap = [(one.clone(), Some(last.clone())), (other.clone(), Some(first.clone()))];
                manipulations.push((swapped, swap.into()));
            }
        }
        // Rolled back to the older state: each record alone, and all records except the digest or the keyring.
        let changed: BTreeSet<_> = self
            .now
            .keys()
            .chain(self.older.keys())
            .filter(|key| key.starts_with(b"data/") && self.now.get(*key) != self.older.get(*key))
            .collect();
        let back = |key: &&Vec<u8>| ((*key).clone(), self.older.get(*key).cloned());
        for (at, name) in [
            (b'a', "a put back"),
            (b'i', "i put back"),
            (b's', "s put back"),
            (b'v', "v put back"),
            (b'r', "r put back"),
            (b'd', "d put back"),
        ] {
            let of_kind = changed.iter().filter(|key| kind(key) == at).collect::<Vec<_>>();
            assert!(!of_kind.is_empty(), "{name}");
            manipulations.push((name, of_kind.iter().map(|key| back(key)).collect()));
        }
        let all_but = |at| changed.iter().filter(|key| kind(key) != at).map(back).collect::<Vec<_>>();
        manipulations.push(("all but d put back", all_but(b'd')));
        manipulations.push(("all but s put back", all_but(b's')));
        manipulations.push(("all but a put back", all_but(b'a')));
        manipulations
    }
}

/// The kind of a key's record: the first byte after the generation.
fn kind(key: &[u8]) -> u8 {
    key.strip_prefix(b"data/").and_then(|key| key.get(8)).copied().unwrap_or_default()
}

fn at(prefix: &str, key: &[u8]) -> Vec<u8> {
    [prefix.as_bytes(), key].concat()
}

/// All keys and values under a prefix, each with its revision.
async fn stored(client: &mut Client, prefix: &str) -> Vec<(i64, Vec<u8>, Vec<u8>)> {
    let found = client.get(prefix, Some(GetOptions::new().with_prefix())).await.unwrap();
    let pairs = found.kvs().iter();
    pairs
        .map(|pair| (pair.mod_revision(), pair.key()[prefix.len()..].to_vec(), pair.value().to_vec()))
        .collect()
}
