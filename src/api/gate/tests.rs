//! The layers of the gate together, over an app in memory and handlers made for each test.

use std::sync::Mutex;

use http_body_util::BodyExt;
use tokio::sync::Notify;
use tonic::Status;
use tonic_types::StatusExt;

use super::super::error::{Code, Reason};
use super::super::strongroom_v1::status::failure;
use super::*;
use crate::app;
use crate::app::shared_store::{Head, SharedStore};
use crate::audit;
use crate::crypto::{MasterKeyProvider, MasterKeySource, MasterKeys};
use crate::store::{self, Store};

/// Keeps the outcomes of all records.
#[derive(Default)]
struct Recorder {
    outcomes: Mutex<Vec<&'static str>>,
    written: Notify,
    /// Ends the key of the caller while the next record is being written.
    ends: Mutex<Option<RootKey>>,
}

#[tonic::async_trait]
impl Auditor for Recorder {
    async fn write(&self, record: &audit::Record) -> Result<(), audit::Unwritable> {
        self.outcomes.lock().unwrap().push(record.outcome);
        let ends = self.ends.lock().unwrap().take();
        if let Some(root) = ends {
            root.end().await;
        }
        self.written.notify_one();
        Ok(())
    }

    fn names(&self) -> &audit::Names {
        &audit::Names::Plain
    }

    fn refused(&self, record: audit::Record, _: u64) {
        self.outcomes.lock().unwrap().push(record.outcome);
    }

    async fn check(&self) -> Result<(), audit::Unwritable> {
        Ok(())
    }
}

struct Site {
    app: Arc<App>,
    store: Arc<dyn Store>,
    recorder: Arc<Recorder>,
    in_flight: InFlight,
    root: String,
}

impl Site {
    async fn open() -> Self {
        Self::over(store::open_memory().unwrap()).await
    }

    async fn over(store: Arc<dyn Store>) -> Self {
        let mut root = String::new();
        let provider = MasterKeyProvider::new(
            MasterKeySource::DataDir("nowhere".into()),
            MasterKeys::generate().unwrap(),
        );
        let app = app::open(store.clone(), provider, app::Options::default(), |credential| {
            root = credential.expose().to_owned();
            Ok(())
        });
        let app = Arc::new(app.await.unwrap());
        Self { app, store, recorder: Arc::default(), in_flight: InFlight::default(), root }
    }

    /// Handlers behind an open gate.
    fn gated<S: Clone>(&self, handlers: S) -> Gated<S> {
        let gate = Gate::new(self.app.clone(), self.recorder.clone(), self.in_flight.clone());
        let gated = Gated::closed(handlers.clone(), true, Arc::default());
        gated.open(&gate, handlers);
        gated
    }

    fn request(&self, path: &str) -> Request<Body> {
        Request::builder().uri(path).header("x-api-key", &self.root).body(Body::empty()).unwrap()
    }

    fn root_key(&self) -> RootKey {
        RootKey { app: self.app.clone(), store: self.store.clone(), credential: self.root.clone() }
    }

    fn outcomes(&self) -> Vec<&'static str> {
        self.recorder.outcomes.lock().unwrap().clone()
    }
}

/// The root key of a site.
#[derive(Clone)]
struct RootKey {
    app: Arc<App>,
    store: Arc<dyn Store>,
    credential: String,
}

impl RootKey {
    /// Removes its record behind the service, which never revokes the root key. Returns when the service knows.
    async fn end(&self) {
        let delete = self.store.scan(&store::Key::api_keys(), None, 10).await.unwrap();
        let delete = delete.into_iter().map(|(key, _)| key).collect();
        self.store.commit(store::Transaction { delete, ..Default::default() }).await.unwrap();
        while self.app.access.authenticate(&self.credential).is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

/// What a caller is told whose key is not known any more.
const INVALID: Option<(Code, Option<Reason>)> =
    Some((Code::Unauthenticated, Some(Reason::CredentialInvalid)));

const CREATE: &str = "/strongroom.v1.SecretService/CreateSecret";
const GET: &str = "/strongroom.v1.SecretService/GetSecret";

#[tokio::test]
async fn while_the_store_is_not_known_everything_but_health_and_reflection_is_refused() {
    let site = Site::open().await;
    let inner = tower::service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let mut gated = site.gated(inner);
    let mut ask = async |path: &str| {
        let answer = gated.call(site.request(path)).await.unwrap();
        failure(&answer).and_then(|(_, reason)| reason)
    };
    let paths = [GET, "/strongroom.v1.OperatorService/GetStatus"];
    for path in paths {
        assert_eq!(ask(path).await, None);
    }
    let all = site.store.scan(&store::Key::all(), None, 10).await.unwrap();
    let kept = all.into_iter().filter(|(key, _)| *key != store::Key::digest());
    let kept: Vec<_> = kept.map(|(key, entry)| Ok(store::ReplaceRecord::Put(key, entry.value))).collect();
    site.store.replace(Box::new(kept.into_iter()), Default::default()).await.unwrap();
    while site.app.serves().is_ok() {
        tokio::task::yield_now().await;
    }
    for path in paths.into_iter().chain(["/strongroom.v1.SecretService/Nothing"]) {
        assert_eq!(ask(path).await, Some(Reason::StoreUnavailable));
    }
    for open in OPEN {
        assert_eq!(ask(&format!("{open}Check")).await, None);
    }
}

#[tokio::test]
async fn a_closed_gate_lets_health_through_and_refuses_all_else_with_an_id_until_it_is_opened() {
    let site = Site::open().await;
    let inner = tower::service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let metrics = Arc::<RequestMetrics>::default();
    let mut gated = Gated::closed(inner, true, metrics.clone());
    for open in OPEN {
        assert_eq!(failure(&gated.call(site.request(&format!("{open}Check"))).await.unwrap()), None);
    }
    let refused = gated.call(site.request(GET)).await.unwrap();
    assert_eq!(failure(&refused), Some((Code::Unavailable, Some(Reason::StoreUnavailable))));
    let details = Status::from_header_map(refused.headers()).unwrap().get_error_details();
    assert!(details.retry_info().is_some() && !details.request_info().unwrap().request_id.is_empty());
    let gate = Gate::new(site.app.clone(), site.recorder.clone(), site.in_flight.clone());
    gated.open(&gate, inner);
    assert_eq!(failure(&gated.call(site.request(GET)).await.unwrap()), None);
    let counted: Vec<_> = metrics.read().into_iter().map(|rpc| (rpc.name, rpc.codes)).collect();
    let expected = [
        ("strongroom.v1.SecretService/GetSecret", vec![("OK", 1), ("UNAVAILABLE", 1)]),
        ("grpc.health.v1.Health", vec![("OK", 1)]),
        ("grpc.reflection.ServerReflection", vec![("OK", 2)]),
    ];
    assert_eq!(counted, expected);
}

#[tokio::test(start_paused = true)]
async fn a_server_with_too_much_to_do_refuses_further_requests_of_a_connection_at_once() {
    let site = Site::open().await;
    let gate = Gate::new(site.app.clone(), site.recorder.clone(), site.in_flight.clone());
    let inner = tower::service_fn(|_: Request<Body>| std::future::pending::<Answer>());
    let mut gated = Gated::closed(inner, true, Arc::default());
    gated.open(&gate, inner);
    let ask = |connection: &Arc<Connection>| {
        let mut request = site.request(GET);
        request.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());
        request.extensions_mut().insert(connection.clone());
        request
    };
    let others: Vec<_> = (0..10_000).map(|_| gate.queue_time.enter()).collect();
    let connections = [(); 2].map(|()| Arc::new(Connection::new(([127, 0, 0, 1], 1).into(), 10, 1)));
    let first = gated.call(ask(&connections[0]));
    let second = gated.call(ask(&connections[0])).await.unwrap();
    assert_eq!(failure(&second), Some((Code::ResourceExhausted, Some(Reason::TooManyRequests))));
    let details = Status::from_header_map(second.headers()).unwrap().get_error_details();
    assert!(details.retry_info().is_some());
    assert_eq!(site.outcomes(), ["RESOURCE_EXHAUSTED"]);
    // The first request of each connection is let in though others wait.
    let late = Some((Code::DeadlineExceeded, Some(Reason::DeadlineExceeded)));
    for request in [first, gated.call(ask(&connections[1]))] {
        assert_eq!(failure(&request.await.unwrap()), late);
    }
    drop(others);
}

#[tokio::test]
async fn only_so_many_requests_of_strangers_wait_for_a_store_that_does_not_answer() {
    let store = SharedStore::over(store::open_memory().unwrap());
    let (site, other) = (Site::over(store.clone()).await, Site::open().await);
    site.app.reach_head().await.unwrap();
    store.head.send_replace(Head::Silent);
    let inner = tower::service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let gated = site.gated(inner);
    tokio::time::pause();
    let began = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..300 {
        // A key that another replica can have made a moment ago.
        let (mut gated, request) = (gated.clone(), other.request(GET));
        asked.spawn(async move { (failure(&gated.call(request).await.unwrap()), began.elapsed()) });
    }
    let answers = asked.join_all().await;
    let unavailable = Some((Code::Unavailable, Some(Reason::StoreUnavailable)));
    assert!(answers.iter().all(|(refusal, _)| *refusal == unavailable));
    let at_once = answers.iter().filter(|(_, after)| after.as_secs() == 0).count();
    assert_eq!(at_once, 300 - 256);
}

#[tokio::test]
async fn a_panic_is_answered_and_recorded() {
    let site = Site::open().await;
    let inner = tower::service_fn(async |request: Request<Body>| {
        assert!(request.headers().get("x-api-key").is_none(), "a handler sees no credential");
        panic!("a defect");
        #[allow(unreachable_code)]
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let answer = site.gated(inner).call(site.request(GET)).await.unwrap();
    assert_eq!(failure(&answer), Some((Code::Internal, Some(Reason::Internal))));
    assert_eq!(site.outcomes(), ["INTERNAL"]);
}

#[tokio::test]
async fn a_change_whose_caller_hangs_up_is_served_to_its_end_and_a_read_is_not() {
    for (path, outcome) in [(CREATE, "INTERNAL"), (GET, "CANCELLED")] {
        let site = Site::open().await;
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begins, told) = (begun.clone(), go_on.clone());
        let inner = tower::service_fn(move |_: Request<Body>| {
            let (begins, told) = (begins.clone(), told.clone());
            async move {
                begins.notify_one();
                told.notified().await;
                Ok::<_, Infallible>(Status::not_found("").into_http())
            }
        });
        let call = site.gated(inner).call(site.request(path));
        begun.notified().await;
        drop(call);
        if path == CREATE {
            assert!(!site.in_flight.is_none());
            go_on.notify_one();
        }
        site.recorder.written.notified().await;
        site.in_flight.none().await;
        // A handler's own status without details is given some.
        assert_eq!(site.outcomes(), [outcome]);
    }
}

#[tokio::test]
async fn a_request_counts_until_its_answer_is_read_and_a_watch_until_it_begins() {
    let site = Site::open().await;
    let inner = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::new(http_body_util::Full::new(bytes::Bytes::from_static(
            b"some",
        )))))
    });
    let mut gated = site.gated(inner);
    let mut answer = gated.call(site.request("/strongroom.v1.OperatorService/CreateBackup")).await.unwrap();
    assert!(!site.in_flight.is_none());
    while answer.body_mut().frame().await.is_some() {}
    drop(answer);
    site.in_flight.none().await;
    let watch = gated.call(site.request("/strongroom.v1.SecretService/WatchSecrets")).await.unwrap();
    site.in_flight.none().await;
    drop(watch);
}

#[tokio::test]
async fn a_request_whose_caller_hangs_up_before_it_is_begun_is_forgotten() {
    let site = Site::open().await;
    let inner = tower::service_fn(async |_: Request<Body>| -> Answer { panic!("nothing is done") });
    for path in [CREATE, GET] {
        drop(site.gated(inner).call(site.request(path)));
        site.in_flight.none().await;
    }
    assert!(site.outcomes().is_empty());
}

#[tokio::test]
async fn a_request_whose_time_is_up_before_it_is_begun_is_refused_before_any_work() {
    let site = Site::open().await;
    let inner = tower::service_fn(async |_: Request<Body>| -> Answer { panic!("nothing is done") });
    for path in [CREATE, GET] {
        let mut request = site.request(path);
        request.headers_mut().insert("grpc-timeout", "1n".parse().unwrap());
        let answer = site.gated(inner).call(request).await.unwrap();
        assert_eq!(failure(&answer), Some((Code::DeadlineExceeded, Some(Reason::DeadlineExceeded))));
        site.in_flight.none().await;
    }
    assert!(site.outcomes().is_empty(), "no work was recorded");
}

#[tokio::test(start_paused = true)]
async fn a_caller_is_answered_in_its_time_and_a_change_ends_in_30_seconds() {
    let site = Site::open().await;
    let inner = tower::service_fn(async |_: Request<Body>| std::future::pending::<Answer>().await);
    let mut gated = site.gated(inner);
    let late = Some((Code::DeadlineExceeded, Some(Reason::DeadlineExceeded)));
    let impatient = |path| {
        let mut request = site.request(path);
        request.headers_mut().insert("grpc-timeout", "10S".parse().unwrap());
        request
    };
    let began = Instant::now();
    assert_eq!(failure(&gated.call(impatient(CREATE)).await.unwrap()), late);
    assert!(began.elapsed().as_millis().abs_diff(9_900) < 10);
    assert!(site.outcomes().is_empty(), "the change goes on");

    assert_eq!(failure(&gated.call(impatient(GET)).await.unwrap()), late);
    site.recorder.written.notified().await;
    assert!(began.elapsed() < MAX_TIME, "nobody waits for the read any more");
    assert_eq!(site.outcomes(), ["DEADLINE_EXCEEDED"]);

    assert_eq!(failure(&gated.call(site.request(GET)).await.unwrap()), late);
    site.in_flight.none().await;
    assert_eq!(site.outcomes(), ["DEADLINE_EXCEEDED"; 3]);
}

#[tokio::test]
async fn a_request_without_a_credential_is_refused_and_recorded_before_an_rpc_is_looked_for() {
    let site = Site::open().await;
    let inner = tower::service_fn(async |_: Request<Body>| panic!("nobody is admitted") as Answer);
    let mut gated = site.gated(inner);
    let nothing = "/strongroom.v1.SecretService/Nothing";
    let stranger = Request::builder().uri(nothing).body(Body::empty()).unwrap();
    let refused = failure(&gated.call(stranger).await.unwrap());
    assert_eq!(refused, Some((Code::Unauthenticated, Some(Reason::CredentialMissing))));
    let refused = failure(&gated.call(site.request(nothing)).await.unwrap());
    assert_eq!(refused, Some((Code::Unimplemented, Some(Reason::NotServed))));
    assert_eq!(site.outcomes(), ["UNAUTHENTICATED", "UNIMPLEMENTED"]);
}

#[tokio::test]
async fn work_that_waits_ends_with_the_key_of_its_caller() {
    let site = Site::open().await;
    let inner = tower::service_fn(async |_: Request<Body>| std::future::pending::<Answer>().await);
    let mut gated = site.gated(inner);
    let (read, change) = (gated.call(site.request(GET)), gated.call(site.request(CREATE)));
    site.root_key().end().await;
    let (read, change) = (read.await.unwrap(), change.await.unwrap());
    assert_eq!((failure(&read), failure(&change)), (INVALID, INVALID));
    site.in_flight.none().await;
    assert_eq!(site.outcomes(), ["UNAUTHENTICATED"; 2]);
    assert_eq!(failure(&gated.call(site.request(GET)).await.unwrap()), INVALID, "as a new request");
}

#[tokio::test]
async fn an_answer_whose_caller_is_not_known_any_more_is_withheld() {
    let site = Site::open().await;
    let root = site.root_key();
    let inner = tower::service_fn(move |_: Request<Body>| {
        let root = root.clone();
        async move {
            root.end().await;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let mut gated = site.gated(inner);
    // Both are admitted before the key ends.
    let (read, change) = (gated.call(site.request(GET)), gated.call(site.request(CREATE)));
    assert_eq!(failure(&read.await.unwrap()), INVALID);
    assert_eq!(failure(&change.await.unwrap()), INVALID);
    let mut outcomes = site.outcomes();
    outcomes.sort_unstable();
    // The change was made, which its first record says.
    assert_eq!(outcomes, ["UNAUTHENTICATED", "UNAUTHENTICATED", "ok"]);
}

#[tokio::test]
async fn an_answer_is_withheld_where_the_key_ends_while_the_record_is_written() {
    let site = Site::open().await;
    *site.recorder.ends.lock().unwrap() = Some(site.root_key());
    let inner = tower::service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let answer = site.gated(inner).call(site.request(GET)).await.unwrap();
    assert_eq!(failure(&answer), INVALID);
    assert_eq!(site.outcomes(), ["ok", "UNAUTHENTICATED"]);
}

#[tokio::test(start_paused = true)]
async fn refusals_of_separate_bursts_do_not_make_a_connection_overloaded() {
    let queue_time = Arc::new(QueueTime::new());
    let overload = Arc::new(Overload::new(queue_time, Arc::new(Recorder::default()), Arc::default()));
    let connection = Arc::new(Connection::new(([127, 0, 0, 1], 1).into(), 100, 1));
    for _ in 0..10 {
        connection.refused(&overload);
        connection.refused(&overload);
        assert!(!connection.is_overloaded());
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    (0..4).for_each(|_| connection.refused(&overload));
    assert!(connection.is_overloaded());
}
