//! The changes that the writers make. All of them follow from a seed: the seed and the number of a writer's changes give
//! the exact bytes that must be stored.

use std::collections::BTreeMap;
use strongroom::store::MAX_OPERATIONS;

/// The load of a scenario.
#[derive(Clone, Copy)]
pub struct Shape {
    /// The number of writers at the same time. Each writes only keys of its own.
    pub writers: usize,
    /// The number of changes that each writer makes before the store is closed or killed.
    pub changes: u64,
    /// The number of secrets of each writer, and the number of them that one change touches.
    pub secrets: u64,
    pub touched: u64,
    /// The shortest and the longest value of a version, in bytes.
    pub value: (usize, usize),
    /// After this many changes each writer deletes all its keys, or as many as one change may.
    pub purge: u64,
}

/// One change: made as a whole or not at all.
pub struct Step {
    pub put: Vec<(Vec<u8>, Vec<u8>)>,
    pub delete: Vec<Vec<u8>>,
}

/// The keys of a change.
#[derive(Default)]
struct Keys {
    put: Vec<Vec<u8>>,
    delete: Vec<Vec<u8>>,
}

/// A writer's keys after a number of changes.
pub struct Writer {
    shape: Shape,
    seed: u64,
    number: usize,
    /// The number of changes it has made.
    pub made: u64,
    /// Its keys, each with the change that put it.
    keys: BTreeMap<Vec<u8>, u64>,
}

impl Writer {
    pub fn new(shape: Shape, seed: u64, number: usize) -> Self {
        Self { shape, seed, number, made: 0, keys: BTreeMap::new() }
    }

    /// The prefix of a writer's keys.
    pub fn prefix(number: usize) -> Vec<u8> {
        format!("w{number:02}/").into_bytes()
    }

    /// The next change. It counts as made; the caller finds out whether it really was.
    pub fn step(&mut self) -> Step {
        let Keys { put, delete } = self.advance();
        let put = put.into_iter().map(|key| (key.clone(), self.value(&key, self.made))).collect();
        Step { put, delete }
    }

    /// Counts the next change as made, without computing its values.
    pub fn skip(&mut self) {
        self.advance();
    }

    fn advance(&mut self) -> Keys {
        self.made += 1;
        let mut random = Random::new(&[self.seed, self.number as u64, self.made]);
        let mut keys = Keys::default();
        if self.made.is_multiple_of(self.shape.purge) {
            keys.delete = self.keys.keys().take(MAX_OPERATIONS).cloned().collect();
        } else {
            let first = random.below(self.shape.secrets);
            for secret in (first..).take(self.shape.touched as usize) {
                self.change(secret % self.shape.secrets, &mut random, &mut keys);
            }
        }
        for key in &keys.put {
            self.keys.insert(key.clone(), self.made);
        }
        for key in &keys.delete {
            self.keys.remove(key);
        }
        keys
    }

    /// Creates a secret, or rotates or deletes it: a name, a secret and its versions change together.
    fn change(&self, secret: u64, random: &mut Random, keys: &mut Keys) {
        let of =
            |kind: &str| [Self::prefix(self.number), format!("{kind}/{secret:03}/").into_bytes()].concat();
        let (name, record, versions) = (of("name"), of("secret"), of("version"));
        let version = [versions.as_slice(), &self.made.to_be_bytes()].concat();
        let held = self.keys.range(versions.clone()..).map(|(key, _)| key.clone());
        let mut held: Vec<_> = held.take_while(|key| key.starts_with(&versions)).collect();

        if !self.keys.contains_key(&name) {
            keys.put.extend([name, record, version]);
        } else if random.below(4) > 0 {
            keys.put.extend([record, version]);
            if held.len() > 2 {
                keys.delete.push(held.swap_remove(0));
            }
        } else {
            keys.delete.extend(held.into_iter().chain([name, record]));
        }
    }

    fn value(&self, key: &[u8], change: u64) -> Vec<u8> {
        let of_key =
            key.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(131).wrapping_add(u64::from(*byte)));
        let mut random = Random::new(&[self.seed, change, of_key]);
        let is_version = key.starts_with(&[Self::prefix(self.number), b"version".to_vec()].concat());
        random.bytes(if is_version { self.shape.value } else { (50, 300) })
    }

    /// Whether exactly these keys and values are stored, and no others.
    pub fn is(&self, stored: &BTreeMap<Vec<u8>, Vec<u8>>) -> bool {
        self.keys.len() == stored.len()
            && self
                .keys
                .iter()
                .all(|(key, change)| stored.get(key).is_some_and(|held| *held == self.value(key, *change)))
    }
}

/// Numbers that look random and follow from a seed (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seeds: &[u64]) -> Self {
        let mut random = Self(0x5eed);
        for seed in seeds {
            random.0 ^= *seed;
            random.0 = random.next();
        }
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn bytes(&mut self, (least, most): (usize, usize)) -> Vec<u8> {
        let length = least + self.below((most - least + 1) as u64) as usize;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}
