//! A store that was tampered with: it is refused as a whole, or serves what it held, or says of each record that was tampered
//! with that it is damaged. It never serves something else, and nothing is missing without an error.

mod sample_store;
mod tampering;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::sample_store::{CALLER, Contents, Observation, Observations, SampleStore};
use self::tampering::{Dice, Tampering, flips, lengths, places, replays};
use super::{App, CredentialProblem, Error, SetupError};
use crate::store::{self, Store, Transaction};

/// How many bits of a record are flipped. To flip all of them, and to do everything else too instead of a sample, run
/// `STRONGROOM_TAMPER=all cargo test --release --lib tamper -- --nocapture`.
const FLIPS: usize = 64;

/// How a caller is refused whose API key is damaged.
const UNKNOWN: &str = "Unauthenticated(Invalid)";

/// How many tamperings had which outcome, by kind of record and kind of tampering.
#[derive(Default)]
struct Tally(BTreeMap<(char, &'static str), OutcomeCounts>);

#[derive(Default)]
struct OutcomeCounts {
    /// The store was refused.
    refused: usize,
    /// Some requests were refused because a record is damaged.
    noticed: usize,
    /// Everything was served as before.
    harmless: usize,
}

impl Tally {
    fn of(&mut self, tampering: &Tampering) -> &mut OutcomeCounts {
        self.0.entry((tampering.kind, tampering.what)).or_default()
    }

    #[allow(clippy::print_stdout)] // for people to quote
    fn print(&self, title: &str) {
        let mut all = 0;
        for ((kind, what), OutcomeCounts { refused, noticed, harmless }) in &self.0 {
            all += refused + noticed + harmless;
            println!("{title}: {kind} {what}: {refused} refused, {noticed} noticed, {harmless} harmless");
        }
        println!("{title}: {all} tamperings");
    }
}

/// Compares what is served after a tampering with what was served before. `Ok(true)`: everything is the same. `Ok(false)`: the
/// rest is refused as damaged. An error: something else is served.
fn judge(before: &Observations, after: &Observations, damaged: usize) -> Result<bool, String> {
    let mut same = true;
    let caller_is_known = before[CALLER] == after[CALLER];
    for (question, expected) in before {
        let got = &after[question];
        if got == expected {
            continue;
        }
        same = false;
        let fits = match (expected, got) {
            (_, Observation::Integrity) => true,
            // A damaged record is in no list, and is counted.
            (Observation::Listed(expected), Observation::Listed(got)) => {
                damaged > 0 && got.iter().all(|item| expected.contains(item))
            }
            // A damaged API key is unknown.
            (Observation::Served(_), Observation::Refused(_)) if question.starts_with("authenticate") => {
                damaged > 0
            }
            // And with it the caller.
            (_, Observation::Refused(why)) if why == UNKNOWN => damaged > 0 && !caller_is_known,
            // A damaged binding gives its principal no right.
            (_, Observation::Refused(why)) => damaged > 0 && why.starts_with("Denied"),
            _ => false,
        };
        if !fits {
            return Err(format!("{question}: instead of {expected:?} there is {got:?}"));
        }
    }
    Ok(same)
}

/// Judges a store that was tampered with while nobody served it.
async fn judge_at_rest(
    sample: &SampleStore,
    before: &Observations,
    store: Arc<dyn Store>,
    counts: &mut OutcomeCounts,
) -> Result<(), String> {
    let app = match sample.open(store.clone()).await {
        Ok(app) => app,
        Err(SetupError::Altered | SetupError::WrongMasterKey | SetupError::KeyringMissing) => {
            counts.refused += 1;
            return Ok(());
        }
        Err(other) => return Err(format!("the store is refused with: {other}")),
    };
    if judged(sample, before, &app).await? {
        counts.harmless += 1;
    } else {
        counts.noticed += 1;
    }
    judge_afterwards(sample, before, app, store).await
}

/// Judges a store that is tampered with while it is served.
async fn judge_in_use(
    sample: &SampleStore,
    before: &Observations,
    store: Arc<dyn Store>,
    tampering: &Tampering,
    counts: &mut OutcomeCounts,
) -> Result<(), String> {
    let app = sample.open(store.clone()).await.unwrap();
    let mut transaction = Transaction::default();
    for (key, entry) in &tampering.changes {
        match entry {
            Some(entry) => transaction.put.push((key.clone(), entry.value.clone())),
            None => transaction.delete.push(key.clone()),
        }
    }
    let revision = store.commit(transaction).await.unwrap();
    app.core.catalog.at_least(revision).await.unwrap();
    if judged(sample, before, &app).await? {
        counts.harmless += 1;
    } else {
        counts.noticed += 1;
    }
    judge_afterwards(sample, before, app, store).await
}

async fn judged(sample: &SampleStore, before: &Observations, app: &App) -> Result<bool, String> {
    judge(before, &sample.observe(app).await, app.core.catalog.counts().damaged)
}

/// Judges the store once more after the service has worked on it: its own work and changes for callers must not hide the
/// tampering, and a change that is acknowledged must be readable.
async fn judge_afterwards(
    sample: &SampleStore,
    before: &Observations,
    app: Arc<App>,
    store: Arc<dyn Store>,
) -> Result<(), String> {
    let removed = app.idempotency.remove_expired().await;
    if let Err(error) = removed
        && !matches!(error, Error::Integrity)
    {
        return Err(format!("expired idempotency records are not removed: {error:?}"));
    }
    match sample.change(&app).await {
        Ok(()) => sample.confirm_change(&app).await?,
        Err(Error::Integrity) => {}
        Err(Error::Denied(_)) if app.core.catalog.counts().damaged > 0 => {}
        Err(Error::Unauthenticated(CredentialProblem::Invalid)) if !sample.knows_caller(&app) => {}
        Err(error) => return Err(format!("a change is refused with {error:?}")),
    }
    judged(sample, before, &app).await.map_err(|why| format!("after a change: {why}"))?;
    drop(app);
    match sample.open(store).await {
        Ok(app) => judged(sample, before, &app).await.map(drop).map_err(|why| format!("opened again: {why}")),
        Err(SetupError::Altered | SetupError::WrongMasterKey | SetupError::KeyringMissing) => Ok(()),
        Err(other) => Err(format!("the store is refused with: {other}")),
    }
}

fn all_are_wanted() -> bool {
    std::env::var("STRONGROOM_TAMPER").is_ok_and(|wanted| wanted == "all")
}

/// All tamperings with one record, and all replays: one in `one_in` of them, unless all are wanted.
fn tamperings(sample: &SampleStore, one_in: usize) -> Vec<Tampering> {
    let (contents, mut dice) = (sample.now(), Dice::new());
    let mut tamperings = replays(sample);
    for (key, entry) in contents {
        tamperings.extend(flips(key, entry, if all_are_wanted() { usize::MAX } else { FLIPS }, &mut dice));
        tamperings.extend(lengths(key, entry));
        tamperings.extend(places(contents, key, entry));
    }
    if !all_are_wanted() {
        tamperings.retain(|_| dice.below(one_in) == 0);
    }
    tamperings
}

/// Does each tampering to a store of its own, which `open` makes of its contents, and judges it. `served`: while it is served.
async fn try_all(
    title: &str,
    (sample, tamperings): (&SampleStore, Vec<Tampering>),
    served: bool,
    open: impl Fn(&Contents) -> Arc<dyn Store>,
) {
    let store = open(sample.now());
    let before = sample.observe(&sample.open(store.clone()).await.unwrap()).await;
    store.close().await;
    drop(store); // only one sled at a time can open its folder
    let (mut tally, mut failures) = (Tally::default(), BTreeMap::<_, Vec<_>>::new());
    for tampering in tamperings {
        let done = tampering.done_to(sample.now());
        let store = open(if served { sample.now() } else { &done });
        let tried = match served {
            true => judge_in_use(sample, &before, store.clone(), &tampering, tally.of(&tampering)).await,
            false => judge_at_rest(sample, &before, store.clone(), tally.of(&tampering)).await,
        };
        store.close().await;
        if let Err(why) = tried {
            failures.entry((tampering.kind, tampering.what)).or_default().push(why);
        }
    }
    tally.print(title);
    let failures = failures
        .iter()
        .map(|((kind, what), all)| format!("{kind} {what}: {} times, such as: {}", all.len(), all[0]));
    let failures: Vec<_> = failures.collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn tampering_with_a_store_at_rest_is_noticed() {
    let sample = SampleStore::prepare().await;
    let tamperings = tamperings(&sample, 16);
    let open = |contents: &Contents| store::open_memory_of(contents.clone(), sample.revision);
    try_all("at rest, memory", (&sample, tamperings), false, open).await;
}

#[tokio::test]
async fn tampering_with_a_store_in_use_is_noticed() {
    let sample = SampleStore::prepare().await;
    let tamperings = tamperings(&sample, 16);
    let open = |contents: &Contents| store::open_memory_of(contents.clone(), sample.revision);
    try_all("in use, memory", (&sample, tamperings), true, open).await;
}

#[tokio::test]
async fn tampering_with_a_store_in_sled_is_noticed() {
    let sample = SampleStore::prepare().await;
    let folder = tempfile::tempdir().unwrap();
    let open = |contents: &Contents| store::open_sled_of(folder.path(), contents, sample.revision);
    for (title, served) in [("at rest, sled", false), ("in use, sled", true)] {
        let tamperings = tamperings(&sample, 100); // each one opens sled twice
        try_all(title, (&sample, tamperings), served, open).await;
    }
}

/// The store alone does not tell that all of it is older than it was.
#[tokio::test]
async fn a_store_that_is_older_as_a_whole_is_that_store() {
    let sample = SampleStore::prepare().await;
    let older = sample.snapshots.iter().rev().nth(1).unwrap();
    let store = store::open_memory_of(older.clone(), sample.revision);
    let observed = sample.observe(&sample.open(store).await.unwrap()).await;
    assert!(!observed.values().any(|answer| *answer == Observation::Integrity));
}
