//! The state that a server must have: every acknowledged change, and each change in flight at a kill whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use strongroom::api::v1::{RotateSecretRequest, Secret};

use super::change::{Change, Kept, Told, alteration, creation};
use super::random::Random;
use crate::requests::Value;

/// The secrets that a server has, by name.
pub type There = BTreeMap<String, Kept>;

/// The place of one secret, which one caller changes. It has one of two names, or does not exist.
pub struct Place {
    pub names: [String; 2],
    pub kept: Option<Kept>,
    /// The change that was in flight when the server was killed.
    pub in_flight: Option<Change>,
    /// The ids of the deleted secrets that were in this place.
    pub deleted: Vec<String>,
}

impl Place {
    pub fn new(name: &str) -> Self {
        Self {
            names: ["a", "b"].map(|which| format!("{name}_{which}")),
            kept: None,
            in_flight: None,
            deleted: Vec::new(),
        }
    }

    /// Chooses the next change.
    pub fn plan(&self, random: &mut Random, number: u64) -> Change {
        let Some(kept) = &self.kept else {
            let name = &self.names[random.below(2) as usize];
            return creation(random, name, number);
        };
        let other = self.names.iter().find(|name| **name != kept.secret.name).expect("two names");
        alteration(random, kept, other, number)
    }

    /// Takes over the state from the reply to a change.
    pub fn acknowledged(&mut self, change: &Change, told: &Told) {
        let before = self.kept.take();
        match (&change.then, &told.secret) {
            (Some(then), Some(secret)) => {
                then.assert_is(secret);
                assert_eq!(told.revision, secret.revision);
                self.kept = Some(Kept { secret: secret.clone(), value: then.value.clone() });
            }
            (None, None) => {
                let before = before.expect("only what is there is deleted").secret;
                assert_eq!(told.id, before.id);
                assert!(told.revision > before.revision);
                self.deleted.push(before.id);
            }
            _ => panic!("a reply of another kind: {told:?}"),
        }
    }

    /// Asserts that the server has the state it must have, decides whether the change in flight was made, and returns it.
    pub fn decide(&mut self, there: &There) -> Option<(Change, bool)> {
        let found: Vec<_> = self.names.iter().filter_map(|name| there.get(name)).collect();
        assert!(found.len() < 2, "one secret under two names: {found:?}");
        let found = found.first().copied();
        if found == self.kept.as_ref() {
            return self.in_flight.take().map(|change| (change, false));
        }
        let Some(change) = self.in_flight.take() else {
            panic!("acknowledged and lost:\n  {:?}\nthere is\n  {found:?}", self.kept);
        };
        match (&change.then, found) {
            (Some(then), Some(kept)) => {
                then.assert_is(&kept.secret);
                assert_eq!(kept.value, then.value, "the value is not that of its version");
                self.kept = Some(kept.clone());
            }
            (None, None) => self.deleted.extend(self.kept.take().map(|kept| kept.secret.id)),
            (then, found) => panic!("half of a change: {then:?} was asked for, there is {found:?}"),
        }
        Some((change, true))
    }
}

/// The secret that all callers rotate.
#[derive(Default)]
pub struct Shared {
    id: String,
    /// The values of the versions that were acknowledged, and of the one that was there after the last kill.
    versions: BTreeMap<u32, Value>,
    pub in_flight: Vec<RotateSecretRequest>,
}

impl Shared {
    pub fn made(secret: &Secret, value: &str) -> Self {
        let versions = BTreeMap::from([(secret.version, Value::text(value))]);
        Self { id: secret.id.clone(), versions, in_flight: Vec::new() }
    }

    pub fn acknowledged(&mut self, request: &RotateSecretRequest, version: u32) {
        let other = self.versions.insert(version, sent(request));
        assert!(other.is_none(), "version {version} was acknowledged twice: {other:?}, {:?}", sent(request));
    }

    /// Asserts that the server has the version it must have. Returns the rotations in flight and the acknowledged versions:
    /// a later rotation can be acknowledged while the reply to an earlier one is lost by the kill.
    pub fn decide(&mut self, there: &Kept) -> (Vec<RotateSecretRequest>, BTreeSet<u32>) {
        let acknowledged = self.versions.keys().copied().collect();
        let in_flight = std::mem::take(&mut self.in_flight);
        let version = there.secret.version;
        assert_eq!(there.secret.id, self.id);
        let newest = *self.versions.keys().next_back().expect("it was made");
        assert!(version >= newest, "version {newest} was acknowledged, {version} is there");
        assert!(version - newest <= in_flight.len() as u32, "version {version} after {newest} is too many");
        match self.versions.get(&version) {
            Some(value) => assert_eq!(*value, there.value, "the value is not that of version {version}"),
            None => assert!(
                in_flight.iter().any(|request| sent(request) == there.value),
                "{:?} was not asked for",
                there.value
            ),
        }
        self.versions = BTreeMap::from([(version, there.value.clone())]);
        (in_flight, acknowledged)
    }

    /// The version that was there after the last kill.
    pub fn version(&self) -> u32 {
        *self.versions.keys().next_back().expect("it was made")
    }
}

fn sent(request: &RotateSecretRequest) -> Value {
    match request.value.clone().and_then(|mut value| value.kind.take()) {
        Some(strongroom::api::v1::secret_value::Kind::Text(text)) => Value::Text(text),
        _ => panic!("rotations are to text"),
    }
}

/// The newest revision of each secret that a reader saw, by id.
#[derive(Default)]
pub struct Sightings(BTreeMap<String, u64>);

impl Sightings {
    pub fn saw(&mut self, secret: &Secret) {
        let newest = self.0.entry(secret.id.clone()).or_default();
        *newest = secret.revision.max(*newest);
    }

    /// Asserts that every state that a reader saw is still there.
    pub fn assert_kept(self, there: &There, deleted: &BTreeSet<&str>) {
        for (id, revision) in self.0 {
            match there.values().find(|kept| kept.secret.id == id) {
                Some(kept) => assert!(
                    kept.secret.revision >= revision,
                    "a reader saw revision {revision} of {:?}, which is lost",
                    kept.secret
                ),
                None => assert!(deleted.contains(id.as_str()), "a reader saw {id}, which is lost"),
            }
        }
    }
}
