//! The pages of ListSecrets: by offset, by token, and while others write.

use std::collections::BTreeSet;

use strongroom::api::v1::{CreateSecretRequest, ListSecretsRequest, ListSecretsResponse};
use tokio::task::JoinSet;

use crate::caller::{Caller, Room, names};
use crate::refusal::invalid;
use crate::requests::{create, describe, list, pairs};

#[tokio::test]
async fn twenty_five_secrets_by_ten_give_10_10_5_0_by_offset() {
    let room = numbered(25).await;
    let mut seen = Vec::new();
    for (offset, expected) in [(0, 10), (10, 10), (20, 5), (30, 0), (25, 0)] {
        let page = room.list(ListSecretsRequest { limit: Some(10), offset: Some(offset), ..list() }).await;
        assert_eq!((page.items.len(), page.total_size), (expected, 25), "at {offset}");
        seen.extend(names(&page));
    }
    assert_eq!(seen, expected_names(25));
}

#[tokio::test]
async fn twenty_five_secrets_by_ten_give_10_10_5_by_token() {
    let room = numbered(25).await;
    let pages = follow(&room, ListSecretsRequest { limit: Some(10), ..list() }).await;
    assert_eq!(pages.iter().map(|page| page.items.len()).collect::<Vec<_>>(), [10, 10, 5]);
    assert!(pages.iter().all(|page| page.total_size == 25));
    assert_eq!(all_names(&pages), expected_names(25));
}

#[tokio::test]
async fn a_list_that_fits_its_page_has_no_next_page() {
    let room = numbered(20).await;
    for limit in [20, 21, 1000] {
        let page = room.list(ListSecretsRequest { limit: Some(limit), ..list() }).await;
        assert_eq!((page.items.len(), page.next_page_token.as_str()), (20, ""), "by {limit}");
    }
    let pages = follow(&room, ListSecretsRequest { limit: Some(10), ..list() }).await;
    assert_eq!(pages.iter().map(|page| page.items.len()).collect::<Vec<_>>(), [10, 10]);
}

#[tokio::test]
async fn a_page_has_100_secrets_when_no_limit_is_given() {
    let room = numbered(101).await;
    let pages = follow(&room, list()).await;
    assert_eq!(pages.iter().map(|page| page.items.len()).collect::<Vec<_>>(), [100, 1]);
}

#[tokio::test]
async fn every_order_can_be_paged() {
    let room = numbered(13).await;
    // Updates in reverse, so that the order by update is not the order of creation.
    for name in expected_names(13).iter().rev() {
        room.update(describe(name, "touched")).await;
    }
    let forwards = expected_names(13);
    let backwards: Vec<String> = forwards.iter().rev().cloned().collect();
    for (order, expected) in [
        ("name", &forwards),
        ("name desc", &backwards),
        ("created_at", &forwards),
        ("created_at desc", &backwards),
        ("updated_at", &backwards),
        ("updated_at desc", &forwards),
    ] {
        let request = ListSecretsRequest { limit: Some(4), order_by: order.into(), ..list() };
        let pages = follow(&room, request).await;
        assert_eq!(pages.iter().map(|page| page.items.len()).collect::<Vec<_>>(), [4, 4, 4, 1], "{order}");
        assert_eq!(all_names(&pages), *expected, "{order}");
    }
}

#[tokio::test]
async fn filters_apply_before_paging() {
    let room = Room::open().await;
    for n in 0..24 {
        let metadata = pairs(&[("third", if n % 3 == 0 { "yes" } else { "no" })]);
        room.create_with(CreateSecretRequest { metadata, ..create(&numbered_name(n), "v") }).await;
    }
    let thirds: Vec<String> = (0..24).step_by(3).map(numbered_name).collect();
    let request = ListSecretsRequest { limit: Some(3), metadata: pairs(&[("third", "yes")]), ..list() };

    let pages = follow(&room, request.clone()).await;
    assert_eq!(pages.iter().map(|page| page.items.len()).collect::<Vec<_>>(), [3, 3, 2]);
    assert!(pages.iter().all(|page| page.total_size == 8));
    assert_eq!(all_names(&pages), thirds);

    let page = room.list(ListSecretsRequest { offset: Some(6), ..request }).await;
    assert_eq!((names(&page), page.total_size), (thirds[6..].to_vec(), 8));
}

#[tokio::test]
async fn a_page_begins_after_the_last_secret_of_the_page_before() {
    let room = numbered(20).await;
    let request = ListSecretsRequest { limit: Some(5), ..list() };
    let first = room.list(request.clone()).await;
    assert_eq!(names(&first), expected_names(20)[..5]);

    // Between the two reads: a secret is created before the first page, two of the first page are deleted, also its last
    // one, and after it one is deleted and one created.
    room.create("a_before_all", "v").await;
    room.delete(&numbered_name(4)).await;
    room.delete(&numbered_name(0)).await;
    room.delete(&numbered_name(7)).await;
    room.create("n_006_and_a_half", "v").await;

    let second = room.list(ListSecretsRequest { page_token: first.next_page_token, ..request }).await;
    assert_eq!(names(&second), ["n_005", "n_006", "n_006_and_a_half", "n_008", "n_009"]);
    assert_eq!(second.total_size, 19);
}

#[tokio::test]
async fn a_page_after_the_end_is_empty() {
    let room = numbered(4).await;
    let request = ListSecretsRequest { limit: Some(2), ..list() };
    let first = room.list(request.clone()).await;
    for n in 0..4 {
        room.delete(&numbered_name(n)).await;
    }
    let second = room.list(ListSecretsRequest { page_token: first.next_page_token, ..request }).await;
    assert_eq!((second.items.len(), second.total_size, second.next_page_token.as_str()), (0, 0, ""));
}

#[tokio::test]
async fn pages_stay_disjoint_and_complete_while_others_write() {
    let room = numbered(60).await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let caller = room.caller.clone();
        writers.spawn(async move {
            for n in 0..30 {
                let name = format!("n_{n:03}_by_{writer}");
                caller.create(&name, "v").await;
                if n % 2 == 0 {
                    caller.delete(&name).await;
                }
            }
        });
    }
    let mut rounds = 0;
    while !writers.is_empty() || rounds == 0 {
        for order in ["name", "name desc", "created_at", "created_at desc"] {
            let request = ListSecretsRequest { limit: Some(7), order_by: order.into(), ..list() };
            let seen = all_names(&follow(&room, request).await);
            let distinct: BTreeSet<&String> = seen.iter().collect();
            assert_eq!(distinct.len(), seen.len(), "by {order}, a secret is on two pages: {seen:?}");
            let lost: Vec<_> =
                expected_names(60).into_iter().filter(|name| !distinct.contains(name)).collect();
            assert_eq!(
                lost,
                Vec::<String>::new(),
                "by {order}, secrets that were always there are on no page"
            );
        }
        while let Some(done) = writers.try_join_next() {
            done.unwrap();
        }
        rounds += 1;
    }
    assert_eq!(room.list(list()).await.total_size, 60 + 4 * 15);
}

#[tokio::test]
async fn a_token_works_with_another_limit() {
    let room = numbered(9).await;
    let first = room.list(ListSecretsRequest { limit: Some(2), ..list() }).await;
    let rest = ListSecretsRequest { limit: Some(1000), page_token: first.next_page_token, ..list() };
    assert_eq!(room.names_of(rest).await, expected_names(9)[2..]);
}

#[tokio::test]
async fn an_altered_token_is_refused() {
    let room = numbered(3).await;
    let token = room.list(ListSecretsRequest { limit: Some(1), ..list() }).await.next_page_token;
    let mut altered = vec![
        "x".to_owned(),
        " ".to_owned(),
        "\0".to_owned(),
        "A".repeat(token.len()),
        "A".repeat(100_000),
        format!("{token}A"),
        format!("A{token}"),
        format!(" {token}"),
        format!("{token}="),
        format!("{token}{token}"),
        token.to_uppercase(),
    ];
    altered.extend((1..token.len()).map(|end| token[..end].to_owned()));
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        altered.push(String::from_utf8(bytes).unwrap());
        // The other character differs in a few bits. At the end of the token, a lax decoder could drop these bits.
        let mut bytes = token.clone().into_bytes();
        bytes[at] ^= 1;
        altered.push(String::from_utf8(bytes).unwrap());
    }
    for page_token in altered.into_iter().filter(|altered| *altered != token) {
        let request = ListSecretsRequest { limit: Some(1), page_token, ..list() };
        invalid(room.secrets().list_secrets(request).await, &["page_token"]);
    }
}

#[tokio::test]
async fn a_token_of_another_query_is_refused() {
    let room = numbered(3).await;
    let page_token = room.list(ListSecretsRequest { limit: Some(1), ..list() }).await.next_page_token;
    let with_token = ListSecretsRequest { limit: Some(1), page_token, ..list() };
    for other in [
        ListSecretsRequest { order_by: "name desc".into(), ..with_token.clone() },
        ListSecretsRequest { order_by: "created_at".into(), ..with_token.clone() },
        ListSecretsRequest { name_prefix: "n".into(), ..with_token.clone() },
        ListSecretsRequest { metadata: pairs(&[("k", "v")]), ..with_token.clone() },
    ] {
        invalid(room.secrets().list_secrets(other).await, &["page_token"]);
    }
    assert_eq!(room.names_of(with_token).await, ["n_001"]);
}

#[tokio::test]
async fn a_token_of_another_namespace_is_refused() {
    let (here, there) = (numbered(3).await, numbered(3).await);
    let page_token = here.list(ListSecretsRequest { limit: Some(1), ..list() }).await.next_page_token;
    let request = ListSecretsRequest { limit: Some(1), page_token, ..list() };
    invalid(there.secrets().list_secrets(request.clone()).await, &["page_token"]);
    let request = ListSecretsRequest { namespace: there.namespace.clone(), ..request };
    invalid(here.root.secrets().list_secrets(request).await, &["page_token"]);
}

#[tokio::test]
async fn a_token_with_an_offset_is_refused() {
    let room = numbered(3).await;
    let page_token = room.list(ListSecretsRequest { limit: Some(1), ..list() }).await.next_page_token;
    let request = ListSecretsRequest { limit: Some(1), offset: Some(1), page_token, ..list() };
    let reply = room.secrets().list_secrets(request).await;
    let status = crate::refusal::refused(reply, tonic::Code::InvalidArgument, "VALIDATION_FAILED");
    let fields = crate::refusal::fields_of(&status);
    assert!(
        fields.iter().all(|field| field == "offset" || field == "page_token") && !fields.is_empty(),
        "{status:?}"
    );
}

/// A room with this many secrets, `n_000` and so on, made in the order of their names.
async fn numbered(count: usize) -> Room {
    let room = Room::open().await;
    for n in 0..count {
        room.create(&numbered_name(n), "v").await;
    }
    room
}

fn numbered_name(n: usize) -> String {
    format!("n_{n:03}")
}

fn expected_names(count: usize) -> Vec<String> {
    (0..count).map(numbered_name).collect()
}

/// All pages of a request, by token.
async fn follow(caller: &Caller, mut request: ListSecretsRequest) -> Vec<ListSecretsResponse> {
    let mut pages = Vec::new();
    loop {
        let page = caller.list(request.clone()).await;
        request.page_token.clone_from(&page.next_page_token);
        pages.push(page);
        if request.page_token.is_empty() {
            return pages;
        }
        assert!(pages.len() < 1000, "the pages have no end");
    }
}

fn all_names(pages: &[ListSecretsResponse]) -> Vec<String> {
    pages.iter().flat_map(names).collect()
}
