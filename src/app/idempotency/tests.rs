//! Idempotency records that expire, and damaged ones.

use crate::app::fixture::{Fixture, named, request};
use crate::app::{App, Error};
use crate::auth::Write;
use crate::domain::{Timestamp, now};

#[tokio::test]
async fn records_are_removed_when_they_expire_and_not_before() {
    let fixture = Fixture::open().await;
    let delete = async |app: &App| {
        app.secrets.delete(&fixture.grant::<Write>(), &named("a"), None, Some(&request())).await
    };
    let made = fixture.create("a", "a").await.unwrap();
    delete(&fixture.app).await.unwrap();
    assert_eq!(fixture.app.idempotency.remove_expired().await.unwrap(), 0);
    assert_eq!(delete(&fixture.app).await.unwrap().id, made.id);
    assert_eq!(fixture.stored(b'r').await.len(), 1);
    // A record that cannot be opened stays for 24 hours after that was noticed.
    let (key, entry) = fixture.stored(b'r').await.remove(0);
    let mut altered = entry.value.clone();
    *altered.last_mut().unwrap() ^= 1;
    fixture.overwrite(&key, altered).await;
    let app = fixture.restart().await;
    assert_eq!(app.idempotency.remove_expired().await.unwrap(), 0);
    assert!(matches!(delete(&app).await.err(), Some(Error::Integrity)));
    let since = Timestamp::from_micros(now().as_micros() - 24 * 60 * 60 * 1_000_000);
    app.idempotency.damaged.lock().unwrap().values_mut().for_each(|known| *known = since);
    assert_eq!(app.idempotency.remove_expired().await.unwrap(), 1);
    assert!(fixture.stored(b'r').await.is_empty());
}
