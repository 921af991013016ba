//! ListSecrets: order, filters, counts and limits. Pages are tested in `paging`.

use strongroom::api::v1::{CreateSecretRequest, ListSecretsRequest};

use crate::caller::{Room, names};
use crate::refusal::invalid;
use crate::requests::{Value, create, describe, list, many_pairs, pairs, rename, update};

#[tokio::test]
async fn list_of_an_empty_namespace_is_an_empty_page() {
    let room = Room::open().await;
    let page = room.list(list()).await;
    assert_eq!((page.items.len(), page.total_size, page.next_page_token.as_str()), (0, 0, ""));
}

#[tokio::test]
async fn list_shows_everything_but_values() {
    let room = Room::open().await;
    let request = CreateSecretRequest {
        description: "what for".into(),
        metadata: pairs(&[("owner", "payments")]),
        ..create("A", "hidden")
    };
    let created = room.create_with(request).await;
    let page = room.list(list()).await;
    assert_eq!(page.items, [created]);
    assert_eq!(Value::of(&page.items[0]), Value::Redacted);
    assert_eq!((page.total_size, page.next_page_token.as_str()), (1, ""));
    assert!(page.revision >= page.items[0].revision);
}

#[tokio::test]
async fn list_shows_its_own_namespace_only() {
    let room = Room::open().await;
    let (inner, longer) = (format!("{}/inner", room.namespace), format!("{}x", room.namespace));
    room.create("here", "v").await;
    for namespace in [&inner, &longer] {
        let request = CreateSecretRequest { namespace: namespace.clone(), ..create("there", "v") };
        room.root.create_with(request).await;
    }
    assert_eq!(room.names().await, ["here"]);
    for namespace in [inner, longer] {
        assert_eq!(room.root.names_of(ListSecretsRequest { namespace, ..list() }).await, ["there"]);
    }
}

#[tokio::test]
async fn list_orders_by_the_bytes_of_the_name() {
    let room = Room::open().await;
    for name in ["b", "Z", "a_1", "_a", "a10", "A", "a2", "a", "B1", "a1"] {
        room.create(name, "v").await;
    }
    let ascending = ["A", "B1", "Z", "_a", "a", "a1", "a10", "a2", "a_1", "b"];
    let mut descending = ascending;
    descending.reverse();
    assert_eq!(room.names_of(list()).await, ascending);
    assert_eq!(room.names_of(ordered("name")).await, ascending);
    assert_eq!(room.names_of(ordered("name desc")).await, descending);
}

#[tokio::test]
async fn list_orders_by_time() {
    let room = Room::open().await;
    for name in ["m", "z", "a", "k"] {
        room.create(name, "v").await;
    }
    room.update(describe("z", "touched last but one")).await;
    room.rotate("m", "touched last").await;
    assert_eq!(room.names_of(ordered("created_at")).await, ["m", "z", "a", "k"]);
    assert_eq!(room.names_of(ordered("created_at desc")).await, ["k", "a", "z", "m"]);
    assert_eq!(room.names_of(ordered("updated_at")).await, ["a", "k", "z", "m"]);
    assert_eq!(room.names_of(ordered("updated_at desc")).await, ["m", "z", "k", "a"]);
}

#[tokio::test]
async fn list_refuses_an_unknown_order() {
    let room = Room::open().await;
    for order in
        ["value", "Name", "version", "desc", "name descending", "name,created_at", "name desc desc", "*"]
    {
        invalid(room.secrets().list_secrets(ordered(order)).await, &["order_by"]);
    }
}

#[tokio::test]
async fn list_follows_renames_changes_and_deletions() {
    let room = Room::open().await;
    for name in ["a", "b", "c"] {
        room.create_with(CreateSecretRequest { metadata: pairs(&[("state", "old")]), ..create(name, "v") })
            .await;
    }
    room.update(rename("a", "z")).await;
    room.delete("b").await;
    let request =
        strongroom::api::v1::UpdateSecretRequest { metadata: pairs(&[("state", "new")]), ..update("c") };
    room.update(request).await;

    assert_eq!(room.names().await, ["c", "z"]);
    assert_eq!(room.names_of(filtered(&[("state", "old")])).await, ["z"]);
    assert_eq!(room.names_of(filtered(&[("state", "new")])).await, ["c"]);
    assert_eq!(
        room.names_of(ListSecretsRequest { name_prefix: "a".into(), ..list() }).await,
        Vec::<String>::new()
    );
    assert_eq!(room.names_of(ordered("updated_at")).await, ["z", "c"]);
    for item in room.list(list()).await.items {
        let read = room.get(&item.name).await;
        assert_eq!((item.etag, item.updated_at, item.revision), (read.etag, read.updated_at, read.revision));
    }
}

#[tokio::test]
async fn metadata_filters_are_exact_case_sensitive_and_all_must_match() {
    let room = Room::open().await;
    for (name, metadata) in [
        ("both", &[("environment", "production"), ("owner", "payments")][..]),
        ("capital", &[("environment", "Production"), ("owner", "payments")]),
        ("capital_key", &[("Environment", "production")]),
        ("empty", &[("environment", "")]),
        ("longer", &[("environment", "production2")]),
        ("none", &[]),
        ("one", &[("environment", "production")]),
        ("swapped", &[("production", "environment")]),
    ] {
        room.create_with(CreateSecretRequest { metadata: pairs(metadata), ..create(name, "v") }).await;
    }
    for (filter, expected) in [
        (&[("environment", "production")][..], &["both", "one"][..]),
        (&[("environment", "production"), ("owner", "payments")], &["both"]),
        (&[("owner", "payments")], &["both", "capital"]),
        (&[("environment", "")], &["empty"]),
        (&[("environment", "prod")], &[]),
        (&[("environment", "production"), ("owner", "nobody")], &[]),
        (&[("absent", "")], &[]),
        (&[("Environment", "production")], &["capital_key"]),
    ] {
        let page = room.list(filtered(filter)).await;
        assert_eq!(names(&page), expected, "{filter:?}");
        assert_eq!(page.total_size, i32::try_from(expected.len()).unwrap(), "{filter:?}");
    }
}

#[tokio::test]
async fn a_prefix_is_case_sensitive_and_combines_with_the_metadata_filter() {
    let room = Room::open().await;
    for (n, name) in ["db_host", "db_name", "db", "DB_HOST", "a_db_host"].into_iter().enumerate() {
        let metadata = pairs(&[("even", if n % 2 == 0 { "yes" } else { "no" })]);
        room.create_with(CreateSecretRequest { metadata, ..create(name, "v") }).await;
    }
    let prefixed = |prefix: &str| ListSecretsRequest { name_prefix: prefix.into(), ..list() };
    assert_eq!(room.names_of(prefixed("db")).await, ["db", "db_host", "db_name"]);
    assert_eq!(room.names_of(prefixed("db_")).await, ["db_host", "db_name"]);
    assert_eq!(room.names_of(prefixed("DB")).await, ["DB_HOST"]);
    assert_eq!(room.names_of(prefixed("db_host")).await, ["db_host"]);
    assert_eq!(room.names_of(prefixed("db_host_")).await, Vec::<String>::new());

    let both = ListSecretsRequest { metadata: pairs(&[("even", "yes")]), ..prefixed("db") };
    assert_eq!(room.names_of(both.clone()).await, ["db", "db_host"]);
    let reversed = ListSecretsRequest { order_by: "name desc".into(), ..both };
    assert_eq!(room.names_of(reversed).await, ["db_host", "db"]);
}

#[tokio::test]
async fn list_refuses_a_limit_or_offset_out_of_range() {
    let room = Room::open().await;
    for limit in [0, -1, 1001, i32::MAX, i32::MIN] {
        invalid(
            room.secrets().list_secrets(ListSecretsRequest { limit: Some(limit), ..list() }).await,
            &["limit"],
        );
    }
    for offset in [-1, i32::MIN] {
        invalid(
            room.secrets().list_secrets(ListSecretsRequest { offset: Some(offset), ..list() }).await,
            &["offset"],
        );
    }
    for (limit, offset) in [(1, 0), (1000, 0), (1, i32::MAX)] {
        let request = ListSecretsRequest { limit: Some(limit), offset: Some(offset), ..list() };
        assert_eq!(room.list(request).await.items.len(), 0);
    }
}

#[tokio::test]
async fn list_refuses_a_filter_beyond_the_limits_of_metadata() {
    let room = Room::open().await;
    for metadata in [
        many_pairs(65),
        pairs(&[("", "v")]),
        pairs(&[(&"k".repeat(129), "v")]),
        pairs(&[("k", &"v".repeat(513))]),
    ] {
        invalid(room.secrets().list_secrets(ListSecretsRequest { metadata, ..list() }).await, &["metadata"]);
    }
}

#[tokio::test]
async fn list_names_all_wrong_fields_at_once() {
    let room = Room::open().await;
    let request = ListSecretsRequest {
        namespace: "NO".into(),
        limit: Some(0),
        offset: Some(-1),
        metadata: many_pairs(65),
        order_by: "shoe size".into(),
        ..Default::default()
    };
    let fields = ["limit", "metadata", "namespace", "offset", "order_by"];
    invalid(room.root.secrets().list_secrets(request).await, &fields);
}

#[tokio::test]
async fn list_sees_the_callers_own_writes() {
    let room = Room::open().await;
    for n in 1..=20 {
        let made = room.secrets().create_secret(create(&format!("n{n}"), "v")).await.unwrap().into_inner();
        let page = room.list(ListSecretsRequest { min_revision: made.revision, ..list() }).await;
        assert!(page.revision >= made.revision);
        assert_eq!(page.total_size, n);
    }
}

fn ordered(order_by: &str) -> ListSecretsRequest {
    ListSecretsRequest { order_by: order_by.into(), ..list() }
}

fn filtered(metadata: &[(&str, &str)]) -> ListSecretsRequest {
    ListSecretsRequest { metadata: pairs(metadata), ..list() }
}
