//! The keys of an issuer of tokens, as this server knows them.
//!
//! Keys from a file are read at the start and at each reload. Keys from a URL are fetched by the server: regularly, and when a
//! token names a key that is not known, since the issuer may have made a new one. Such a fetch begins at most every 30
//! seconds, and all tokens that need it wait for the same one. While the issuer cannot be reached, the last keys stay in use
//! for a bounded time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::auth::{KeySet, TokenRules};
use crate::config::{Issuer, KeySource};
use crate::domain::Invalid;

/// The shortest time from the end of a fetch to the begin of one that a token asks for.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a request waits for a fetch. The fetch itself takes at most 5 seconds.
const WAIT: Duration = Duration::from_secs(6);

/// An issuer, and its keys.
pub struct IssuerKeys {
    /// What makes its tokens credentials.
    pub rules: TokenRules,
    /// Where its keys are.
    pub source: KeySource,
    state: Mutex<State>,
    /// Asks for a fetch.
    wanted: Notify,
    /// The number of fetches that have ended.
    fetches: watch::Sender<u64>,
}

struct State {
    keys: Option<Keys>,
    /// Whether a fetch is under way.
    fetching: bool,
    /// When the last fetch ended, and whether it brought keys.
    last: Option<(Instant, bool)>,
}

#[derive(Clone)]
struct Keys {
    set: Arc<KeySet>,
    fetched: Instant,
}

/// No keys of the issuer are known, or they are older than they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysUnavailable;

/// A fetch of keys that is under way.
pub struct Fetch {
    fetches: watch::Receiver<u64>,
}

impl Fetch {
    /// Waits until the fetch has ended, for some seconds at most.
    pub async fn ended(mut self) {
        let _ = timeout(WAIT, self.fetches.changed()).await;
    }
}

impl IssuerKeys {
    /// A configured issuer, of which no keys are known yet. Fails where its home namespace is none.
    pub fn new(issuer: &Issuer) -> Result<Self, Invalid> {
        // The first fetch begins with the server.
        let fetching = matches!(issuer.keys, KeySource::Url { .. });
        Ok(Self {
            rules: TokenRules::new(issuer)?,
            source: issuer.keys.clone(),
            state: Mutex::new(State { keys: None, fetching, last: None }),
            wanted: Notify::new(),
            fetches: watch::channel(0).0,
        })
    }

    /// The keys.
    pub fn keys(&self) -> Result<Arc<KeySet>, KeysUnavailable> {
        let keys = self.with_state(|state| state.keys.clone()).ok_or(KeysUnavailable)?;
        match &self.source {
            KeySource::Url { max_age, .. } if keys.fetched.elapsed() > *max_age => Err(KeysUnavailable),
            KeySource::Url { .. } | KeySource::File(_) => Ok(keys.set),
        }
    }

    /// The fetch that may bring a key which is not known: the one under way, or a new one. `None`: there is none to wait for.
    pub fn fetch(&self) -> Option<Fetch> {
        let KeySource::Url { .. } = &self.source else { return None };
        let fetches = self.fetches.subscribe();
        let (under_way, begins) = self.with_state(|state| {
            let begins = !state.fetching && state.last.is_none_or(|(ended, _)| ended.elapsed() >= PAUSE);
            state.fetching |= begins;
            (state.fetching, begins)
        });
        if begins {
            self.wanted.notify_one();
        }
        under_way.then_some(Fetch { fetches })
    }

    /// Whether the last fetch brought no keys, so that it is not known which keys the issuer has now.
    pub fn is_unreachable(&self) -> bool {
        self.with_state(|state| matches!(state.last, Some((_, false))))
    }

    /// Puts the keys of a file in use.
    pub fn read(&self, keys: KeySet) {
        let keys = Some(Keys { set: Arc::new(keys), fetched: Instant::now() });
        self.with_state(|state| state.keys = keys);
    }

    /// Ends a fetch: its keys are in use from now on. Without keys, the former ones stay in use.
    pub fn fetched(&self, keys: Option<KeySet>) {
        let now = Instant::now();
        self.with_state(|state| {
            state.last = Some((now, keys.is_some()));
            if let Some(keys) = keys {
                state.keys = Some(Keys { set: Arc::new(keys), fetched: now });
            }
            state.fetching = false;
        });
        self.fetches.send_modify(|fetches| *fetches += 1);
    }

    /// Waits until the next fetch begins: after this time, or when it is asked for.
    pub async fn next_fetch(&self, after: Duration) {
        tokio::select! {
            () = sleep(after) => {}
            () = self.wanted.notified() => {}
        }
        self.with_state(|state| state.fetching = true);
    }

    /// Has the keys fetched now.
    pub fn refresh(&self) {
        self.wanted.notify_one();
    }

    fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

    fn issuer(keys: &str) -> IssuerKeys {
        let toml = format!("[[issuers]]\nname = 'i'\nissuer = 'i'\naudiences = ['a']\n{keys}");
        let config = Config::try_from(toml::from_str::<Settings>(&toml).unwrap()).unwrap();
        IssuerKeys::new(&config.issuers[0]).unwrap()
    }

    fn remote() -> IssuerKeys {
        issuer("jwks_url = 'https://i/'\njwks_max_age = '1h'")
    }

    fn some_keys() -> KeySet {
        let key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"; // RFC 8037, appendix A.2
        KeySet::parse(format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{key}"}}]}}"#).as_bytes())
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_unknown_keys_causes_one_fetch_in_30_seconds() {
        let issuer = remote();
        assert!(issuer.fetch().is_some(), "the first fetch is under way");
        issuer.fetched(Some(some_keys()));
        for _ in 0..1000 {
            assert!(issuer.fetch().is_none());
        }
        tokio::time::advance(PAUSE).await;
        let waits: Vec<_> = (0..1000).map(|_| issuer.fetch().unwrap()).collect();
        issuer.next_fetch(Duration::MAX).await;
        issuer.fetched(Some(some_keys()));
        for wait in waits {
            wait.ended().await;
        }
        assert!(issuer.fetch().is_none());
        let more = timeout(PAUSE / 2, issuer.next_fetch(Duration::MAX)).await;
        assert!(more.is_err(), "one fetch was asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_stay_in_use_for_a_bounded_time_while_they_cannot_be_fetched() {
        let issuer = remote();
        assert_eq!(issuer.keys().err(), Some(KeysUnavailable));
        issuer.fetched(Some(some_keys()));
        assert!(!issuer.is_unreachable());
        tokio::time::advance(Duration::from_secs(60 * 59)).await;
        issuer.fetched(None);
        assert!(issuer.keys().is_ok() && issuer.is_unreachable());
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(issuer.keys().err(), Some(KeysUnavailable));
        issuer.fetched(Some(some_keys()));
        assert!(issuer.keys().is_ok() && !issuer.is_unreachable());
    }

    #[tokio::test(start_paused = true)]
    async fn keys_of_a_file_are_read_and_never_fetched() {
        let issuer = issuer("jwks_file = 'keys.json'");
        assert!(issuer.keys().is_err() && issuer.fetch().is_none());
        issuer.read(some_keys());
        tokio::time::advance(Duration::from_secs(365 * 24 * 60 * 60)).await;
        assert!(issuer.keys().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_fetch_for_some_seconds_only() {
        let (issuer, began) = (remote(), Instant::now());
        issuer.fetch().unwrap().ended().await;
        assert_eq!(began.elapsed(), WAIT);
    }
}
