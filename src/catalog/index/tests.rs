use proptest::prelude::*;

use super::*;
use crate::auth::NameFilter;
use crate::domain::{Deletion, Description, Namespace, Revision, Timestamp, ValueSize, Version, Versions};

pub(in crate::catalog) fn secret(
    id: u8,
    name: &str,
    pairs: &[(&str, &str)],
    at: (i64, i64),
    revision: u64,
) -> Secret {
    let mut bytes = [0; 16];
    bytes[15] = id;
    Secret {
        namespace: Namespace::default_namespace(),
        name: SecretName::parse(name).unwrap(),
        id: SecretId::from_bytes(bytes),
        description: Description::default(),
        metadata: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        version: 1,
        versions: Versions::first(Version::new(1, Timestamp::from_micros(at.0), None)),
        created_at: Timestamp::from_micros(at.0),
        updated_at: Timestamp::from_micros(at.1),
        rotated_at: None,
        expires_at: None,
        expiry_told: crate::domain::ExpiryTold::Nothing,
        rotation: None,
        deletion: None,
        revision: Revision(revision),
        stored_at: Revision(revision),
        last_read: None,
    }
}

prop_compose! {
    /// A secret with one of few names, times and pairs, so that they coincide. Its name ends with its id, so that no two
    /// secrets have the same name at once.
    fn any_secret()(id in 0u8..40, first in "[abA_]{1,2}", env in 0..3, tier in 0..2, at in (0i64..5, 0i64..5), deleted in prop::bool::weighted(0.2)) -> Secret {
        let (env, tier) = (format!("e{env}"), format!("t{tier}"));
        let deletion = Deletion { deleted_at: Timestamp::from_micros(1), purge_at: Timestamp::from_micros(at.0) };
        let deletion = deleted.then_some(deletion);
        Secret { deletion, ..secret(id, &format!("{first}{id}"), &[("env", &env), ("tier", &tier)], at, 0) }
    }
}

fn empty() -> Index {
    Index::new(Namespace::default_namespace(), Duration::ZERO, false)
}

fn page(index: &mut Index, filter: &Filter, order: Order, start: &Start, limit: usize) -> Page {
    let page = index.page(&NameFilter::every(), filter, order, start, limit).unwrap_or_else(|search| {
        let found = search.run();
        let page = found.page(order, start, limit);
        index.keep(found);
        page
    });
    page.unpack(&Namespace::default_namespace())
}

/// The secrets that a list must hold, found by looking at every secret.
fn model(secrets: &[Secret], filter: &Filter, order: Order) -> Vec<SecretId> {
    let mut found: Vec<&Secret> = secrets
        .iter()
        .filter(|s| filter.include_deleted || s.deletion.is_none())
        .filter(|s| s.name.as_str().starts_with(&*filter.prefix))
        .filter(|s| filter.metadata.iter().all(|(key, value)| s.metadata.has(key, value)))
        .collect();
    found.sort_by(|a, b| match order.by {
        OrderBy::Name => a.name.cmp(&b.name),
        OrderBy::CreatedAt => (a.created_at, a.id).cmp(&(b.created_at, b.id)),
        OrderBy::UpdatedAt => (a.updated_at, a.id).cmp(&(b.updated_at, b.id)),
    });
    if order.descending {
        found.reverse();
    }
    found.into_iter().map(|secret| secret.id).collect()
}

proptest! {
    #[test]
    fn pages_are_the_same_as_those_of_a_full_search(
        steps in proptest::collection::vec((any_secret(), any::<bool>()), 0..200),
        prefix in "[abA_]{0,2}",
        pairs in 0usize..3,
        by in prop_oneof![Just(OrderBy::Name), Just(OrderBy::CreatedAt), Just(OrderBy::UpdatedAt)],
        descending in any::<bool>(),
        include_deleted in any::<bool>(),
        limit in 1usize..7,
        is_scanned in any::<bool>(),
    ) {
        let wanted = [("env".to_owned(), "e1".to_owned()), ("tier".to_owned(), "t1".to_owned())];
        let metadata = wanted.into_iter().take(pairs).collect();
        let namespace = Namespace::default_namespace();
        let filter = Filter { namespace, prefix: prefix.into(), metadata, unused_since: None, include_deleted };
        let order = Order { by, descending };
        let (mut index, mut secrets) = (empty(), Vec::<Secret>::new());
        let asked = steps.len() / 2;
        if is_scanned {
            index.sort_later();
        }
        for (revision, (mut secret, keep)) in steps.into_iter().enumerate() {
            if revision == asked {
                index.sort();
                page(&mut index, &filter, order, &Start::Offset(0), limit); // cached, and kept current, from here on
            }
            secrets.retain(|known| known.id != secret.id);
            if keep {
                secret.revision = Revision(revision as u64 + 1);
                secret.stored_at = secret.revision;
                index.put(secret.clone());
                secrets.push(secret);
            } else {
                index.remove(secret.id);
            }
        }
        index.sort();
        let expected = model(&secrets, &filter, order);

        // By offset, and by cursor: the same secrets, in the same order.
        let mut start = Start::Offset(0);
        let mut walked = Vec::new();
        loop {
            let found = page(&mut index, &filter, order, &start, limit);
            let at_offset = page(&mut index, &filter, order, &Start::Offset(walked.len()), limit);
            prop_assert_eq!(&found.items, &at_offset.items);
            prop_assert_eq!((found.total, at_offset.total), (expected.len(), expected.len()));
            walked.extend(found.items.iter().map(|secret| secret.id));
            match found.next {
                Some(next) => start = Start::After(next),
                None => break,
            }
        }
        prop_assert_eq!(walked, expected);
        let deleted = secrets.iter().filter(|secret| secret.deletion.is_some()).count();
        prop_assert_eq!((index.len(), index.deleted()), (secrets.len() - deleted, deleted));
        let mut due: Vec<_> = secrets.iter().filter_map(|s| Some((s.deletion?.purge_at, s.id))).collect();
        due.sort_unstable();
        prop_assert_eq!(index.due().collect::<Vec<_>>(), due);
        let beyond = page(&mut index, &filter, order, &Start::Offset(usize::MAX), limit);
        prop_assert!(beyond.items.is_empty());
    }
}

#[test]
fn many_secrets_are_sorted_as_few_are() {
    let mut secrets = Vec::new();
    for number in 0..5_000i64 {
        // Few times, so that the ids decide too.
        let at = (number * 7 % 13, number * 5 % 17);
        let name = format!("n{}", number * 7919 % 5_000);
        let secret = Secret { id: SecretId::generate(), ..secret(0, &name, &[], at, 1) };
        secrets.push(PackedSecret::of(&secret).unwrap());
    }
    let (few, many) = (Orders::of(secrets.clone()), Orders::of_many(&secrets));
    for by in [OrderBy::Name, OrderBy::CreatedAt, OrderBy::UpdatedAt] {
        let page = |orders: &Orders| {
            orders.page("", Order { by, descending: false }, &Start::Offset(0), secrets.len()).items
        };
        let ids = |orders: &Orders| page(orders).iter().map(PackedSecret::id).collect::<Vec<_>>();
        assert_eq!(ids(&few).len(), 5_000);
        assert_eq!(ids(&few), ids(&many));
    }
}

#[test]
fn a_page_ends_before_it_is_too_large_for_a_client() {
    let mut index = empty();
    let long = "v".repeat(512);
    let keys: Vec<_> = (0..64).map(|n| format!("{n:0128}")).collect();
    let pairs: Vec<_> = keys.iter().map(|key| (key.as_str(), long.as_str())).collect();
    for id in 0..100 {
        index.put(secret(id, &format!("n{id:03}"), &pairs, (1, 1), 1));
    }
    let (prefix, metadata) = ("".into(), Metadata::default());
    let filter = Filter {
        namespace: Namespace::default_namespace(),
        prefix,
        metadata,
        unused_since: None,
        include_deleted: false,
    };
    for descending in [false, true] {
        let order = Order { by: OrderBy::Name, descending };
        let first = page(&mut index, &filter, order, &Start::Offset(0), 1000);
        assert!((50..80).contains(&first.items.len()), "{}", first.items.len());
        let rest = page(&mut index, &filter, order, &Start::After(first.next.unwrap()), 1000);
        assert_eq!((first.items.len() + rest.items.len(), first.total, rest.next), (100, 100, None));
    }
}

#[test]
fn the_least_recently_used_filters_are_dropped() {
    let mut index = empty();
    for id in 0..100 {
        let tier = format!("t{id}");
        index.put(secret(id, &format!("n{id}"), &[("env", "e"), ("tier", &tier)], (1, 1), 1));
    }
    let order = Order { by: OrderBy::Name, descending: false };
    for id in 0..100 {
        let pairs = [("env".to_owned(), "e".to_owned()), ("tier".to_owned(), format!("t{id}"))];
        let (prefix, metadata) = ("".into(), pairs.into_iter().collect());
        let filter = Filter {
            namespace: Namespace::default_namespace(),
            prefix,
            metadata,
            unused_since: None,
            include_deleted: false,
        };
        assert!(index.page(&NameFilter::every(), &filter, order, &Start::Offset(0), 10).is_err());
        assert_eq!(page(&mut index, &filter, order, &Start::Offset(0), 10).total, 1);
        assert!(index.page(&NameFilter::every(), &filter, order, &Start::Offset(0), 10).is_ok());
    }
}

#[test]
fn a_search_catches_up_with_the_changes_made_meanwhile() {
    let mut index = empty();
    let both = [("env", "e"), ("tier", "t")];
    for id in 0..100 {
        index.put(secret(id, &format!("n{id:03}"), &both, (1, 1), 1));
    }
    let pairs = both.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let (prefix, metadata) = ("".into(), pairs.into_iter().collect());
    let filter = Filter {
        namespace: Namespace::default_namespace(),
        prefix,
        metadata,
        unused_since: None,
        include_deleted: false,
    };
    let order = Order { by: OrderBy::Name, descending: false };
    let search = index.page(&NameFilter::every(), &filter, order, &Start::Offset(0), 1000).err().unwrap();
    index.put(secret(100, "new", &both, (1, 1), 2));
    index.put(secret(0, "renamed", &both, (1, 2), 3));
    index.put(secret(1, "n001", &[("env", "e")], (1, 2), 4));
    index.delete(secret(2, "n002", &both, (1, 1), 1).id, Revision(5));
    index.keep(search.run());
    let page = index.page(&NameFilter::every(), &filter, order, &Start::Offset(0), 1000).ok().unwrap();
    assert_eq!((page.total, index.as_of()), (99, Revision(5)));
    let names: Vec<_> = page.items.iter().map(PackedSecret::name_text).collect();
    assert!(names.is_sorted() && names.contains(&"new") && names.contains(&"renamed"));
    for gone in ["n000", "n001", "n002"] {
        assert!(!names.contains(&gone), "{gone}");
    }
}

#[test]
fn an_older_state_changes_nothing_and_an_emptied_index_holds_nothing() {
    let mut index = empty();
    index.put(secret(1, "new", &[("k", "v")], (1, 2), 5));
    index.put(secret(1, "old", &[("k", "w")], (1, 1), 4));
    assert!(index.find(&SecretName::parse("new").unwrap()).is_some());
    assert!(index.find(&SecretName::parse("old").unwrap()).is_none());
    index.remove(secret(1, "new", &[], (0, 0), 0).id);
    assert!(index.by_pair.is_empty());
    assert_eq!((index.len(), index.all.len()), (0, 0));
}

#[test]
fn the_sizes_of_values_are_kept_and_learnt_from_every_state_that_knows_them() {
    let of = |revision, size: Option<usize>| {
        let mut secret = secret(1, "n", &[("k", "v")], (1, 1), revision);
        let mut version = Version::new(1, Timestamp::from_micros(1), None);
        version.size = size.and_then(|size| ValueSize::of_encoded(size + 1));
        secret.versions = Versions::first(version);
        secret
    };
    let mut index = Index::new(Namespace::default_namespace(), Duration::ZERO, true);
    let bytes = |index: &Index| (index.taken().secrets, index.taken().bytes);
    index.put(of(5, None));
    assert_eq!(bytes(&index), (1, 0));
    // A scan brings the state that a change has brought already.
    index.put(of(5, Some(9)));
    assert_eq!(bytes(&index), (1, 9));
    index.put(of(6, None));
    index.put(of(4, Some(7)));
    assert_eq!(bytes(&index), (1, 9));
    index.put_damaged(of(6, None).id);
    assert_eq!(bytes(&index), (0, 0));
    let mut uncounted = empty();
    uncounted.put(of(5, None));
    uncounted.put(of(5, Some(9)));
    assert_eq!(bytes(&uncounted), (1, 0));
}

proptest! {
    #[test]
    fn a_name_leads_to_the_secret_that_has_it(
        steps in proptest::collection::vec((0u8..5, 0u8..5, 0..4, any::<bool>()), 0..60),
    ) {
        let mut index = empty();
        // The name of each secret, with whether it is deleted.
        let mut names = std::collections::BTreeMap::<u8, (String, bool)>::new();
        for (revision, (one, other, kind, other_first)) in (1..).zip(steps) {
            let mut changed = vec![one];
            let fresh = format!("n{revision}");
            match kind {
                // Two secrets exchange their names, or one takes the name that the other gives up.
                0 | 1 if one != other && names.contains_key(&one) && names.contains_key(&other) => {
                    let (of_one, of_other) = (names[&one].0.clone(), names[&other].0.clone());
                    names.insert(one, (of_other, false));
                    names.insert(other, (if kind == 0 { of_one } else { fresh }, false));
                    changed.push(other);
                }
                2 if names.contains_key(&one) => names.get_mut(&one).unwrap().1 = true,
                _ => drop(names.insert(one, (fresh, false))),
            }
            // No two secrets that are not deleted have one name.
            let name = names[&one].0.clone();
            prop_assume!(names.values().filter(|(present, deleted)| !deleted && *present == name).count() <= 1);
            if other_first {
                changed.reverse();
            }
            for id in changed {
                let (name, deleted) = &names[&id];
                let purge_at = Timestamp::from_micros(9);
                let deletion = deleted.then_some(Deletion { deleted_at: Timestamp::from_micros(1), purge_at });
                index.put(Secret { deletion, ..secret(id, name, &[("env", "e")], (1, 1), revision) });
            }
            for (id, (name, deleted)) in &names {
                let found = index.find(&SecretName::parse(name).unwrap()).map(|found| found.id().as_bytes()[15]);
                prop_assert_eq!(found == Some(*id), !*deleted);
            }
            prop_assert_eq!(index.len() + index.deleted(), names.len());
            prop_assert_eq!(index.taken().secrets, names.len() as u64);
        }
    }
}

#[test]
fn a_name_can_pass_from_one_secret_to_another_in_either_order() {
    let name = SecretName::parse("n").unwrap();
    let (first, second) = (secret(1, "n", &[], (1, 1), 1), secret(2, "n", &[], (2, 2), 3));
    for both in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
        let mut index = empty();
        both.into_iter().for_each(|secret| index.put(secret));
        index.remove(first.id);
        assert_eq!(index.find(&name).map(PackedSecret::id), Some(second.id));
    }
}

#[test]
fn pages_part_deleted_secrets_of_the_same_name() {
    let mut index = empty();
    let deletion =
        Some(Deletion { deleted_at: Timestamp::from_micros(1), purge_at: Timestamp::from_micros(2) });
    for id in 1..8 {
        index.put(Secret { deletion, ..secret(id, "n", &[], (1, 1), 1) });
    }
    index.put(secret(9, "n", &[], (1, 1), 1));
    let (prefix, metadata) = ("".into(), Metadata::default());
    let namespace = Namespace::default_namespace();
    let filter = Filter { namespace, prefix, metadata, unused_since: None, include_deleted: true };
    for descending in [false, true] {
        let order = Order { by: OrderBy::Name, descending };
        let (mut start, mut walked) = (Start::Offset(0), Vec::new());
        loop {
            let found = page(&mut index, &filter, order, &start, 3);
            assert_eq!(found.total, 8);
            walked.extend(found.items.iter().map(|secret| secret.id));
            let Some(next) = found.next else { break };
            start = Start::After(next);
        }
        walked.sort_unstable();
        walked.dedup();
        assert_eq!(walked.len(), 8);
    }
    assert_eq!(
        index.find(&SecretName::parse("n").unwrap()).map(|found| *found.id().as_bytes().last().unwrap()),
        Some(9)
    );
}
