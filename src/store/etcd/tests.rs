//! Behaviour that only the store in etcd has.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, GetOptions, Permission};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::fixture::{self, fresh, shared};
use super::*;
use crate::config::{self, Tls};
use crate::store::{MAX_RECORD, Pages, ReplaceRecord, WatchEnd};

/// How long anything may take that ends by a time limit of the store.
const BOUND: Duration = Duration::from_secs(10);

fn key(name: &str) -> Key {
    Key::from_bytes(name.as_bytes())
}

fn put(name: &str, value: &[u8]) -> Transaction {
    Transaction { put: vec![(key(name), value.to_vec())], ..Transaction::default() }
}

async fn client(etcd: &fixture::Etcd) -> Client {
    Client::connect([etcd.url()], None).await.unwrap()
}

/// All keys with a prefix.
async fn keys(etcd: &fixture::Etcd, prefix: &str) -> Vec<Vec<u8>> {
    let options = GetOptions::new().with_prefix().with_keys_only();
    let found = client(etcd).await.get(prefix, Some(options)).await.unwrap();
    found.kvs().iter().map(|found| found.key().to_vec()).collect()
}

/// A follower that last saw this revision, like one whose connection has been broken since, and its log.
async fn resume_after(settings: &config::Etcd, seen: Revision) -> (Arc<ChangeLog>, JoinHandle<()>) {
    let opened = EtcdClient::open(settings).await.unwrap();
    let pointer = opened.pointer().unwrap();
    let log = ChangeLog::new(seen);
    let client = Arc::new(EtcdClient { log: log.clone(), ..opened });
    (log, tokio::spawn(Follower::new(client, pointer).run()))
}

#[tokio::test]
async fn replicas_see_each_others_commits() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let (one, other) = tokio::join!(EtcdStore::open(&settings), EtcdStore::open(&settings));
    let (one, other) = (one.unwrap(), other.unwrap());
    let mut watch = other.watch(other.durable());
    let made = one.commit(put("a", b"1")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, made);
    assert_eq!(other.get(&key("a")).await.unwrap().unwrap().value, b"1");
}

#[tokio::test]
async fn a_scan_finds_every_key_however_they_are_spread() {
    let Some(etcd) = shared() else { return };
    let store = EtcdStore::open(&fresh(etcd)).await.unwrap();
    let spread =
        (0..2000_u32).map(|n| [b"s".as_slice(), &n.wrapping_mul(0x9e37_79b9).to_be_bytes()].concat());
    let crowd = (0..3000_u32).map(|n| [b"sROW\0\0\0\0\xff\xff".as_slice(), &n.to_be_bytes()].concat());
    let ends =
        [b"s".to_vec(), b"s\0".to_vec(), b"s\xff\xff\xff\xff\xff".to_vec(), b"t".to_vec(), b"r\xff".to_vec()];
    let mut keys: Vec<_> = spread.chain(crowd).chain(ends).map(|key| Key::from_bytes(&key)).collect();
    let records = keys.clone().into_iter().map(|key| Ok(ReplaceRecord::Put(key, Vec::new())));
    store.replace(Box::new(records), Revision::default()).await.unwrap();
    keys.sort();
    let all = keys.clone();
    keys.retain(|key| key.as_bytes().starts_with(b"s"));
    for limit in [1000, 128, 129, 5000] {
        for (prefix, expected) in [(key("s"), &keys), (Key::all(), &all)] {
            let (mut pages, mut found) = (Pages::new(&store, prefix, limit), Vec::new());
            while let Some(page) = pages.next().await.unwrap() {
                assert!(page.len() <= limit);
                found.extend(page.into_iter().map(|(key, _)| key));
            }
            assert_eq!(found, *expected);
        }
    }
    assert!(store.scan(&key("u"), None, 10).await.unwrap().is_empty());
}

/// A page of as many large records as of small ones would be more than one answer may have.
#[tokio::test]
async fn a_scan_reads_large_records_behind_small_ones() {
    let Some(etcd) = shared() else { return };
    let store = EtcdStore::open(&fresh(etcd)).await.unwrap();
    let record = |n: u32| {
        let value = vec![7; if n < 4000 { 10 } else { MAX_RECORD - 100 }];
        (Key::from_bytes(&[b"s".as_slice(), &n.to_be_bytes()].concat()), value)
    };
    let records = (0..4200).map(move |n| Ok(ReplaceRecord::Put(record(n).0, record(n).1)));
    store.replace(Box::new(records), Revision::default()).await.unwrap();
    for limit in [1000, 5000] {
        let (mut pages, mut found) = (Pages::new(&store, key("s"), limit), Vec::new());
        while let Some(page) = pages.next().await.unwrap() {
            found.extend(page.into_iter().map(|(key, entry)| (key, entry.value)));
        }
        assert!(found == (0..4200).map(record).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_was_missed_arrives_whole_however_much_it_is() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let store = EtcdStore::open(&settings).await.unwrap();
    let before = store.durable();
    let mut made = Vec::new();
    for _ in 0..20 {
        // In etcd's fragments of 1.5 MiB, a commit lies across the border.
        let put = ["a", "b", "c", "d", "e", "f"].map(|name| (key(name), vec![7; 80 * 1024])).into();
        made.push(store.commit(Transaction { put, ..Transaction::default() }).await.unwrap());
    }
    let (log, follower) = resume_after(&settings, before).await;
    let mut watch = log.watch(before);
    for revision in made {
        let change = watch.next().await.unwrap();
        assert_eq!((change.revision, change.put.len()), (revision, 6));
    }
    follower.abort();
}

#[tokio::test]
async fn a_follower_behind_etcds_history_starts_again() {
    let Some(etcd) = fixture::Etcd::start() else { return };
    let settings = fresh(&etcd);
    let store = EtcdStore::open(&settings).await.unwrap();
    let seen = store.commit(put("a", b"1")).await.unwrap();
    let newest = store.commit(put("a", b"2")).await.unwrap();
    let mut client = client(&etcd).await;
    client.put("not ours", "", None).await.unwrap();
    let all = client.put("not ours", "", None).await.unwrap().header().unwrap().revision();
    client.compact(all, None).await.unwrap();

    let (log, follower) = resume_after(&settings, seen).await;
    assert_eq!(log.watch(seen).next().await.err(), Some(WatchEnd::Compacted));
    assert_eq!(log.durable(), newest);
    let mut watch = log.watch(newest);
    let next = store.commit(put("a", b"3")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, next);
    follower.abort();

    // A follower that has missed nothing goes on right after its last change: a write by somebody else has no head.
    let position = store.client.position().await.unwrap();
    let mut follower = Follower::new(store.client.clone(), position.pointer);
    store.client.followed_to(next).await.unwrap();
    assert_eq!((follower.resume(&position), position.head), (next.0 as i64 + 1, next));
    assert_eq!(store.durable(), next);
}

#[tokio::test]
async fn what_replaced_records_leave_behind_is_removed() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let (store, other) =
        (EtcdStore::open(&settings).await.unwrap(), EtcdStore::open(&settings).await.unwrap());
    store.commit(put("a", b"1")).await.unwrap();
    let mut watch = other.watch(other.revision().await.unwrap());

    // A replacement that was cut short changes nothing, also for a replica that starts then.
    let pointer = store.client.pointer().unwrap();
    let cut_short = store.client.claim().await.unwrap();
    let records = |value: &'static [u8]| -> ReplaceRecords {
        Box::new(
            (0..300).map(move |number| Ok(ReplaceRecord::Put(key(&format!("{number}")), value.to_vec()))),
        )
    };
    store.client.write(pointer, cut_short, records(b"cut short")).await.unwrap();
    let third = EtcdStore::open(&settings).await.unwrap();
    assert_eq!(third.get(&key("a")).await.unwrap().unwrap().value, b"1");
    assert_eq!(third.scan(&key(""), None, 9).await.unwrap().len(), 1);
    assert_eq!(keys(etcd, &settings.prefix).await.len(), 304, "what another may be writing is left alone");

    let replaced = store.replace(records(b"whole"), Revision::default()).await.unwrap();
    assert_eq!(watch.next().await.err(), Some(WatchEnd::Compacted));
    for replica in [&store, &other, &third] {
        assert_eq!(replica.get(&key("7")).await.unwrap().unwrap().value, b"whole");
        assert_eq!(replica.revision().await.unwrap(), replaced);
    }
    // The replacement that was cut short cannot go on, and a commit that was planned before it is refused.
    assert!(store.client.point_to(pointer, cut_short).await.is_err());
    let clearing = store.clearing.lock().unwrap().take().unwrap();
    clearing.await.unwrap();
    assert_eq!(keys(etcd, &settings.prefix).await.len(), 303, "only what is in force is left");
}

#[tokio::test]
async fn of_two_replacements_at_once_one_is_made() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let (one, other) = (EtcdStore::open(&settings).await.unwrap(), EtcdStore::open(&settings).await.unwrap());
    let records = |value: u8| -> ReplaceRecords {
        Box::new((0..500).map(move |number| Ok(ReplaceRecord::Put(key(&format!("{number}")), vec![value]))))
    };
    let nothing = Revision::default();
    let outcomes = tokio::join!(one.replace(records(1), nothing), other.replace(records(2), nothing));
    let winner = match outcomes {
        (Ok(_), Err(ReplaceError::Unavailable(_))) => 1,
        (Err(ReplaceError::Unavailable(_)), Ok(_)) => 2,
        // One had ended before the other began.
        (Ok(first), Ok(second)) => {
            if first > second {
                1
            } else {
                2
            }
        }
        outcomes => panic!("{outcomes:?}"),
    };
    for replica in [&one, &other] {
        let found = replica.scan(&key(""), None, 1000).await.unwrap();
        assert_eq!(found.len(), 500);
        assert!(found.iter().all(|(_, entry)| entry.value == [winner]));
    }
}

#[tokio::test]
async fn what_is_not_a_store_of_this_format_is_left_alone() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let mut client = client(etcd).await;
    let pointer = format!("{}current", settings.prefix);
    client.put(pointer.as_str(), [9, 0], None).await.unwrap();
    let refused = open_etcd(&settings).await.err().unwrap().to_string();
    assert!(refused.contains("format 9") && refused.contains("format 1"), "{refused}");

    let settings = fresh(etcd);
    client.put(format!("{}of another", settings.prefix), "", None).await.unwrap();
    let refused = open_etcd(&settings).await.err().unwrap().to_string();
    assert!(refused.contains("--etcd-prefix"), "{refused}");
    assert_eq!(keys(etcd, &settings.prefix).await.len(), 1);
}

#[tokio::test]
async fn an_outage_is_an_error_within_a_bound_and_passes() {
    let Some(etcd) = fixture::Etcd::start() else { return };
    let store = EtcdStore::open(&fresh(&etcd)).await.unwrap();
    let made = store.commit(put("a", b"1")).await.unwrap();
    let mut watch = store.watch(made);
    for stop in ["STOP", "KILL"] {
        if stop == "STOP" {
            etcd.signal(stop)
        } else {
            etcd.kill()
        }
        let deadline = std::time::Instant::now() + Duration::from_millis(300);
        let refused = tokio::time::timeout(BOUND, async {
            let hurried = Transaction { deadline: Some(deadline), ..put("c", b"1") };
            assert!(store.commit(hurried).await.is_err());
            let key = key("a");
            let (pinged, read, refused) =
                tokio::join!(store.ping(), store.get(&key), store.commit(put("b", b"1")));
            assert!(pinged.is_err() && read.is_err());
            refused.unwrap_err()
        });
        let refused = refused.await.unwrap().to_string();
        assert!(refused.contains("etcd at http://127.0.0.1"), "{refused}");
        if stop == "STOP" {
            etcd.signal("CONT")
        } else {
            etcd.start_again()
        }
        tokio::time::timeout(BOUND, async { while store.ping().await.is_err() {} }).await.unwrap();
        let next = store.commit(put("a", stop.as_bytes())).await.unwrap();
        // The refused one may have been made after all: its outcome was not known.
        while watch.next().await.unwrap().revision < next {}
    }
    assert!(store.interruptions().load(Ordering::SeqCst) > 0, "what comes next may be another history");
}

#[tokio::test]
async fn a_member_that_fails_is_left_for_the_next() {
    let Some(etcd) = shared() else { return };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(); // nothing listens there any more
    let silent = TcpListener::bind("127.0.0.1:0").unwrap(); // accepts, and never says anything
    let members = [format!("http://{free}"), format!("http://{}", silent.local_addr().unwrap()), etcd.url()];
    let settings = config::Etcd { endpoints: members.into(), ..fresh(etcd) };
    let store = tokio::time::timeout(BOUND, EtcdStore::open(&settings)).await.unwrap().unwrap();
    let made = store.commit(put("a", b"1")).await.unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, made);

    // A transaction goes to the next member only where it was certainly not sent, and otherwise fails.
    store.client.cluster.leave(2);
    store.commit(put("a", b"1")).await.unwrap();
    store.client.cluster.leave(2);
    store.client.cluster.take_for_known(1);
    store.commit(put("a", b"2")).await.unwrap_err();
    let made = store.commit(put("a", b"3")).await.unwrap();
    assert_eq!(store.watch(Revision(made.0 - 1)).next().await.unwrap().revision, made);
}

#[tokio::test]
async fn a_user_logs_in_and_again_where_etcd_forgot() {
    let Some(etcd) = fixture::Etcd::start() else { return };
    let mut admin = client(&etcd).await;
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "correct horse\n").unwrap();
    let settings = config::Etcd {
        user: Some("room".into()),
        password_file: Some(password_file.clone()),
        ..fresh(&etcd)
    };
    admin.role_add("root").await.unwrap();
    admin.user_add("root", "of all", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.role_add("room").await.unwrap();
    let permission = Permission::read_write(settings.prefix.as_str()).with_prefix();
    admin.role_grant_permission("room", permission).await.unwrap();
    admin.user_add("room", "correct horse", None).await.unwrap();
    admin.user_grant_role("room", "room").await.unwrap();
    admin.auth_enable().await.unwrap();

    let refused = async |settings: &config::Etcd| open_etcd(settings).await.err().unwrap().to_string();
    let nobody = config::Etcd { user: None, password_file: None, ..settings.clone() };
    assert!(refused(&nobody).await.contains("--etcd-user"));
    let elsewhere = config::Etcd { prefix: "elsewhere/".into(), ..settings.clone() };
    assert!(refused(&elsewhere).await.contains("permission denied"));
    std::fs::write(&password_file, "wrong").unwrap();
    let said = refused(&settings).await;
    assert!(said.contains("password file") && !said.contains("wrong"), "{said}");
    assert_eq!(open_etcd(&settings).await.err().unwrap().cause(), UnavailableCause::Login);
    std::fs::write(&password_file, "correct horse\n").unwrap();

    let store = EtcdStore::open(&settings).await.unwrap();
    let mut watch = store.watch(store.durable());
    let made = store.commit(put("a", b"1")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, made);
    // etcd keeps its tokens in memory.
    etcd.kill();
    etcd.start_again();
    let made = store.commit(put("a", b"2")).await;
    let made = match made {
        Ok(made) => made,
        Err(_) => store.commit(put("a", b"3")).await.unwrap(), // the connection had broken
    };
    while watch.next().await.unwrap().revision < made {}

    // The password is changed: refused until the file has it, and then read from there by itself.
    let as_root = ConnectOptions::new().with_user("root", "of all");
    let mut admin = Client::connect([etcd.url()], Some(as_root)).await.unwrap();
    admin.user_change_password("room", "battery staple").await.unwrap();
    etcd.kill();
    etcd.start_again();
    let refused = async || loop {
        match store.commit(put("a", b"4")).await {
            Err(CommitError::Unavailable(why)) if why.cause() == UnavailableCause::Login => {
                return why.to_string();
            }
            Err(CommitError::Unavailable(_)) => {} // the connection had broken
            other => panic!("{other:?}"),
        }
    };
    assert!(refused().await.contains("which is read again at each login"));
    std::fs::write(&password_file, "battery staple\n").unwrap();
    store.commit(put("a", b"5")).await.unwrap();
}

#[tokio::test]
async fn an_etcd_without_space_says_what_to_do_and_answers_reads() {
    let Some(etcd) = fixture::Etcd::start_with("http", &["--quota-backend-bytes=3000000".into()]) else {
        return;
    };
    let store = EtcdStore::open(&fresh(&etcd)).await.unwrap();
    store.commit(put("a", b"1")).await.unwrap();
    let full = loop {
        let put = ["b", "c", "d", "e"].map(|name| (key(name), vec![7; 80 * 1024])).into();
        match store.commit(Transaction { put, ..Transaction::default() }).await {
            Ok(_) => {}
            Err(CommitError::Unavailable(why)) => break why,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(full.cause(), UnavailableCause::Full, "{full}");
    assert!(full.to_string().contains("etcdctl alarm disarm"), "{full}");
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, b"1");
    // The heartbeat, which every replica sends, finds it out without a change.
    assert_eq!(
        store.exchange(Some(&|| Ok(b"alive".to_vec()))).await.unwrap_err().cause(),
        UnavailableCause::Full
    );
}

#[tokio::test]
async fn endpoints_of_two_clusters_and_prefixes_that_overlap_are_refused() {
    let (Some(etcd), Some(other)) = (shared(), fixture::Etcd::start()) else { return };
    let settings = fresh(etcd);
    let both = config::Etcd { endpoints: vec![etcd.url(), other.url()], ..settings.clone() };
    let refused = open_etcd(&both).await.err().unwrap().to_string();
    assert!(refused.contains("two clusters") && refused.contains(&other.url()), "{refused}");

    EtcdStore::open(&settings).await.unwrap();
    let inner = config::Etcd { prefix: format!("{}a/b/", settings.prefix), ..settings.clone() };
    let refused = open_etcd(&inner).await.err().unwrap().to_string();
    assert!(refused.contains(&format!("lies within {}", settings.prefix)), "{refused}");

    let outer = fresh(etcd);
    let inner = config::Etcd { prefix: format!("{}a/", outer.prefix), ..outer.clone() };
    EtcdStore::open(&inner).await.unwrap();
    let refused = open_etcd(&outer).await.err().unwrap().to_string();
    assert!(refused.contains("whose prefix begins like this"), "{refused}");
    EtcdStore::open(&inner).await.unwrap();
}

#[tokio::test]
async fn a_member_that_turns_out_to_be_of_another_cluster_is_never_used() {
    let (Some(etcd), Some(other)) = (fixture::Etcd::start(), fixture::Etcd::start()) else { return };
    let settings = fresh(&etcd);
    // The other cluster has a store with the same prefix, and its records.
    EtcdStore::open(&config::Etcd { endpoints: vec![other.url()], ..settings.clone() }).await.unwrap();
    let both = config::Etcd { endpoints: vec![etcd.url(), other.url()], ..settings };
    let elsewhere = keys(&other, &both.prefix).await;
    other.kill(); // so that nobody can know at the start
    let store = EtcdStore::open(&both).await.unwrap();
    let made = Transaction { put: vec![(key("a"), b"1".to_vec())], ..Transaction::default() };
    store.commit(made.clone()).await.unwrap();
    other.start_again();
    etcd.kill();
    for _ in 0..4 {
        let read = store.get(&key("a")).await.unwrap_err();
        let watched = store.client.cluster.watch(b"", 1).await.err().unwrap();
        let leased = store.client.cluster.lease(60).await.unwrap_err();
        for refused in [&read, &watched, &leased] {
            let told = refused.cause() == UnavailableCause::Settings && refused.0.contains("two clusters");
            assert!(told || refused.0.contains(&etcd.url()), "{refused}");
        }
        assert!(store.commit(made.clone()).await.is_err());
    }
    assert_eq!(keys(&other, &both.prefix).await, elsewhere);
    etcd.start_again();
    while store.get(&key("a")).await.is_err() {}
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, b"1");
}

#[tokio::test]
async fn heartbeats_are_seen_by_the_others_and_disappear_with_their_lease() {
    let Some(etcd) = fixture::Etcd::start() else { return };
    let etcd = &etcd;
    let settings = fresh(etcd);
    let (one, other) = (EtcdStore::open(&settings).await.unwrap(), EtcdStore::open(&settings).await.unwrap());
    let head = one.revision().await.unwrap();
    assert!(one.exchange(Some(&|| Ok(b"one".to_vec()))).await.unwrap().is_empty());
    assert_eq!(other.exchange(Some(&|| Ok(b"other".to_vec()))).await.unwrap(), [b"one"]);
    assert_eq!(one.exchange(Some(&|| Ok(b"one again".to_vec()))).await.unwrap(), [b"other"]);
    assert_eq!(other.exchange(None).await.unwrap(), [b"one again"]);
    assert_eq!(one.revision().await.unwrap(), head, "a heartbeat is no commit");
    let mut client = client(etcd).await;
    for lease in client.leases().await.unwrap().leases() {
        client.lease_revoke(lease.id()).await.unwrap();
    }
    assert!(keys(etcd, &format!("{}alive/", settings.prefix)).await.is_empty());
    // A lease that is gone is an error once.
    while one.exchange(Some(&|| Ok(b"one".to_vec()))).await.is_err() {}
    assert_eq!(keys(etcd, &format!("{}alive/", settings.prefix)).await.len(), 1);
    // The end of a replica takes its heartbeat away at once.
    one.close().await;
    assert!(other.exchange(None).await.unwrap().is_empty());
    assert!(one.exchange(None).await.is_err());
}

#[tokio::test]
async fn tls_shows_who_etcd_is_and_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name);
    let argument = |flag: &str, name: &str| format!("--{flag}={}", file(name).display());
    let arguments = [
        argument("cert-file", "etcd.crt"),
        argument("key-file", "etcd.key"),
        argument("trusted-ca-file", "ca.crt"),
        "--client-cert-auth".into(),
    ];
    let Some(etcd) = fixture::Etcd::start_with("https", &arguments) else { return };
    let identity = Tls { cert: file("room.crt"), key: file("room.key") };
    let settings = config::Etcd { ca: Some(file("ca.crt")), identity: Some(identity), ..fresh(&etcd) };
    let store = EtcdStore::open(&settings).await.unwrap();
    let mut watch = store.watch(store.durable());
    let made = store.commit(put("a", b"1")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, made);

    // Another certificate of the same authority takes the place of the first, while the store is used.
    std::fs::write(file("room.crt"), "half").unwrap();
    assert!(store.client.cluster.reconnect().await.is_err());
    store.commit(put("a", b"2")).await.unwrap();
    for end in ["crt", "key"] {
        std::fs::copy(file(&format!("next.{end}")), file(&format!("room.{end}"))).unwrap();
    }
    store.client.cluster.reconnect().await.unwrap();
    let made = store.commit(put("a", b"3")).await.unwrap();
    while watch.next().await.unwrap().revision < made {}

    let nobody = config::Etcd { identity: None, ..settings.clone() };
    assert!(open_etcd(&nobody).await.is_err());
    let untrusting = config::Etcd { ca: Some(file("other.crt")), ..settings.clone() };
    let refused = open_etcd(&untrusting).await.err().unwrap().to_string();
    assert!(refused.contains("certificate"), "{refused}");
    let missing = config::Etcd { ca: Some(file("not there")), ..settings };
    assert!(open_etcd(&missing).await.err().unwrap().to_string().contains("not there"));
}

/// etcd begins to require a certificate of another authority, and the replica gets one in its files.
#[tokio::test]
async fn certificates_that_are_replaced_in_their_files_are_shown_to_etcd_without_a_restart() {
    let (folder, later) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(folder.path());
    certificates(later.path());
    let file = |name: &str| folder.path().join(name);
    let argument = |name: &str, value: &str| format!("--{name}={}", file(value).display());
    let arguments = [
        argument("cert-file", "etcd.crt"),
        argument("key-file", "etcd.key"),
        argument("trusted-ca-file", "trusted.crt"),
        "--client-cert-auth".into(),
    ];
    std::fs::copy(file("ca.crt"), file("trusted.crt")).unwrap();
    let Some(etcd) = fixture::Etcd::start_with("https", &arguments) else { return };
    let identity = Tls { cert: file("room.crt"), key: file("room.key") };
    let settings = config::Etcd { ca: Some(file("ca.crt")), identity: Some(identity), ..fresh(&etcd) };
    let store = EtcdStore::open(&settings).await.unwrap();
    store.commit(put("a", b"1")).await.unwrap();

    // etcd's own certificate is still that of the first authority.
    std::fs::copy(later.path().join("ca.crt"), file("trusted.crt")).unwrap();
    etcd.kill();
    etcd.start_again();
    assert!(store.get(&key("a")).await.is_err());
    for end in ["crt", "key"] {
        std::fs::copy(later.path().join(format!("room.{end}")), file(&format!("room.{end}"))).unwrap();
    }
    let begun = std::time::Instant::now();
    while store.get(&key("a")).await.is_err() {
        assert!(begun.elapsed() < 3 * BOUND, "the certificate is not read again");
    }
    store.commit(put("a", b"2")).await.unwrap();
}

/// `ca.crt`, and `etcd`, `room` and `next` signed by it; `other.crt`, which signed neither.
fn certificates(folder: &Path) {
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), Issuer::new(params, key))
    };
    let write = |name: &str, pem: &str| std::fs::write(folder.join(name), pem).unwrap();
    let (ca, issuer) = authority();
    write("ca.crt", &ca);
    write("other.crt", &authority().0);
    for name in ["etcd", "room", "next"] {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        write(&format!("{name}.crt"), &params.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), &key.serialize_pem());
    }
}
