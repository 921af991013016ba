//! What quotas count, reserve and refuse.

use super::*;

fn named(namespace: &str) -> Option<Namespace> {
    Some(namespace).filter(|namespace| !namespace.is_empty()).map(|name| Namespace::parse(name).unwrap())
}

fn quota(namespace: &str, secrets: u64, bytes: u64) -> Quota {
    let some = |limit: u64| Some(limit).filter(|limit| *limit > 0);
    Quota { namespace: named(namespace), secrets: some(secrets), bytes: some(bytes) }
}

fn amount(secrets: u64, bytes: u64) -> Amount {
    Amount { secrets, bytes }
}

fn of(quotas: &Arc<Quotas>, namespace: &str) -> NamespaceQuotas {
    quotas.of(&Namespace::parse(namespace).unwrap())
}

/// The limit for which a change was refused.
fn limit<T>(result: Result<T, QuotaReached>) -> Option<QuotaLimit> {
    result.err().map(|reached| reached.limit)
}

/// A new secret of so many bytes.
fn reserve(quotas: &NamespaceQuotas, bytes: u64) -> Result<(SecretId, Reservation), QuotaReached> {
    let id = SecretId::generate();
    Ok((id, quotas.reserve(id, Amount::default(), amount(1, bytes))?))
}

fn nothing_is_reserved(quotas: &Quotas) {
    let counts = quotas.lock();
    assert!(counts.reserved.is_empty() && counts.of.iter().all(|count| count.reserved == Amount::default()));
}

#[test]
fn what_is_reserved_counts_until_it_is_given_back_or_shown() {
    let quotas = Quotas::new([quota("a", 2, 0)].into());
    let a = of(&quotas, "a");
    let first = reserve(&a, 1).unwrap();
    let (id, second) = reserve(&a, 1).unwrap();
    let reached = QuotaReached { namespace: named("a"), limit: QuotaLimit::Secrets(2) };
    assert_eq!(reserve(&a, 0).err(), Some(reached.clone()));
    drop(first);
    // From the moment at which the catalog shows a change, it counts as stored, and as nothing else.
    a.changed(amount(0, 0), amount(1, 1), [id]);
    let third = reserve(&a, 1).unwrap();
    drop(second);
    assert_eq!(reserve(&a, 0).err(), Some(reached));
    drop(third);
    nothing_is_reserved(&quotas);
    assert_eq!(quotas.usage()[0].used, amount(1, 1));
    a.changed(amount(1, 1), amount(0, 0), []);
    assert_eq!(quotas.usage()[0].used, Amount::default());
}

#[test]
fn a_namespace_counts_for_itself_and_for_those_above_it() {
    let quotas =
        Quotas::new([quota("", 4, 0), quota("a", 3, 0), quota("a/b", 1, 0), quota("c", 9, 0)].into());
    let [b, deep, beside, other] = ["a/b", "a/b/c", "a/bc", "d"].map(|name| of(&quotas, name));
    let taken = reserve(&deep, 0).unwrap();
    let reached = |result: Result<_, QuotaReached>| result.err().map(|reached| reached.namespace);
    // The refusal names the nearest of the quotas.
    assert_eq!(reached(reserve(&b, 0)), Some(named("a/b")));
    let held = [reserve(&beside, 0).unwrap(), reserve(&beside, 0).unwrap()];
    assert_eq!(reached(reserve(&beside, 0)), Some(named("a")));
    let last = reserve(&other, 0).unwrap();
    assert_eq!(reached(reserve(&other, 0)), Some(None));
    beside.changed(amount(0, 0), amount(1, 7), [held[0].0]);
    let used: Vec<_> = quotas.usage().iter().map(|usage| usage.used.secrets).collect();
    assert_eq!(used, [1, 1, 0, 0]);
    drop((taken, held, last));
    nothing_is_reserved(&quotas);
    assert!(!quotas.limit_bytes());
}

#[test]
fn bytes_are_limited_beside_secrets_and_only_what_takes_more_is_refused() {
    let quotas = Quotas::new([quota("a", 2, 10), quota("b", 0, 4)].into());
    let (a, b) = (of(&quotas, "a"), of(&quotas, "b"));
    assert!(a.limit_bytes() && quotas.limit_bytes() && !of(&quotas, "c").limit_bytes());
    assert_eq!(limit(reserve(&a, 11)), Some(QuotaLimit::Bytes(10)));
    let (id, all) = reserve(&a, 10).unwrap();
    a.changed(amount(0, 0), amount(1, 10), [id]);
    drop(all);
    // An empty value takes a secret and no bytes.
    drop(reserve(&a, 0).unwrap());
    let changes = |bytes| limit(a.reserve(id, amount(1, 10), amount(1, bytes)));
    assert_eq!([changes(0), changes(10), changes(11)], [None, None, Some(QuotaLimit::Bytes(10))]);
    // More than the quota is stored, since it was lowered.
    b.changed(amount(0, 0), amount(3, 9), []);
    assert!(b.reserve(id, amount(1, 9), amount(1, 8)).is_ok());
    assert_eq!(limit(b.reserve(id, amount(1, 9), amount(1, 10))), Some(QuotaLimit::Bytes(4)));
    assert_eq!(quotas.largest_use(), [Some(0.5), Some(2.25)]);
    nothing_is_reserved(&quotas);
}

#[test]
fn one_of_several_changes_of_a_secret_ends_the_reservations_of_all() {
    let quotas = Quotas::new([quota("a", 0, 100)].into());
    let (a, id) = (of(&quotas, "a"), SecretId::generate());
    let both = [40, 50].map(|bytes| a.reserve(id, amount(1, 0), amount(1, bytes)).unwrap());
    a.changed(amount(1, 0), amount(1, 40), [id]);
    nothing_is_reserved(&quotas);
    let again = a.reserve(id, amount(1, 40), amount(1, 90)).unwrap();
    drop(both);
    assert!(a.reserve(SecretId::generate(), amount(0, 0), amount(1, 11)).is_err());
    drop(again);
    nothing_is_reserved(&quotas);
}

#[test]
fn without_quotas_nothing_is_counted_and_nothing_refused() {
    let quotas = Quotas::new([].into());
    let a = of(&quotas, "a");
    a.changed(amount(0, 0), amount(u64::MAX, u64::MAX), [SecretId::generate()]);
    assert!(a.reserve(SecretId::generate(), amount(0, 0), amount(1, u64::MAX)).is_ok());
    assert_eq!((quotas.usage().len(), quotas.largest_use()), (0, [None, None]));
}

#[test]
fn as_many_racing_changes_have_room_as_the_quota_says() {
    let quotas = Quotas::new([quota("a", 50, 0)].into());
    let a = of(&quotas, "a");
    let made: usize = std::thread::scope(|scope| {
        let race = || {
            let made = (0..100).filter(|_| {
                let Ok((id, reservation)) = reserve(&a, 1) else { return false };
                std::thread::yield_now();
                a.changed(amount(0, 0), amount(1, 1), [id]);
                drop(reservation);
                true
            });
            made.count()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((made, quotas.usage()[0].used), (50, amount(50, 50)));
    nothing_is_reserved(&quotas);
}
