//! Whatever is done to the records of a store: it is refused as a whole, or serves what it held, or says of what was concerned
//! that it is damaged. Never something else, and nothing is missing without a word.

mod deed;
mod world;

use std::collections::BTreeMap;

use self::deed::{Deed, Dice, flips, lengths, places, replays};
use self::world::{Answer, Content, Served, World};
use super::tests::{named, options, provider};
use super::*;
use crate::store::{self, Key, Store, Transaction};

/// How many of a record's bits are turned over. All, with everything else that can be done, and not a sample of it:
/// `STRONGROOM_TAMPER=all cargo test --release --lib tamper -- --nocapture`.
const FLIPS: usize = 64;

/// How many deeds there were, and what came of them, by kind of record and kind of deed.
#[derive(Default)]
struct Tally(BTreeMap<(char, &'static str), Outcomes>);

#[derive(Default)]
struct Outcomes {
    /// The store was refused.
    refused: usize,
    /// Some requests said that what they concern is damaged.
    noticed: usize,
    /// All was as it was.
    harmless: usize,
}

impl Tally {
    fn of(&mut self, deed: &Deed) -> &mut Outcomes {
        self.0.entry((deed.kind, deed.what)).or_default()
    }

    #[allow(clippy::print_stdout)] // for people to quote
    fn tell(&self, title: &str) {
        let mut all = 0;
        for ((kind, what), Outcomes { refused, noticed, harmless }) in &self.0 {
            all += refused + noticed + harmless;
            println!("{title}: {kind} {what}: {refused} refused, {noticed} noticed, {harmless} harmless");
        }
        println!("{title}: {all} deeds");
    }
}

/// Whether what is served after a deed is what was served before it, as far as anything is; `Ok(true)` where all is.
fn judge(before: &Served, after: &Served, damaged: usize) -> Result<bool, String> {
    let mut same = true;
    for (asked, expected) in before {
        let got = &after[asked];
        if got == expected {
            continue;
        }
        same = false;
        let fits = match (expected, got) {
            (_, Answer::Integrity) => true,
            // What is damaged is in no list, and counted.
            (Answer::Listed(expected), Answer::Listed(got)) => {
                damaged > 0 && got.iter().all(|item| expected.contains(item))
            }
            // A key that is damaged opens nothing.
            (Answer::Served(_), Answer::Refused(_)) => damaged > 0 && asked.starts_with("authenticate"),
            _ => false,
        };
        if !fits {
            return Err(format!("{asked}: instead of {expected:?} there is {got:?}"));
        }
    }
    Ok(same)
}

/// What a store that was altered while nobody served it serves, and goes on to serve.
async fn at_rest(
    world: &World,
    before: &Served,
    store: Arc<dyn Store>,
    tally: &mut Outcomes,
) -> Result<(), String> {
    let app = match world.open(store.clone()).await {
        Ok(app) => app,
        Err(SetupError::Altered | SetupError::WrongMasterKey | SetupError::KeyringMissing) => {
            tally.refused += 1;
            return Ok(());
        }
        Err(other) => return Err(format!("it is refused as {other}")),
    };
    if judged(world, before, &app).await? {
        tally.harmless += 1;
    } else {
        tally.noticed += 1;
    }
    goes_on(world, before, app, store).await
}

/// The same, of one that was altered while it was served.
async fn in_use(
    world: &World,
    before: &Served,
    store: Arc<dyn Store>,
    deed: &Deed,
    tally: &mut Outcomes,
) -> Result<(), String> {
    let app = world.open(store.clone()).await.unwrap();
    let mut transaction = Transaction::default();
    for (key, entry) in &deed.changes {
        match entry {
            Some(entry) => transaction.put.push((key.clone(), entry.value.clone())),
            None => transaction.delete.push(key.clone()),
        }
    }
    let revision = store.commit(transaction).await.unwrap();
    app.catalog.at_least(revision).await.unwrap();
    if judged(world, before, &app).await? {
        tally.harmless += 1;
    } else {
        tally.noticed += 1;
    }
    goes_on(world, before, app, store).await
}

async fn judged(world: &World, before: &Served, app: &App) -> Result<bool, String> {
    judge(before, &world.served(app).await, app.catalog.counts().damaged)
}

/// What the service does by itself, and for others, does not make a deed good; nor is a change acknowledged that can not be
/// read.
async fn goes_on(world: &World, before: &Served, app: Arc<App>, store: Arc<dyn Store>) -> Result<(), String> {
    let tended = app.remove_expired_idempotency_records().await;
    if let Err(error) = tended
        && !matches!(error, Error::Integrity)
    {
        return Err(format!("the receipts are not tended: {error:?}"));
    }
    match world.change(&app).await {
        Ok(()) => world.is_changed(&app).await?,
        Err(Error::Integrity) => {}
        Err(error) => return Err(format!("a change is refused with {error:?}")),
    }
    judged(world, before, &app).await.map_err(|why| format!("after a change: {why}"))?;
    drop(app);
    match world.open(store).await {
        Ok(app) => judged(world, before, &app).await.map(drop).map_err(|why| format!("opened again: {why}")),
        Err(SetupError::Altered | SetupError::WrongMasterKey | SetupError::KeyringMissing) => Ok(()),
        Err(other) => Err(format!("it is refused as {other}")),
    }
}

fn asked_for_all() -> bool {
    std::env::var("STRONGROOM_TAMPER").is_ok_and(|asked| asked == "all")
}

/// All that is done to one record at a time, and all replays; one in so many of them, unless all are asked for.
fn deeds(world: &World, one_in: usize) -> Vec<Deed> {
    let (content, mut dice) = (world.now(), Dice::new());
    let mut deeds = replays(world);
    for (key, entry) in content {
        deeds.extend(flips(key, entry, if asked_for_all() { usize::MAX } else { FLIPS }, &mut dice));
        deeds.extend(lengths(key, entry));
        deeds.extend(places(content, key, entry));
    }
    if !asked_for_all() {
        deeds.retain(|_| dice.below(one_in) == 0);
    }
    deeds
}

/// Does each deed to a store of its own, which `open` makes of a content, and looks at what comes of it.
async fn try_all(
    title: &str,
    (world, deeds): (&World, Vec<Deed>),
    used: bool,
    open: impl Fn(&Content) -> Arc<dyn Store>,
) {
    let store = open(world.now());
    let before = world.served(&world.open(store.clone()).await.unwrap()).await;
    store.close().await;
    drop(store); // a folder of sled is opened once at a time
    let (mut tally, mut failures) = (Tally::default(), BTreeMap::<_, Vec<_>>::new());
    for deed in deeds {
        let done = deed.done_to(world.now());
        let store = open(if used { world.now() } else { &done });
        let tried = match used {
            true => in_use(world, &before, store.clone(), &deed, tally.of(&deed)).await,
            false => at_rest(world, &before, store.clone(), tally.of(&deed)).await,
        };
        store.close().await;
        if let Err(why) = tried {
            failures.entry((deed.kind, deed.what)).or_default().push(why);
        }
    }
    tally.tell(title);
    let told = failures
        .iter()
        .map(|((kind, what), all)| format!("{kind} {what}: {} times, such as: {}", all.len(), all[0]));
    let told: Vec<_> = told.collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[tokio::test]
async fn what_is_done_to_a_store_at_rest_is_noticed() {
    let world = World::furnish().await;
    let deeds = deeds(&world, 16);
    let open = |content: &Content| store::open_memory_of(content.clone(), world.revision);
    try_all("at rest, memory", (&world, deeds), false, open).await;
}

#[tokio::test]
async fn what_is_done_to_a_store_in_use_is_noticed() {
    let world = World::furnish().await;
    let deeds = deeds(&world, 16);
    let open = |content: &Content| store::open_memory_of(content.clone(), world.revision);
    try_all("in use, memory", (&world, deeds), true, open).await;
}

#[tokio::test]
async fn what_is_done_to_a_store_in_sled_is_noticed() {
    let world = World::furnish().await;
    let folder = tempfile::tempdir().unwrap();
    let open = |content: &Content| store::open_sled_of(folder.path(), content, world.revision);
    for (title, used) in [("at rest, sled", false), ("in use, sled", true)] {
        let deeds = deeds(&world, 100); // each opens sled twice
        try_all(title, (&world, deeds), used, open).await;
    }
}

/// What nobody can tell from the store alone: that all of it is older than it was.
#[tokio::test]
async fn a_store_that_is_older_as_a_whole_is_that_store() {
    let world = World::furnish().await;
    let older = world.snapshots.iter().rev().nth(1).unwrap();
    let store = store::open_memory_of(older.clone(), world.revision);
    let served = world.served(&world.open(store).await.unwrap()).await;
    assert!(!served.values().any(|answer| *answer == Answer::Integrity));
}

/// The keyring of before the digests, put back where the digest was taken away, does not make the store one of an earlier
/// release again.
#[tokio::test]
async fn a_store_is_taken_for_one_of_an_earlier_release_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1.tar.gz");
    let unpacked =
        std::process::Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.unwrap().success());
    let data = folder.path().join("data");
    let line = std::fs::read_to_string(data.join("master.key")).unwrap();
    let master = Arc::new(crate::crypto::MasterKeys::of(&[line.trim()]));
    let store = store::open_sled(&data).unwrap();
    let first = store.get(&Key::keyring()).await.unwrap().unwrap();
    assert!(store.get(&Key::digest()).await.unwrap().is_none());
    let opened =
        || async { open(store.clone(), provider(&master), options(), |_| panic!("it is not new")).await };
    // One that has an anchor was not left by that release.
    let anchor = folder.path().join("anchor");
    std::fs::write(&anchor, "").unwrap();
    let anchored = super::Options { anchor_file: Some(anchor), ..options() };
    let refused = open(store.clone(), provider(&master), anchored, |_| panic!("it is not new")).await;
    assert!(matches!(refused.err(), Some(SetupError::Altered)));
    assert!(store.get(&Key::digest()).await.unwrap().is_none());
    drop(opened().await.unwrap());
    drop(opened().await.unwrap());

    // Something was sealed since then.
    let put_back = || Transaction {
        put: vec![(Key::keyring(), first.value.clone())],
        delete: vec![Key::digest()],
        ..Transaction::default()
    };
    let app = opened().await.unwrap();
    let root_key = std::fs::read_to_string(data.join("root.key")).unwrap();
    let root = app.authenticate(root_key.trim()).unwrap();
    let grant = root.authorize::<crate::auth::Write>(&Namespace::default_namespace()).unwrap();
    app.delete(&grant, &named("plain"), None, None).await.unwrap();
    let source = Source::Value(crate::domain::Value::text("later".to_owned()).unwrap());
    let rotate = root.authorize::<crate::auth::Rotate>(&Namespace::default_namespace()).unwrap();
    app.rotate(&rotate, &named("rotated"), Rotation { source, etag: None }, None).await.unwrap();
    drop(app);
    store.commit(put_back()).await.unwrap();
    assert!(matches!(opened().await.err(), Some(SetupError::Altered)));
}
