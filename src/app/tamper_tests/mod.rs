//! A store that was tampered with: it is refused as a whole, or serves what it held, or says of each record that was tampered
//! with that it is damaged. It never serves something else, and nothing is missing without an error.

mod subject;
mod tampering;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::subject::{Contents, Observation, Observations, Subject};
use self::tampering::{Dice, Tampering, flips, lengths, places, replays};
use super::{App, Error, SetupError};
use crate::store::{self, Store, Transaction};

/// How many bits of a record are flipped. To flip all of them, and to do everything else too instead of a sample, run
/// `STRONGROOM_TAMPER=all cargo test --release --lib tamper -- --nocapture`.
const FLIPS: usize = 64;

/// How many tamperings had which outcome, by kind of record and kind of tampering.
#[derive(Default)]
struct Tally(BTreeMap<(char, &'static str), Counts>);

#[derive(Default)]
struct Counts {
    /// The store was refused.
    refused: usize,
    /// Some requests were refused because a record is damaged.
    noticed: usize,
    /// Everything was served as before.
    harmless: usize,
}

impl Tally {
    fn of(&mut self, tampering: &Tampering) -> &mut Counts {
        self.0.entry((tampering.kind, tampering.what)).or_default()
    }

    #[allow(clippy::print_stdout)] // for people to quote
    fn print(&self, title: &str) {
        let mut all = 0;
        for ((kind, what), Counts { refused, noticed, harmless }) in &self.0 {
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
            (Observation::Served(_), Observation::Refused(_)) => {
                damaged > 0 && question.starts_with("authenticate")
            }
            _ => false,
        };
        if !fits {
            return Err(format!("{question}: instead of {expected:?} there is {got:?}"));
        }
    }
    Ok(same)
}

/// Judges a store that was tampered with while nobody served it.
async fn at_rest(
    subject: &Subject,
    before: &Observations,
    store: Arc<dyn Store>,
    tally: &mut Counts,
) -> Result<(), String> {
    let app = match subject.open(store.clone()).await {
        Ok(app) => app,
        Err(SetupError::Altered | SetupError::WrongMasterKey | SetupError::KeyringMissing) => {
            tally.refused += 1;
            return Ok(());
        }
        Err(other) => return Err(format!("the store is refused with: {other}")),
    };
    if judged(subject, before, &app).await? {
        tally.harmless += 1;
    } else {
        tally.noticed += 1;
    }
    goes_on(subject, before, app, store).await
}

/// Judges a store that is tampered with while it is served.
async fn in_use(
    subject: &Subject,
    before: &Observations,
    store: Arc<dyn Store>,
    tampering: &Tampering,
    tally: &mut Counts,
) -> Result<(), String> {
    let app = subject.open(store.clone()).await.unwrap();
    let mut transaction = Transaction::default();
    for (key, entry) in &tampering.changes {
        match entry {
            Some(entry) => transaction.put.push((key.clone(), entry.value.clone())),
            None => transaction.delete.push(key.clone()),
        }
    }
    let revision = store.commit(transaction).await.unwrap();
    app.core.catalog.at_least(revision).await.unwrap();
    if judged(subject, before, &app).await? {
        tally.harmless += 1;
    } else {
        tally.noticed += 1;
    }
    goes_on(subject, before, app, store).await
}

async fn judged(subject: &Subject, before: &Observations, app: &App) -> Result<bool, String> {
    judge(before, &subject.observe(app).await, app.core.catalog.counts().damaged)
}

/// Judges the store once more after the service has worked on it: its own work and changes for callers must not hide the
/// tampering, and a change that is acknowledged must be readable.
async fn goes_on(
    subject: &Subject,
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
    match subject.change(&app).await {
        Ok(()) => subject.is_changed(&app).await?,
        Err(Error::Integrity) => {}
        Err(error) => return Err(format!("a change is refused with {error:?}")),
    }
    judged(subject, before, &app).await.map_err(|why| format!("after a change: {why}"))?;
    drop(app);
    match subject.open(store).await {
        Ok(app) => {
            judged(subject, before, &app).await.map(drop).map_err(|why| format!("opened again: {why}"))
        }
        Err(SetupError::Altered | SetupError::WrongMasterKey | SetupError::KeyringMissing) => Ok(()),
        Err(other) => Err(format!("the store is refused with: {other}")),
    }
}

fn all_are_wanted() -> bool {
    std::env::var("STRONGROOM_TAMPER").is_ok_and(|wanted| wanted == "all")
}

/// All tamperings with one record, and all replays: one in `one_in` of them, unless all are wanted.
fn tamperings(subject: &Subject, one_in: usize) -> Vec<Tampering> {
    let (contents, mut dice) = (subject.now(), Dice::new());
    let mut tamperings = replays(subject);
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
    (subject, tamperings): (&Subject, Vec<Tampering>),
    served: bool,
    open: impl Fn(&Contents) -> Arc<dyn Store>,
) {
    let store = open(subject.now());
    let before = subject.observe(&subject.open(store.clone()).await.unwrap()).await;
    store.close().await;
    drop(store); // only one sled at a time can open its folder
    let (mut tally, mut failures) = (Tally::default(), BTreeMap::<_, Vec<_>>::new());
    for tampering in tamperings {
        let done = tampering.done_to(subject.now());
        let store = open(if served { subject.now() } else { &done });
        let tried = match served {
            true => in_use(subject, &before, store.clone(), &tampering, tally.of(&tampering)).await,
            false => at_rest(subject, &before, store.clone(), tally.of(&tampering)).await,
        };
        store.close().await;
        if let Err(why) = tried {
            failures.entry((tampering.kind, tampering.what)).or_default().push(why);
        }
    }
    tally.print(title);
    let told = failures
        .iter()
        .map(|((kind, what), all)| format!("{kind} {what}: {} times, such as: {}", all.len(), all[0]));
    let told: Vec<_> = told.collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[tokio::test]
async fn tampering_with_a_store_at_rest_is_noticed() {
    let subject = Subject::prepare().await;
    let tamperings = tamperings(&subject, 16);
    let open = |contents: &Contents| store::open_memory_of(contents.clone(), subject.revision);
    try_all("at rest, memory", (&subject, tamperings), false, open).await;
}

#[tokio::test]
async fn tampering_with_a_store_in_use_is_noticed() {
    let subject = Subject::prepare().await;
    let tamperings = tamperings(&subject, 16);
    let open = |contents: &Contents| store::open_memory_of(contents.clone(), subject.revision);
    try_all("in use, memory", (&subject, tamperings), true, open).await;
}

#[tokio::test]
async fn tampering_with_a_store_in_sled_is_noticed() {
    let subject = Subject::prepare().await;
    let folder = tempfile::tempdir().unwrap();
    let open = |contents: &Contents| store::open_sled_of(folder.path(), contents, subject.revision);
    for (title, served) in [("at rest, sled", false), ("in use, sled", true)] {
        let tamperings = tamperings(&subject, 100); // each opens sled twice
        try_all(title, (&subject, tamperings), served, open).await;
    }
}

/// The store alone does not tell that all of it is older than it was.
#[tokio::test]
async fn a_store_that_is_older_as_a_whole_is_that_store() {
    let subject = Subject::prepare().await;
    let older = subject.snapshots.iter().rev().nth(1).unwrap();
    let store = store::open_memory_of(older.clone(), subject.revision);
    let observed = subject.observe(&subject.open(store).await.unwrap()).await;
    assert!(!observed.values().any(|answer| *answer == Observation::Integrity));
}
