//! The digest, which every store carries on from what it holds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::key;
use crate::store::{Changed, CommitError, Digester, Expect, Key, MAX_OPERATIONS, Store, Transaction};

/// Keeps how many commits there were, and the XOR of the hashes of all keys and values.
struct Sum;

impl Digester for Sum {
    fn covers(&self, key: &Key) -> bool {
        key.as_bytes().first() == Some(&b't')
    }

    fn after(&self, before: &[u8], changed: &[Changed<'_>]) -> Option<Vec<u8>> {
        let (commits, mut sum) = decode(before)?;
        for Changed { key, before, after } in changed {
            sum = before.iter().chain(after).fold(sum, |sum, value| sum ^ hash(key, value));
        }
        Some(encode(commits + 1, sum))
    }
}

fn encode(commits: u64, sum: u64) -> Vec<u8> {
    [commits.to_be_bytes(), sum.to_be_bytes()].concat()
}

fn decode(digest: &[u8]) -> Option<(u64, u64)> {
    let (commits, sum) = digest.split_first_chunk()?;
    Some((u64::from_be_bytes(*commits), u64::from_be_bytes(sum.try_into().ok()?)))
}

fn hash(key: &Key, value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

fn digested(transaction: Transaction) -> Transaction {
    Transaction { digester: Some(Arc::new(Sum)), ..transaction }
}

fn put(names: impl Iterator<Item = usize>, value: &[u8]) -> Transaction {
    let put = names.map(|name| (key(&name.to_string()), value.to_vec())).collect();
    digested(Transaction { put, ..Transaction::default() })
}

/// How many commits the digest has counted, once it fits what the store holds.
async fn counted(store: &dyn Store) -> u64 {
    let digest = store.get(&Key::digest()).await.unwrap().unwrap();
    let (commits, sum) = decode(&digest.value).unwrap();
    let all = store.scan(&Key::from_bytes(b"t"), None, 10_000).await.unwrap();
    assert_eq!(all.iter().fold(0, |sum, (key, entry)| sum ^ hash(key, &entry.value)), sum);
    commits
}

pub(super) async fn a_digest_is_carried_on_by_commits_of_any_size(store: Arc<dyn Store>) {
    assert!(matches!(store.commit(put(0..1, b"1")).await, Err(CommitError::NoDigest)));
    let first = vec![(Key::digest(), encode(0, 0))];
    store.commit(Transaction { put: first, ..Transaction::default() }).await.unwrap();
    store.commit(put(0..1, b"1")).await.unwrap();

    let made = store.commit(put(0..MAX_OPERATIONS, b"2")).await.unwrap();
    let mut all = put(0..MAX_OPERATIONS, b"3");
    all.require = all.put.iter().map(|(key, _)| (key.clone(), Expect::At(made))).collect();
    store.commit(all.clone()).await.unwrap();
    assert!(matches!(store.commit(all).await, Err(CommitError::Conflict(_))));
    let delete = (0..MAX_OPERATIONS).step_by(2).map(|name| key(&name.to_string())).collect();
    store.commit(digested(Transaction { delete, ..Transaction::default() })).await.unwrap();
    // A commit that changes nothing carries nothing on.
    store.commit(digested(Transaction::default())).await.unwrap();
    assert_eq!(counted(&*store).await, 4);
}

pub(super) async fn a_digest_is_carried_on_by_writers_at_once(store: Arc<dyn Store>) {
    let first = vec![(Key::digest(), encode(0, 0))];
    store.commit(Transaction { put: first, ..Transaction::default() }).await.unwrap();
    let writers: Vec<_> = (0..8_usize)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for step in 0..20_usize {
                    // Keys that others write too.
                    let names = [(writer + step) % 5, (writer * step) % 7].map(|name| name.to_string());
                    let [a, b] = names.each_ref().map(|name| key(name));
                    let mut transaction = Transaction::default();
                    if step % 4 == 3 {
                        transaction.delete.push(a);
                    } else {
                        transaction.put.push((a.clone(), vec![writer as u8, step as u8]));
                        if a != b {
                            transaction.put.push((b, vec![step as u8]));
                        }
                    }
                    store.commit(digested(transaction)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(counted(&*store).await, 160);
}
