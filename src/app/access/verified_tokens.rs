//! The tokens that were verified, so that a token is verified once and not with each request.
//!
//! A token is known by its SHA-256 digest; its text is not kept. There are two generations: when the newer one is full, it
//! becomes the older one, and the older one is dropped. So a token in use stays, and the number of tokens is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::VerifiedToken;

/// The most tokens of a generation. Each takes at most about twice the bytes of its text, which is at most 8 KiB.
const GENERATION: usize = 2048;

type Digest = [u8; 32];

/// The tokens that were verified.
#[derive(Default)]
pub(super) struct VerifiedTokens(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    newer: HashMap<Digest, Arc<VerifiedToken>>,
    older: HashMap<Digest, Arc<VerifiedToken>>,
}

impl VerifiedTokens {
    /// The token with this digest. It may have expired, and its key may be gone.
    pub(super) fn find(&self, digest: &Digest) -> Option<Arc<VerifiedToken>> {
        let mut generations = self.lock();
        if let Some(token) = generations.newer.get(digest) {
            return Some(token.clone());
        }
        let token = generations.older.remove(digest)?;
        generations.keep(*digest, token.clone());
        Some(token)
    }

    /// Keeps a token that was verified.
    pub(super) fn keep(&self, digest: Digest, token: Arc<VerifiedToken>) {
        self.lock().keep(digest, token);
    }

    /// Forgets a token.
    pub(super) fn forget(&self, digest: &Digest) {
        let mut generations = self.lock();
        generations.newer.remove(digest);
        generations.older.remove(digest);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, digest: Digest, token: Arc<VerifiedToken>) {
        if self.newer.len() >= GENERATION {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(digest, token);
    }
}
