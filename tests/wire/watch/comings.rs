//! Secrets that go and come back: what a watch tells of expiry, of deletion, and of what the server does by itself.

use prost_types::Duration;
use strongroom::api::v1::{
    CreateSecretRequest, SecretEvent, SecretEventType as Is, UndeleteSecretRequest, UpdateSecretRequest,
    WatchSecretsRequest,
};

use super::{Watching, after, bare_key, bind, summary, told, watch};
use crate::caller::{Caller, Room};
use crate::harness::Launch;
use crate::requests::{create, update};

#[tokio::test]
async fn a_secret_that_comes_back_is_told_with_the_name_that_it_had() {
    let room = Room::open().await;
    let (key, narrow) = bare_key(&room).await;
    bind(&room, &key, &room.namespace, "app_*").await;
    let (mut all, _) = Watching::synced(&room, watch()).await;
    let begun = all.resume;
    let (mut of_app, _) = Watching::synced(&narrow, watch()).await;
    let (mut of_prefix, _) =
        Watching::synced(&room, WatchSecretsRequest { name_prefix: "app_".into(), ..watch() }).await;
    let undelete = async |id: &str, new_name: &str| {
        let request =
            UndeleteSecretRequest { id: id.into(), new_name: new_name.into(), ..Default::default() };
        room.secrets().undelete_secret(request).await.unwrap()
    };
    let id = room.create("app_a", "v").await.id;
    room.delete("app_a").await;
    undelete(&id, "").await;
    room.delete("app_a").await;
    undelete(&id, "hidden").await;
    room.delete("hidden").await;
    undelete(&id, "app_b").await;

    let undeleted =
        |name: &str, former: Option<&str>| (Is::Undeleted, name.to_owned(), former.map(ToOwned::to_owned));
    let expected = [
        told(Is::Created, "app_a"),
        told(Is::Deleted, "app_a"),
        undeleted("app_a", None),
        told(Is::Deleted, "app_a"),
        undeleted("hidden", Some("app_a")),
        told(Is::Deleted, "hidden"),
        undeleted("app_b", Some("hidden")),
    ];
    let mut events = Vec::new();
    for expected in &expected {
        let event = all.event().await;
        assert_eq!(summary(&event), *expected);
        let secret = event.secret.as_ref().unwrap();
        assert_eq!((secret.id == id, secret.deleted_at.is_some()), (true, expected.0 == Is::Deleted));
        events.push(event);
    }
    let (_, again) = Watching::synced(&room, after(begun)).await;
    assert_eq!(again, events);
    // A former name that the watcher may not list is not told; one that it only does not watch is.
    for (watching, former) in [(&mut of_app, None), (&mut of_prefix, Some("hidden"))] {
        for expected in &expected[..4] {
            assert_eq!(watching.told().await, *expected);
        }
        assert_eq!(watching.told().await, undeleted("app_b", former));
    }
}

/// The events of one secret, up to the one that it is gone for good.
async fn until_purged(watching: &mut Watching, name: &str) -> Vec<SecretEvent> {
    let mut events = Vec::new();
    loop {
        let event = watching.event().await;
        if event.secret.as_ref().unwrap().name == name {
            let kind = event.r#type();
            events.push(event);
            if kind == Is::Purged {
                return events;
            }
        }
    }
}

#[tokio::test]
async fn expiry_and_removal_are_told_when_they_come() {
    let server = Launch::in_memory().configured("deletion_retention = '1s'").start();
    let root = Caller::root(&server).await;
    let (mut live, _) = Watching::synced(&root, watch()).await;
    let begun = live.resume;
    let ttl = Some(Duration { seconds: 1, nanos: 0 });
    root.create_with(CreateSecretRequest { ttl, ..create("expires", "v") }).await;
    let events = until_purged(&mut live, "expires").await;
    let kinds: Vec<_> = events.iter().map(SecretEvent::r#type).collect();
    // A secret with a second left expires within 24 hours, unless that second has passed before it was told.
    let without_warning: Vec<_> = kinds.iter().copied().filter(|kind| *kind != Is::Expiring).collect();
    assert_eq!(without_warning, [Is::Created, Is::Expired, Is::Purged]);
    let secret = |nth: usize| events[nth].secret.clone().unwrap();
    assert!(events.iter().all(|event| event.secret.as_ref().unwrap().expires_at == secret(0).expires_at));
    let (_, again) = Watching::synced(&root, after(begun)).await;
    // When it is removed for good depends on the present settings, and is told once it has expired.
    let told =
        |events: &[SecretEvent]| events.iter().map(|of| (of.r#type(), of.revision)).collect::<Vec<_>>();
    assert_eq!(told(&again), told(&events));

    root.create("deleted", "v").await;
    root.delete("deleted").await;
    let events = until_purged(&mut live, "deleted").await;
    let kinds: Vec<_> = events.iter().map(SecretEvent::r#type).collect();
    assert_eq!(kinds, [Is::Created, Is::Deleted, Is::Purged]);
    assert!(events[2].secret.as_ref().unwrap().deleted_at.is_some(), "the secret as it was last");
}

#[tokio::test]
async fn a_secret_that_expires_within_a_day_is_told_once_for_each_expiry() {
    let room = Room::open().await;
    let (mut live, _) = Watching::synced(&room, watch()).await;
    let hours = |hours: i64| Some(Duration { seconds: hours * 3600, nanos: 0 });
    room.create_with(CreateSecretRequest { ttl: hours(30), ..create("later", "v") }).await;
    let made = room.create_with(CreateSecretRequest { ttl: hours(23), ..create("soon", "v") }).await;
    assert_eq!(live.told().await, told(Is::Created, "later"));
    assert_eq!(live.told().await, told(Is::Created, "soon"));
    let expiring = live.event().await;
    assert_eq!(summary(&expiring), told(Is::Expiring, "soon"));
    let secret = expiring.secret.unwrap();
    assert_eq!((&secret.etag, secret.updated_at), (&made.etag, made.updated_at), "to tell is no change");
    // Another expiry is told again.
    let expires_at = secret.expires_at.map(|mut at| {
        at.seconds -= 3600;
        at
    });
    room.update(UpdateSecretRequest { expires_at, ..update("soon") }).await;
    assert_eq!(live.told().await, told(Is::Updated, "soon"));
    assert_eq!(live.told().await, told(Is::Expiring, "soon"));
}
