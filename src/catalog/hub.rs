//! Tells watchers of the events of changes, as the catalog applies the changes.
//!
//! Each watched namespace has a channel, and each watched tree of namespaces has one. A channel is made for its first watcher
//! and goes with its last one. A change sends its events to the channel of its namespace, and to those of the trees that it
//! is in, and wakes nobody else. A watcher that falls behind its channel reads the history in the store instead. So do all
//! watchers once the events that wait for slow ones take too much memory.
//!
//! *Always:* a subscription that begins at a revision receives every event of its channel after that revision, or learns that
//! it missed some. So the events of a change are sent, and the revision is made known, under one lock.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::crypto::{Error, Keyring, open_event};
use crate::domain::{Namespace, Revision, SecretEvent};
use crate::limits::{Counted, Counter};
use crate::schema::NamespaceId;
use crate::store::{Change, Key};

/// How many changes a channel holds for a watcher that has yet to receive them.
const BEHIND: usize = 64;
/// How many bytes of events all channels hold, as the records of the events count them.
const WAITING_BYTES: usize = 16 << 20;

/// The channels of the watchers.
pub(super) struct EventHub {
    /// The newest revision that every read sees, and whose events were sent.
    reached: watch::Sender<Revision>,
    channels: Mutex<Channels>,
    /// The bytes of the events that some watcher has yet to receive.
    waiting: Arc<Counter>,
    appended: AtomicU64,
    removed: AtomicU64,
}

type Channels = HashMap<Watched, broadcast::Sender<Delivery>>;

/// The namespaces of a channel.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Watched {
    /// One namespace.
    Namespace(Namespace),
    /// A namespace and those below it.
    Tree(Namespace),
}

/// The events of one change on a channel. They have one revision.
pub type Delivery = Result<Arc<ChangeEvents>, EventDamaged>;

/// The events of one change on a channel, counted among those that wait for as long as they are held.
pub struct ChangeEvents {
    events: Box<[SecretEvent]>,
    _waiting: Counted,
}

impl Deref for ChangeEvents {
    type Target = [SecretEvent];

    fn deref(&self) -> &Self::Target {
        &self.events
    }
}

/// An event in a change cannot be opened.
#[derive(Debug, Clone, Copy)]
pub struct EventDamaged;

/// How many events the history of the store has got and lost since the catalog was loaded.
#[derive(Debug, Clone, Copy)]
pub struct HistoryChanges {
    /// Events that were appended.
    pub appended: u64,
    /// Events that were removed.
    pub removed: u64,
}

impl EventHub {
    pub(super) fn new(reached: Revision) -> Arc<Self> {
        Arc::new(Self {
            reached: watch::Sender::new(reached),
            channels: Mutex::default(),
            waiting: Counter::new("bytes of events", WAITING_BYTES),
            appended: AtomicU64::new(0),
            removed: AtomicU64::new(0),
        })
    }

    pub(super) fn reached(&self) -> Revision {
        *self.reached.borrow()
    }

    pub(super) fn reaches(&self) -> watch::Receiver<Revision> {
        self.reached.subscribe()
    }

    /// The events of a channel from now on.
    pub(super) fn subscribe(self: &Arc<Self>, watched: Watched) -> Subscription {
        let mut channels = self.lock();
        let sender = channels.entry(watched.clone()).or_insert_with(|| broadcast::Sender::new(BEHIND));
        let (events, after) = (sender.subscribe(), self.reached());
        Subscription { hub: self.clone(), watched, events: Some(events), after }
    }

    /// Makes a change known that this service made and the catalog has applied. `position` is that of its events.
    pub(super) fn publish(
        &self,
        keyring: &Keyring,
        change: &Change,
        position: u64,
        namespace_of: impl Fn(NamespaceId) -> Option<Namespace>,
    ) {
        // A rekey puts events again, at the positions that they had.
        let new = |key: &Key| key.appended_position() == Some(position);
        let mut events = change.put.iter().filter(|(key, _)| new(key)).peekable();
        let removed = change.delete.iter().filter(|key| key.appended_position().is_some()).count();
        self.removed.fetch_add(count(removed), Ordering::Relaxed);
        if events.peek().is_none() {
            self.reached.send_replace(change.revision);
            return;
        }
        let mut channels = self.lock();
        if channels.is_empty() {
            self.appended.fetch_add(count(events.count()), Ordering::Relaxed);
        } else {
            let mut by_namespace: HashMap<Namespace, Opened> = HashMap::new();
            let mut damaged = false;
            for (_, record) in events {
                self.appended.fetch_add(1, Ordering::Relaxed);
                match open(keyring, record, change.revision, &namespace_of) {
                    Ok(event) => {
                        let opened = by_namespace.entry(event.secret.namespace.clone()).or_default();
                        opened.bytes += record.len();
                        opened.events.push(event);
                    }
                    Err(error) => {
                        tracing::error!(cause = %error, revision = change.revision.0, "an event cannot be opened: watches end");
                        damaged = true;
                    }
                }
            }
            if damaged {
                channels.values().for_each(|channel| drop(channel.send(Err(EventDamaged))));
            }
            if self.send(&channels, by_namespace).is_err() {
                // Every watcher receives what its channel has, learns that it misses the rest, and reads that from the store.
                channels.clear();
            }
        }
        self.reached.send_replace(change.revision);
    }

    /// Makes a change known that something else made: it has no events.
    pub(super) fn publish_foreign(&self, revision: Revision) {
        self.reached.send_replace(revision);
    }

    /// Goes to a revision to which no change led. Every subscription ends.
    pub(super) fn restart(&self, reached: Revision) {
        let mut channels = self.lock();
        channels.clear();
        self.reached.send_replace(reached);
    }

    /// How many events the history has got and lost.
    pub(super) fn history_changes(&self) -> HistoryChanges {
        HistoryChanges {
            appended: self.appended.load(Ordering::Relaxed),
            removed: self.removed.load(Ordering::Relaxed),
        }
    }

    /// Sends the events of a change to the channels that they belong to. The events of one change reach a channel together. Fails
    /// where they have no room: some channels may not have got them.
    fn send(&self, channels: &Channels, by_namespace: HashMap<Namespace, Opened>) -> Result<(), NoRoom> {
        let several = by_namespace.len() > 1;
        let mut of_trees: HashMap<Namespace, Opened> = HashMap::new();
        for (namespace, opened) in by_namespace {
            for above in namespace.and_above().filter(|_| several) {
                if channels.contains_key(&Watched::Tree(above.clone())) {
                    let of_tree = of_trees.entry(above).or_default();
                    of_tree.bytes += opened.bytes;
                    of_tree.events.extend(opened.events.iter().cloned());
                }
            }
            let trees = namespace.and_above().filter(|_| !several).map(Watched::Tree);
            let watched = trees.chain([Watched::Namespace(namespace.clone())]);
            self.send_to(watched.filter_map(|watched| channels.get(&watched)), opened)?;
        }
        for (top, opened) in of_trees {
            self.send_to(channels.get(&Watched::Tree(top)).into_iter(), opened)?;
        }
        Ok(())
    }

    /// Sends the same events to channels, if there are any.
    fn send_to<'a>(
        &self,
        channels: impl Iterator<Item = &'a broadcast::Sender<Delivery>>,
        opened: Opened,
    ) -> Result<(), NoRoom> {
        let mut channels = channels.peekable();
        if channels.peek().is_none() {
            return Ok(());
        }
        let mut waiting = self.waiting.nothing();
        if !waiting.grow(opened.bytes) {
            return Err(NoRoom);
        }
        let events = Arc::new(ChangeEvents { events: opened.events.into(), _waiting: waiting });
        // Nobody may be there any more.
        channels.for_each(|channel| drop(channel.send(Ok(events.clone()))));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events of a change, and the bytes of their records.
#[derive(Default)]
struct Opened {
    events: Vec<SecretEvent>,
    bytes: usize,
}

/// Too many bytes of events wait for slow watchers.
struct NoRoom;

fn open(
    keyring: &Keyring,
    record: &[u8],
    revision: Revision,
    namespace_of: impl Fn(NamespaceId) -> Option<Namespace>,
) -> Result<SecretEvent, Error> {
    let record = open_event(keyring, record)?;
    let namespace = record.namespace_id().and_then(namespace_of).ok_or(Error::Integrity)?;
    record.event(&namespace, revision).ok_or(Error::Integrity)
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

/// The events of a channel after a revision, in order.
pub struct Subscription {
    hub: Arc<EventHub>,
    watched: Watched,
    /// `None` only while this is dropped.
    events: Option<broadcast::Receiver<Delivery>>,
    after: Revision,
}

/// Events of a channel were missed: the subscriber was too slow, or the store was loaded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventsMissed;

impl Subscription {
    /// The revision after which it receives every event.
    pub fn after(&self) -> Revision {
        self.after
    }

    /// Waits for the events of the next change. Can be cancelled and called again.
    pub async fn next(&mut self) -> Result<Delivery, EventsMissed> {
        match &mut self.events {
            Some(events) => events.recv().await.map_err(|_| EventsMissed),
            None => Err(EventsMissed),
        }
    }

    /// The events of the next change that are there already; `Ok(None)`: there are none.
    pub fn try_next(&mut self) -> Result<Option<Delivery>, EventsMissed> {
        use broadcast::error::TryRecvError::{Closed, Empty, Lagged};
        let Some(events) = &mut self.events else { return Err(EventsMissed) };
        match events.try_recv() {
            Ok(delivery) => Ok(Some(delivery)),
            Err(Empty) => Ok(None),
            Err(Closed | Lagged(_)) => Err(EventsMissed),
        }
    }
}

/// The channel goes with its last subscriber.
impl Drop for Subscription {
    fn drop(&mut self) {
        let mut channels = self.hub.lock();
        self.events = None;
        if channels.get(&self.watched).is_some_and(|channel| channel.receiver_count() == 0) {
            channels.remove(&self.watched);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{MasterKeys, seal_event};
    use crate::domain::{
        Description, EventType, ExpiryTold, Metadata, NewEvent, Secret, SecretId, SecretName, Timestamp,
        Version, Versions,
    };

    const ONE: NamespaceId = NamespaceId([1; 16]);
    const INNER: NamespaceId = NamespaceId([2; 16]);

    fn namespace(text: &str) -> Namespace {
        Namespace::parse(text).unwrap()
    }

    fn name_of(id: NamespaceId) -> Option<Namespace> {
        match id {
            ONE => Some(namespace("a")),
            INNER => Some(namespace("a/b/c")),
            _ => None,
        }
    }

    fn record(keyring: &Keyring, id: NamespaceId, name: &str) -> Vec<u8> {
        let at = Timestamp::from_micros(1);
        let secret = Secret {
            namespace: namespace("ignored"),
            name: SecretName::parse(name).unwrap(),
            id: SecretId::generate(),
            description: Description::default(),
            metadata: Metadata::default(),
            version: 1,
            versions: Versions::first(Version::new(1, at, None)),
            created_at: at,
            updated_at: at,
            rotated_at: None,
            expires_at: None,
            expiry_told: ExpiryTold::Nothing,
            rotation: None,
            deletion: None,
            revision: Revision(0),
            stored_at: Revision(0),
            last_read: None,
        };
        let event = SecretEvent {
            kind: EventType::Created,
            at,
            secret: Arc::new(secret),
            former_name: None,
            former_metadata: None,
            revision: Revision(0),
        };
        seal_event(keyring, id, &NewEvent::from(&event)).unwrap()
    }

    /// What is there for a subscriber: the revision and the names of each change.
    fn received(events: &mut Subscription) -> Vec<(u64, Vec<String>)> {
        let mut all = Vec::new();
        while let Ok(Some(Ok(events))) = events.try_next() {
            all.push((
                events[0].revision.0,
                events.iter().map(|event| event.secret.name.to_string()).collect(),
            ));
        }
        all
    }

    #[test]
    fn a_change_reaches_the_channels_of_its_namespace_and_of_the_trees_around_it_alone() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let hub = EventHub::new(Revision(5));
        let publish = |revision: u64, events: &[(NamespaceId, &str)], position: u64| {
            let put = (0..).zip(events);
            let put = put.map(|(nth, (id, name))| (Key::appended_at(7, nth), record(&keyring, *id, name)));
            let change = Change { revision: Revision(revision), put: put.collect(), delete: Vec::new() };
            hub.publish(&keyring, &change, position, name_of);
        };
        publish(6, &[(ONE, "before")], 7);
        assert_eq!(hub.history_changes().appended, 1);
        let tree = |text| Watched::Tree(namespace(text));
        let all = [
            Watched::Namespace(namespace("a")),
            Watched::Namespace(namespace("b")),
            tree("a"),
            tree("a/b"),
            tree("a/b/c"),
        ];
        let mut all = all.map(|watched| hub.subscribe(watched));
        assert!(all.iter().all(|events| events.after() == Revision(6)));
        publish(7, &[(ONE, "one")], 7);
        publish(8, &[(INNER, "inner")], 7);
        publish(9, &[(INNER, "x"), (ONE, "y")], 7);
        publish(10, &[(ONE, "sealed_again")], 8); // puts a record that had its place before
        assert_eq!((hub.reached(), hub.history_changes().appended), (Revision(10), 5));
        let of = |revision: u64, names: &[&str]| {
            (revision, names.iter().map(|name| name.to_string()).collect::<Vec<_>>())
        };
        let mut got = all.each_mut().map(received);
        got[2][2].1.sort(); // of one change, in any order
        let inner = vec![of(8, &["inner"]), of(9, &["x"])];
        let expected = [
            vec![of(7, &["one"]), of(9, &["y"])],
            vec![],
            vec![of(7, &["one"]), of(8, &["inner"]), of(9, &["x", "y"])],
            inner.clone(),
            inner,
        ];
        assert_eq!(got, expected);

        // A channel goes with its last subscriber.
        let mut all = Vec::from(all);
        drop(all.drain(..4));
        assert_eq!(hub.lock().len(), 1);
        let second = hub.subscribe(tree("a/b/c"));
        drop(all);
        assert_eq!(hub.lock().len(), 1);
        drop(second);
        assert!(hub.lock().is_empty());
    }

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Wakes(std::sync::atomic::AtomicUsize);

    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_change_wakes_each_watcher_of_its_namespace_once_and_no_other() {
        const WATCHERS: usize = 1000;
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let hub = EventHub::new(Revision(5));
        let watched = [
            Watched::Namespace(namespace("a")),
            Watched::Namespace(namespace("a/b/c")),
            Watched::Namespace(namespace("b")),
            Watched::Tree(namespace("b")),
        ];
        let wakes = watched.each_ref().map(|_| Arc::new(Wakes::default()));
        let mut watchers: Vec<Vec<_>> =
            watched.map(|watched| (0..WATCHERS).map(|_| hub.subscribe(watched.clone())).collect()).into();
        let mut waiting: Vec<_> = watchers
            .iter_mut()
            .map(|of| of.iter_mut().map(|one| Box::pin(one.next())).collect::<Vec<_>>())
            .collect();
        for (of, wakes) in waiting.iter_mut().zip(&wakes) {
            let waker = std::task::Waker::from(wakes.clone());
            for next in of {
                assert!(next.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
            }
        }
        let put = vec![(Key::appended_at(7, 0), record(&keyring, ONE, "a"))];
        hub.publish(&keyring, &Change { revision: Revision(6), put, delete: Vec::new() }, 7, name_of);
        let woken = wakes.each_ref().map(|wakes| wakes.0.load(Ordering::Relaxed));
        assert_eq!(woken, [WATCHERS, 0, 0, 0]);

        // The event was opened once, and all watchers share it.
        drop(waiting);
        let [of_namespace, others @ ..] = watchers.as_mut_slice() else { panic!("four kinds") };
        let mut shared: Option<Arc<ChangeEvents>> = None;
        for watcher in of_namespace {
            let events = watcher.try_next().unwrap().unwrap().unwrap();
            assert!(watcher.try_next().unwrap().is_none());
            assert!(shared.is_none_or(|shared| Arc::ptr_eq(&shared, &events)));
            shared = Some(events);
        }
        for watcher in others.iter_mut().flatten() {
            assert!(watcher.try_next().unwrap().is_none());
        }
    }

    #[test]
    fn who_missed_something_is_told_so() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let hub = EventHub::new(Revision(5));
        let change = |revision: u64, record: Vec<u8>| {
            let put = vec![(Key::appended_at(7, 0), record)];
            Change { revision: Revision(revision), put, delete: vec![Key::appended_at(1, 0)] }
        };
        let watched = || Watched::Namespace(namespace("a"));
        let (mut slow, mut damaged) = (hub.subscribe(watched()), hub.subscribe(watched()));
        hub.publish(&keyring, &change(6, b"no event".to_vec()), 7, name_of);
        assert!(matches!(damaged.try_next(), Ok(Some(Err(EventDamaged)))));
        hub.publish(
            &keyring,
            &change(7, record(&keyring, NamespaceId([9; 16]), "of_no_namespace")),
            7,
            name_of,
        );
        assert!(matches!(damaged.try_next(), Ok(Some(Err(EventDamaged)))));
        for revision in 8..8 + BEHIND as u64 {
            hub.publish(&keyring, &change(revision, record(&keyring, ONE, "a")), 7, name_of);
        }
        assert!(matches!(slow.try_next(), Err(EventsMissed)));
        assert_eq!(hub.history_changes().removed, 2 + BEHIND as u64);

        drop((slow, damaged));
        assert_eq!(hub.waiting.used(), 0);
        let mut before = hub.subscribe(watched());
        hub.restart(Revision(1000));
        assert!(matches!(before.try_next(), Err(EventsMissed)));
        assert_eq!((hub.subscribe(watched()).after(), hub.reached()), (Revision(1000), Revision(1000)));
    }

    #[test]
    fn events_without_room_are_left_to_the_store() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let hub = EventHub::new(Revision(5));
        let publish = |revision: u64| {
            let put = vec![(Key::appended_at(7, 0), record(&keyring, ONE, "a"))];
            let change = Change { revision: Revision(revision), put, delete: Vec::new() };
            hub.publish(&keyring, &change, 7, name_of);
        };
        let watched = || Watched::Namespace(namespace("a"));
        let mut slow = hub.subscribe(watched());
        publish(6);
        let one = hub.waiting.used();
        assert!(one > 0);
        let mut others = hub.waiting.nothing();
        assert!(others.grow(WAITING_BYTES - 2 * one));
        publish(7);
        publish(8);
        // What there was room for arrives, and then the watcher knows that it missed something.
        assert_eq!(received(&mut slow).iter().map(|(revision, _)| *revision).collect::<Vec<_>>(), [6, 7]);
        assert!(matches!(slow.try_next(), Err(EventsMissed)));
        assert_eq!((hub.reached(), hub.waiting.used()), (Revision(8), WAITING_BYTES - 2 * one));
        let mut next = hub.subscribe(watched());
        assert_eq!(next.after(), Revision(8));
        publish(9);
        assert_eq!(received(&mut next).len(), 1);
        drop(others);
        assert_eq!(hub.waiting.used(), 0);
    }
}
