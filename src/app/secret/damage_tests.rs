//! Secrets whose records were altered behind the service's back: they are refused, and all others are served.

use crate::app::fixture::Fixture;
use crate::app::{Error, ListQuery, SecretUpdate};
use crate::auth::{List, Write};
use crate::domain::{Description, Filter, Metadata, Namespace, Order, OrderBy, Revision, Start};
use crate::schema::Kind;
use crate::store::Key;

#[tokio::test]
async fn an_altered_secret_is_refused_and_the_rest_is_served() {
    let fixture = Fixture::open().await;
    let altered = fixture.create("altered", "a").await.unwrap();
    fixture.create("whole", "w").await.unwrap();
    let of_altered = |key: &Key| matches!(key.kind(), Kind::Secret(_, id) if id == altered.id);
    let (key, entry) = fixture.stored(b's').await.into_iter().find(|(key, _)| of_altered(key)).unwrap();
    let mut value = entry.value;
    *value.last_mut().unwrap() ^= 1;
    fixture.overwrite(&key, value).await;

    for app in [&*fixture.app, &fixture.restart().await] {
        assert!(matches!(fixture.value(app, "altered").await, Err(Error::Integrity)));
        assert_eq!(fixture.value(app, "whole").await.unwrap(), "w");
        assert_eq!(app.core.catalog.counts().damaged, 1);
        // The name is not free for another secret, and the secret is not said to be missing.
        let update = SecretUpdate { description: Some(Description::default()), ..SecretUpdate::default() };
        let refused = app.secrets.update(&fixture.grant::<Write>("altered"), update, None).await;
        assert!(matches!(refused.err(), Some(Error::Integrity)));
    }
    assert!(matches!(fixture.create("altered", "b").await.err(), Some(Error::Integrity)));
    let onto = SecretUpdate { new_name: Some(fixture.grant("altered")), ..SecretUpdate::default() };
    let renamed = fixture.app.secrets.update(&fixture.grant::<Write>("whole"), onto, None).await;
    assert!(matches!(renamed.err(), Some(Error::Integrity)));
}

#[tokio::test]
async fn a_value_that_was_altered_swapped_or_removed_is_refused() {
    let fixture = Fixture::open().await;
    for name in ["a", "b", "c", "d"] {
        fixture.create(name, name).await.unwrap();
    }
    let versions = fixture.stored(b'v').await;
    let [(a, of_a), (b, of_b), (c, of_c), (d, _)] = versions.as_slice() else { panic!("four versions") };
    fixture.overwrite(a, of_b.value.clone()).await;
    fixture.overwrite(b, of_a.value.clone()).await;
    let mut altered = of_c.value.clone();
    altered[10] ^= 1;
    fixture.overwrite(c, altered).await;
    fixture.remove(d).await;
    for name in ["a", "b", "c", "d"] {
        assert!(matches!(fixture.value(&fixture.app, name).await, Err(Error::Integrity)), "{name}");
    }
}

#[tokio::test]
async fn an_altered_namespace_is_refused() {
    let fixture = Fixture::open().await;
    fixture.create("a", "a").await.unwrap();
    let (key, entry) = fixture.stored(b'n').await.remove(0);
    let mut value = entry.value;
    value[20] ^= 1;
    fixture.overwrite(&key, value).await;

    let app = fixture.restart().await;
    assert!(matches!(fixture.value(&app, "a").await, Err(Error::Integrity)));
    let filter = Filter {
        namespace: Namespace::default_namespace(),
        prefix: "".into(),
        metadata: Metadata::default(),
        unused_since: None,
        include_deleted: false,
    };
    let order = Order { by: OrderBy::Name, descending: false };
    let query = ListQuery { filter, order, start: Start::Offset(0), limit: 1 };
    let grant = app.access.grant_namespace::<List>(&fixture.root, fixture.root.home()).unwrap();
    let listed = app.secrets.list(&grant, query, Revision::default(), |_| Ok(())).await;
    assert!(matches!(listed.err(), Some(Error::Integrity)));
}
