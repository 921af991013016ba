//! Why a replica is not ready: each cause has a name and a text of its own in readiness, the metrics and the errors, and goes away
//! once somebody has done what it asks for.

use std::time::{Duration, Instant};

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, ConnectOptions, DeleteOptions,
    Permission,
};
use strongroom::api::v1::{CreateApiKeyRequest, CreateSecretRequest, ListSecretsRequest, WhoAmIRequest};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::caller::{Caller, Credential, endpoint};
use crate::etcd_server::Etcd;
use crate::harness::{Launch, PATIENCE, Server};
use crate::metrics;
use crate::moved_clock::MovedClock;
use crate::refusal::reason_of;
use crate::requests::{Value, create, get, list, nanos};

const FULL: &str = "the store is full, and takes no changes";
const LOGIN: &str = "the store does not accept this server";
const OTHER_HISTORY: &str = "the store is not the one that this server has served";
const CLOCK: &str = "the clock of this server differs from those of the others, or could not be compared with them, so it makes no changes";
const HOUR: i128 = 3_600_000_000_000;

fn launch(etcd: &Etcd) -> Launch {
    Launch::in_etcd(&etcd.url(), "causes/").argument("--metrics-listen").argument("127.0.0.1:0")
}

/// Waits until a server is not ready for this cause alone.
async fn unready(server: &Server, cause: &str, text: &str) {
    let address = server.metrics_address();
    let expected = (503, format!("Not ready: {text}.\n"));
    awaits(&address, &expected).await;
    let page = metrics::page(&address).await;
    assert!(page.contains(&format!("strongroom_unready{{cause=\"{cause}\"}} 1")), "{page}");
    assert!(page.contains("strongroom_ready 0"), "{page}");
    assert_eq!(metrics::get(&address, "/livez").await.0, 200);
    assert!(server.logged().contains(cause), "the log does not name the cause");
}

async fn ready(server: &Server) {
    awaits(&server.metrics_address(), &(200, "The server is ready.\n".into())).await;
}

async fn awaits(address: &str, expected: &(u16, String)) {
    let since = Instant::now();
    loop {
        let told = metrics::get(address, "/readyz").await;
        if told == *expected {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "/readyz tells {told:?} and not {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asserts that a request is refused for this cause, which the details name, with this text.
#[track_caller]
fn refused_with<T>(reply: Result<T, Status>, cause: &str, text: &str) {
    let Err(status) = reply else { panic!("the request was answered") };
    assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    assert!(status.message().contains(text), "{}", status.message());
    let details = status.get_details_error_info().unwrap();
    assert_eq!(details.metadata.get("cause").map(String::as_str), Some(cause), "{details:?}");
}

/// An etcd that takes few bytes.
fn small_etcd() -> Option<Etcd> {
    Etcd::start_with("http", &["--quota-backend-bytes=4000000".into()])
}

/// Another program fills it.
async fn fill(client: &mut Client) {
    let mut fills = 0;
    while client.put(format!("other/{fills}"), vec![7; 1 << 19], None).await.is_ok() {
        fills += 1;
    }
}

/// What the documents say to do.
async fn make_room(client: &mut Client) {
    let all = DeleteOptions::new().with_prefix();
    let deleted = client.delete("other/", Some(all)).await.unwrap();
    let whole = CompactionOptions::new().with_physical(); // done when it answers
    client.compact(deleted.header().unwrap().revision(), Some(whole)).await.unwrap();
    client.defragment().await.unwrap();
    let alarms = client.alarm(AlarmAction::Get, AlarmType::None, None).await.unwrap();
    for alarm in alarms.alarms() {
        let mut of_member = AlarmOptions::new();
        of_member.with_member(alarm.member_id());
        client.alarm(AlarmAction::Deactivate, alarm.alarm(), Some(of_member)).await.unwrap();
    }
}

#[tokio::test]
async fn an_etcd_without_space_is_told_and_reads_are_answered() {
    let Some(etcd) = small_etcd() else { return };
    let server = launch(&etcd).start();
    let root = Caller::root(&server).await;
    root.create("a", "v").await;
    ready(&server).await;
    let mut client = Client::connect([etcd.url()], None).await.unwrap();
    fill(&mut client).await;
    unready(&server, "store_full", FULL).await;
    refused_with(root.secrets().create_secret(create("b", "v")).await, "store_full", "full");
    assert_eq!(root.value("a").await, Value::text("v"));

    // A replica that is started now, and can show nobody that it is there, answers reads too.
    let key = server.data_dir.join("master.key").display().to_string();
    let started = launch(&etcd).argument("--master-key-file").argument(key).start();
    let other = Caller::new(&started, Credential::bearer(&server.root_key)).await;
    assert_eq!(other.value("a").await, Value::text("v"));
    unready(&started, "store_full", FULL).await;
    refused_with(other.secrets().create_secret(create("b", "v")).await, "store_full", "full");

    make_room(&mut client).await;
    ready(&server).await;
    ready(&started).await;
    root.create("b", "v").await;
    other.create("c", "v").await;
}

#[tokio::test]
async fn a_start_waits_for_room_in_etcd() {
    let Some(etcd) = small_etcd() else { return };
    let mut client = Client::connect([etcd.url()], None).await.unwrap();
    fill(&mut client).await;
    let mut server = launch(&etcd).start_loading();
    server.wait_for_logged(1, "the server waits for etcd");
    let page = metrics::page(&server.metrics_address()).await;
    assert!(page.contains("strongroom_unready{cause=\"store_full\"} 1"), "{page}");
    assert!(server.logged().contains("etcdctl alarm disarm"), "{}", server.logged());
    let loading = Caller::new(&server, crate::consistency::unknown_key()).await;
    refused_with(loading.secrets().list_secrets(list()).await, "loading", "is starting");
    make_room(&mut client).await;
    server.wait_until_ready();
    ready(&server).await;
    let root = Caller::new(&server, Credential::bearer(&server.root_key)).await;
    root.create("a", "v").await;
}

#[tokio::test]
async fn a_login_that_etcd_does_not_take_any_more_is_told() {
    let Some(etcd) = Etcd::start() else { return };
    let mut admin = Client::connect([etcd.url()], None).await.unwrap();
    for (user, password) in [("root", "of all"), ("room", "one")] {
        admin.role_add(user).await.unwrap();
        admin.user_add(user, password, None).await.unwrap();
        admin.user_grant_role(user, user).await.unwrap();
    }
    admin.role_grant_permission("room", Permission::read_write("causes/").with_prefix()).await.unwrap();
    admin.auth_enable().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "one\n").unwrap();
    let login = ["--etcd-user", "room", "--etcd-password-file", file.to_str().unwrap()];
    let server = login.into_iter().fold(launch(&etcd), Launch::argument).start();
    let root = Caller::root(&server).await;
    root.create("a", "v").await;
    ready(&server).await;

    let as_root = ConnectOptions::new().with_user("root", "of all");
    let mut admin = Client::connect([etcd.url()], Some(as_root)).await.unwrap();
    admin.user_change_password("room", "two").await.unwrap();
    etcd.kill(); // it keeps its tokens in memory
    etcd.start_again();
    unready(&server, "store_login", LOGIN).await;
    refused_with(
        root.secrets().create_secret(create("b", "v")).await,
        "store_login",
        "does not accept this server",
    );
    assert!(!server.logged().contains("two"), "the log has the password");
    std::fs::write(&file, "two\n").unwrap();
    ready(&server).await;
    root.create("b", "v").await;
}

#[tokio::test]
async fn an_etcd_that_was_put_back_is_told() {
    let Some(etcd) = Etcd::start() else { return };
    let server = launch(&etcd).start();
    let root = Caller::root(&server).await;
    root.create("a", "v").await;
    let saved = etcd.save();
    ready(&server).await;
    for name in ["b", "c"] {
        root.create(name, "v").await;
    }
    etcd.put_back(&saved);
    // From the first refusal on, health says so.
    let cause = |status: &Status| {
        let details = status.get_details_error_info().unwrap();
        details.metadata.get("cause").cloned().unwrap_or_default()
    };
    let mut health = HealthClient::new(endpoint(&server.url).connect().await.unwrap());
    let since = Instant::now();
    while root.secrets().list_secrets(list()).await.err().map(|status| cause(&status)).as_deref()
        != Some("other_history")
    {
        assert!(since.elapsed() < PATIENCE, "the older state is served");
    }
    let reply = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(reply.status(), ServingStatus::NotServing);
    unready(&server, "other_history", OTHER_HISTORY).await;
    let told = "not the one that this server has served";
    refused_with(root.secrets().create_secret(create("d", "v")).await, "other_history", told);
    refused_with(root.secrets().list_secrets(list()).await, "other_history", told);
    // A replica that is started now serves the older state, as nobody tells it of a newer one.
    server.kill();
}

/// The clock of one replica of three is moved by libfaketime, while it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_differs_is_told_and_gives_no_change_a_wrong_time() {
    let Some(etcd) = Etcd::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(clock) = MovedClock::new(folder.path()) else { return };
    let first = launch(&etcd).start();
    let key = first.data_dir.join("master.key").display().to_string();
    let another = || launch(&etcd).argument("--master-key-file").argument(&*key);
    let second = another().start();
    let moved = clock.of(another()).start();
    let root = Credential::bearer(&first.root_key);
    let right = Caller::new(&second, root.clone()).await;
    let wrong = Caller::new(&moved, root).await;
    ready(&moved).await;
    wrong.create("before", "v").await;
    let ttl = |seconds: i64| Some(prost_types::Duration { seconds, nanos: 0 });
    let expiring = CreateSecretRequest { ttl: ttl(1800), ..create("expiring", "v") };
    right.create_with(expiring).await;
    let in_two_hours = key_that_expires(&right, ttl(7200)).await;
    let soon = key_that_expires(&right, ttl(1800)).await;

    for (round, ahead) in ["+3600", "-3600"].into_iter().enumerate() {
        clock.set(ahead);
        unready(&moved, "clock", CLOCK).await;
        let differs = "clock of this server differs";
        refused_with(wrong.secrets().create_secret(create("wrong", "v")).await, "clock", differs);
        assert_eq!(wrong.value("before").await, Value::text("v"), "reads go on");
        // It cannot tell what has expired: neither is an expired key served, nor one in force refused.
        let value = wrong.secrets().get_secret(get("expiring")).await;
        refused_with(value, "clock", differs);
        for key in [&in_two_hours, &soon] {
            let served = key.at(&moved).await;
            refused_with(served.access().who_am_i(WhoAmIRequest {}).await, "clock", differs);
            assert!(key.at(&second).await.access().who_am_i(WhoAmIRequest {}).await.is_ok());
        }
        assert_eq!(right.value("expiring").await, Value::text("v"));
        // The others are more than half, and make changes.
        let made = right.create(&format!("meanwhile_{round}"), "v").await;
        let before = right.get("before").await;
        assert!((nanos(made.created_at) - nanos(before.created_at)).abs() < HOUR / 2);
        ready(&second).await;
        clock.set("+0");
        ready(&moved).await;
        let made = wrong.create(&format!("after_{round}"), "v").await;
        assert!((nanos(made.created_at) - nanos(before.created_at)).abs() < HOUR / 2);
    }
    let listed = right.secrets().list_secrets(ListSecretsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.items.len(), 6);
}

/// The caller with a new key that expires.
async fn key_that_expires(caller: &Caller, ttl: Option<prost_types::Duration>) -> Caller {
    let (name, home_namespace) = ("expiring".to_owned(), "default".to_owned());
    let request = CreateApiKeyRequest { name, home_namespace, ttl, ..Default::default() };
    let made = caller.access().create_api_key(request).await.unwrap().into_inner();
    caller.with(Credential::bearer(&made.credential))
}
