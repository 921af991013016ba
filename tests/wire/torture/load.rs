//! Callers that change secrets until their server is gone, and a reader beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom::api::v1::RotateSecretRequest;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};

use super::change::shared_rotation;
use super::lane::SHARED;
use super::model::{Place, Sightings};
use super::random::Random;
use crate::caller::Caller;
use crate::harness::{PATIENCE, Server};
use crate::refusal::gone;
use crate::requests::list;

pub struct Load {
    callers: JoinSet<Writer>,
    reader: JoinHandle<(Sightings, u64)>,
    progress: UnboundedReceiver<()>,
    changes: Arc<AtomicU64>,
}

/// The work of the callers until their server was gone.
pub struct Done {
    pub places: Vec<Vec<Place>>,
    pub rotated: Vec<(RotateSecretRequest, u32)>,
    pub rotating: Vec<RotateSecretRequest>,
    pub sightings: Sightings,
    pub revision: u64,
    pub changes: u64,
    pub acknowledged: u64,
}

impl Load {
    /// Starts a caller for each of these sets of places, each on a connection of its own.
    pub async fn begin(server: &Server, places: Vec<Vec<Place>>, random: &mut Random, changes: u64) -> Self {
        let (acknowledged, progress) = unbounded_channel();
        let changes = Arc::new(AtomicU64::new(changes));
        let mut callers = JoinSet::new();
        for places in places {
            let writer = Writer {
                caller: Caller::root(server).await,
                random: random.split(),
                changes: changes.clone(),
                progress: acknowledged.clone(),
                places,
                rotated: Vec::new(),
                rotating: None,
                revision: 0,
                acknowledged: 0,
            };
            callers.spawn(writer.work());
        }
        let reader = tokio::spawn(read(Caller::root(server).await));
        Self { callers, reader, progress, changes }
    }

    /// Waits for this many acknowledged changes.
    pub async fn acknowledged(&mut self, changes: u64) {
        for _ in 0..changes {
            let next = tokio::time::timeout(PATIENCE, self.progress.recv()).await;
            next.expect("the server answers").expect("the callers go on");
        }
    }

    /// Waits until all callers have noticed that the server is gone.
    pub async fn end(self) -> Done {
        let all = async { (self.callers.join_all().await, self.reader.await.expect("the reader ends")) };
        let (callers, (sightings, read)) =
            tokio::time::timeout(PATIENCE, all).await.expect("the callers learn that the server is gone");
        let mut done = Done {
            places: Vec::new(),
            rotated: Vec::new(),
            rotating: Vec::new(),
            sightings,
            revision: read,
            changes: self.changes.load(Ordering::Relaxed),
            acknowledged: 0,
        };
        for writer in callers {
            done.places.push(writer.places);
            done.rotated.extend(writer.rotated);
            done.rotating.extend(writer.rotating);
            done.revision = done.revision.max(writer.revision);
            done.acknowledged += writer.acknowledged;
        }
        done
    }
}

struct Writer {
    caller: Caller,
    random: Random,
    changes: Arc<AtomicU64>,
    progress: UnboundedSender<()>,
    places: Vec<Place>,
    rotated: Vec<(RotateSecretRequest, u32)>,
    rotating: Option<RotateSecretRequest>,
    revision: u64,
    acknowledged: u64,
}

impl Writer {
    async fn work(mut self) -> Self {
        loop {
            let number = self.changes.fetch_add(1, Ordering::Relaxed);
            let made = if self.random.one_in(6) {
                self.rotate_shared(number).await
            } else {
                self.change_place(number).await
            };
            let Some(revision) = made else { return self };
            assert!(revision > self.revision, "revision {revision} after {}", self.revision);
            self.revision = revision;
            self.acknowledged += 1;
            // Once the kill is on its way, nobody receives the count.
            let _ = self.progress.send(());
        }
    }

    async fn change_place(&mut self, number: u64) -> Option<u64> {
        let which = self.random.below(self.places.len() as u64) as usize;
        let place = &mut self.places[which];
        let change = place.plan(&mut self.random, number);
        match change.ask.send(&self.caller).await {
            Ok(told) => {
                place.acknowledged(&change, &told);
                Some(told.revision)
            }
            Err(status) => {
                gone(&status);
                place.in_flight = Some(change);
                None
            }
        }
    }

    async fn rotate_shared(&mut self, number: u64) -> Option<u64> {
        let request = shared_rotation(&mut self.random, SHARED, number);
        match self.caller.secrets().rotate_secret(request.clone()).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                self.rotated.push((request, reply.version));
                Some(reply.revision)
            }
            Err(status) => {
                gone(&status);
                self.rotating = Some(request);
                None
            }
        }
    }
}

/// Lists secrets until the server is gone. A change that a reader saw must not be lost, acknowledged or not.
async fn read(caller: Caller) -> (Sightings, u64) {
    let (mut sightings, mut newest) = (Sightings::default(), 0);
    loop {
        match caller.secrets().list_secrets(list()).await {
            Ok(page) => {
                let page = page.into_inner();
                assert!(page.revision >= newest, "revision {} after {newest}", page.revision);
                newest = page.revision;
                page.items.iter().for_each(|item| sightings.saw(item));
            }
            Err(status) => {
                gone(&status);
                return (sightings, newest);
            }
        }
    }
}
