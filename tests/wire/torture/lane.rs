//! A lane kills and restarts the server of one data folder after another, and checks the state at each start.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use strongroom::api::v1::{GetStatusRequest, ListSecretsRequest};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::change::{Ask, Change, Kept};
use super::load::Load;
use super::model::{Place, Shared, Sightings, There};
use super::random::Random;
use super::{Figures, Rounds};
use crate::caller::Caller;
use crate::harness::{Launch, Server};
use crate::refusal::not_found;
use crate::requests::{Value, get, list};

const CALLERS: usize = 4;
const PLACES: usize = 3;
/// The number of kills per folder. A new folder has a first start, which can be cut short too.
const KILLS_OF_A_FOLDER: u64 = 20;
pub const SHARED: &str = "shared";

/// When a server is killed.
enum Moment {
    /// After this many acknowledged changes.
    Acknowledged(u64),
    /// This long after the callers have begun.
    UnderLoad(Duration),
    /// As soon as it says that it is ready.
    Ready,
    /// This long after its start, whether it is ready or not.
    Starting(Duration),
    /// Under load: after this many acknowledged changes it is told to stop, and this long later it is killed.
    Stopping(u64, Duration),
}

impl Moment {
    fn choose(random: &mut Random, first_start: bool) -> Self {
        // A first start has the most steps that can be cut short.
        if first_start && random.one_in(2) {
            return Self::Starting(random.up_to(Duration::from_millis(400)));
        }
        match random.below(20) {
            0..6 => Self::Acknowledged(random.below(60)),
            6..12 => Self::UnderLoad(random.up_to(Duration::from_millis(100))),
            12 => Self::Ready,
            13..17 => Self::Starting(random.up_to(Duration::from_millis(300))),
            _ => Self::Stopping(random.below(20), random.up_to(Duration::from_millis(20))),
        }
    }
}

pub struct Lane {
    random: Random,
    runtime: Rc<Runtime>,
    folder: TempDir,
    kills: u64,
    started: bool,
    /// The places of each caller.
    places: Vec<Vec<Place>>,
    shared: Option<Shared>,
    sightings: Sightings,
    /// The newest revision of any reply.
    revision: u64,
    /// The number of changes so far. Each has a value of its own.
    changes: u64,
    figures: Figures,
}

impl Lane {
    pub fn new(random: Random) -> Self {
        let places = |caller| (0..PLACES).map(|place| Place::new(&format!("c{caller}_p{place}"))).collect();
        Self {
            random,
            runtime: Rc::new(Builder::new_current_thread().enable_all().build().expect("a runtime")),
            folder: tempfile::tempdir().expect("a temporary folder"),
            kills: 0,
            started: false,
            places: (0..CALLERS).map(places).collect(),
            shared: None,
            sightings: Sightings::default(),
            revision: 0,
            changes: 0,
            figures: Figures::default(),
        }
    }

    /// Kills servers until there are enough kills, and returns the figures.
    pub fn run(mut self, left: &Rounds) -> Figures {
        while left.take() {
            if self.kills == KILLS_OF_A_FOLDER {
                self.finish();
                self = Self { figures: self.figures, ..Self::new(self.random.split()) };
            }
            self.kills += 1;
            self.round();
        }
        self.finish();
        self.figures
    }

    fn round(&mut self) {
        let moment = Moment::choose(&mut self.random, !self.started);
        if let Moment::Starting(after) = moment {
            self.figures.during_start += 1;
            return Launch::durable(self.folder.path()).cut_short(after);
        }
        let server = self.start();
        match moment {
            Moment::Acknowledged(_) | Moment::UnderLoad(_) => self.figures.under_load += 1,
            Moment::Stopping(..) => self.figures.during_stop += 1,
            Moment::Ready | Moment::Starting(_) => {
                self.figures.after_start += 1;
                server.kill();
                return;
            }
        }
        self.look(&server);
        let runtime = self.runtime.clone();
        let mut load = runtime.block_on(Load::begin(
            &server,
            std::mem::take(&mut self.places),
            &mut self.random,
            self.changes,
        ));
        let done = runtime.block_on(async {
            match moment {
                Moment::Acknowledged(changes) | Moment::Stopping(changes, _) => {
                    load.acknowledged(changes).await
                }
                Moment::UnderLoad(after) => tokio::time::sleep(after).await, // chooses the moment; it waits for nothing
                Moment::Ready | Moment::Starting(_) => {}
            }
            if let Moment::Stopping(_, after) = moment {
                server.signal("TERM");
                tokio::time::sleep(after).await;
            }
            server.kill();
            load.end().await
        });
        let shared = self.shared.as_mut().expect("it was made before the load");
        for (request, version) in &done.rotated {
            shared.acknowledged(request, *version);
        }
        shared.in_flight.extend(done.rotating);
        self.places = done.places;
        self.sightings = done.sightings;
        self.revision = self.revision.max(done.revision);
        self.changes = done.changes;
        self.figures.acknowledged += done.acknowledged;
    }

    /// Checks the folder a last time, and ends its server with SIGTERM.
    fn finish(&mut self) {
        let server = self.start();
        self.look(&server);
        self.runtime.block_on(server.stop());
    }

    fn start(&mut self) -> Server {
        self.started = true;
        Launch::durable(self.folder.path()).start()
    }

    /// Asserts that a server that has just started has the state it must have.
    fn look(&mut self, server: &Server) {
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            let root = Caller::root(server).await;
            let there = self.read(&root).await;
            let decided = self.decide(&there);
            self.repeat(&root, decided).await;
            match &mut self.shared {
                Some(shared) => decide_shared(&root, shared, &there[SHARED], &mut self.figures).await,
                None => {
                    let secret = root.create(SHARED, "first").await;
                    self.revision = self.revision.max(secret.revision);
                    self.shared = Some(Shared::made(&secret, "first"));
                }
            }
        });
    }

    /// Reads everything. Asserts that list and get agree, and that revisions advance.
    async fn read(&mut self, root: &Caller) -> There {
        let status = root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
        assert_eq!(status.damaged_records, 0);
        assert!(
            status.revision >= self.revision,
            "revision {} was told, and {} is there",
            self.revision,
            status.revision
        );
        self.revision = status.revision;
        let page = root.list(ListSecretsRequest { limit: Some(1000), ..list() }).await;
        assert_eq!((page.next_page_token.as_str(), status.secrets), ("", page.items.len() as u64));
        let ids: BTreeSet<_> = page.items.iter().map(|item| &item.id).collect();
        assert_eq!(ids.len(), page.items.len(), "two secrets with the same id: {:?}", page.items);
        let mut there = There::new();
        for item in page.items {
            let read = root.get(&item.name).await;
            let value = Value::of(&read);
            let redacted = strongroom::api::v1::Secret { value: item.value.clone(), ..read };
            assert_eq!(redacted, item, "get and list differ");
            there.insert(item.name.clone(), Kept { secret: item, value });
        }
        for name in self.places.iter().flatten().flat_map(|place| &place.names) {
            if !there.contains_key(name) {
                not_found(root.secrets().get_secret(get(name)).await, name);
            }
        }
        there
    }

    /// Asserts that the server has every acknowledged change, and decides which changes in flight were made.
    fn decide(&mut self, there: &There) -> Vec<Decided> {
        let mut decided = Vec::new();
        let mut known = usize::from(self.shared.is_some());
        for (caller, places) in self.places.iter_mut().enumerate() {
            for (at, place) in places.iter_mut().enumerate() {
                let before = place.kept.as_ref().map(|kept| kept.secret.id.clone());
                if let Some((change, made)) = place.decide(there) {
                    decided.push(Decided { caller, at, before, change, made });
                }
                known += usize::from(place.kept.is_some());
            }
        }
        assert_eq!(there.len(), known, "a secret that no caller made");
        let places = self.places.iter().flatten();
        let deleted: BTreeSet<_> = places.flat_map(|place| &place.deleted).map(String::as_str).collect();
        for kept in there.values() {
            assert!(!deleted.contains(kept.secret.id.as_str()), "deleted, and there again: {kept:?}");
        }
        std::mem::take(&mut self.sightings).assert_kept(there, &deleted);
        decided
    }

    /// Sends changes in flight again, where the reply tells their one outcome.
    async fn repeat(&mut self, root: &Caller, decided: Vec<Decided>) {
        for Decided { caller, at, before, change, made } in decided {
            if made {
                self.figures.made += 1;
            } else {
                self.figures.not_made += 1;
            }
            if !change.ask.can_be_repeated() {
                continue;
            }
            self.figures.repeated += 1;
            let place = &mut self.places[caller][at];
            let told = change.ask.send(root).await.expect("what was in flight is made, or was");
            match (made, &place.kept) {
                (true, Some(kept)) => {
                    assert_eq!(told.secret.as_ref(), Some(&kept.secret), "a second outcome")
                }
                (true, None) => assert_eq!(Some(&told.id), before.as_ref(), "a second outcome"),
                (false, _) => place.acknowledged(&change, &told),
            }
            assert_eq!(change.ask.send(root).await.expect("it is repeated"), told);
            if let Some(kept) = &place.kept {
                let read = root.get(&kept.secret.name).await;
                assert_eq!((read.version, read.revision), (kept.secret.version, kept.secret.revision));
            }
        }
    }
}

/// The outcome of a change that was in flight at a kill.
struct Decided {
    caller: usize,
    at: usize,
    /// The id of the secret that it changes.
    before: Option<String>,
    change: Change,
    made: bool,
}

/// Decides which rotations of the shared secret were made, and sends those again whose reply tells their outcome.
async fn decide_shared(root: &Caller, shared: &mut Shared, there: &Kept, figures: &mut Figures) {
    let newest = shared.version();
    let (in_flight, mut outcomes) = shared.decide(there);
    let made = shared.version() - newest;
    figures.made += u64::from(made);
    figures.not_made += in_flight.len() as u64 - u64::from(made);
    for request in in_flight {
        let ask = Ask::Rotate(request.clone());
        if !ask.can_be_repeated() {
            continue;
        }
        figures.repeated += 1;
        let told = ask.send(root).await.expect("what was in flight is made, or was");
        assert_eq!(ask.send(root).await.expect("it is repeated"), told);
        let version = told.secret.expect("a rotation has it").version;
        assert!(outcomes.insert(version), "version {version} was already made");
        if version > there.secret.version {
            shared.acknowledged(&request, version);
        }
    }
    let read = root.get(SHARED).await;
    assert_eq!(read.version, shared.version(), "a request that was repeated was made twice");
}
