//! Pages of API keys and bindings, in the order of their creation.

use data_encoding::BASE64URL_NOPAD;
use prost::Message;

use super::AccessControl;
use crate::app::Error;
use crate::crypto::Mac;
use crate::domain::{Invalid, Revision, Timestamp};

/// How many bytes of names and descriptions a page holds, at most and roughly: a gRPC client accepts 4 MiB by default.
const PAGE_BYTES: usize = 1 << 20;

/// A page.
pub struct AccessPage<T> {
    /// What is on it, oldest first.
    pub items: Vec<T>,
    /// The token of the next page; `None` where this is the last page.
    pub next: Option<String>,
    /// The store's revision that the page was read at, or an earlier one.
    pub revision: Revision,
}

/// The place of a key or a binding in the order of creation.
pub(super) type Place = (Timestamp, [u8; 10]);

/// A token in the clear.
#[derive(Clone, PartialEq, prost::Message)]
struct AccessPageToken {
    #[prost(int64, tag = "1")]
    created_at: i64,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
}

impl AccessControl {
    /// A page of these items, which come in order. `size` says how many bytes one takes, roughly.
    pub(super) fn page<T>(
        &self,
        query: &Mac,
        items: impl Iterator<Item = T>,
        limit: usize,
        place: impl Fn(&T) -> Place,
        size: impl Fn(&T) -> usize,
    ) -> Result<(Vec<T>, Option<String>), Error> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for item in items {
            bytes += size(&item);
            let full = page.len() >= limit || bytes > PAGE_BYTES;
            if let Some(last) = page.last().filter(|_| full) {
                let (created_at, id) = place(last);
                let token = AccessPageToken { created_at: created_at.as_micros(), id: id.to_vec() };
                let sealed = self.core.keyring().seal_token(query, &token.encode_to_vec())?;
                return Ok((page, Some(BASE64URL_NOPAD.encode(&sealed))));
            }
            page.push(item);
        }
        Ok((page, None))
    }

    /// The place behind which the page with this token begins; `None` where the token is empty. Refuses the token of another query.
    pub(super) fn open_page(&self, query: &Mac, token: &str) -> Result<Option<Place>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let open = || {
            let sealed = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
            let clear = self.core.keyring().open_token(query, &sealed).ok()?;
            let token = AccessPageToken::decode(clear.as_slice()).ok()?;
            Some((Timestamp::from_micros(token.created_at), token.id.try_into().ok()?))
        };
        const REFUSED: Invalid =
            Invalid::new("must be the next_page_token of a reply to this same query: begin again without it");
        open().map(Some).ok_or_else(|| Error::of_field("page_token", REFUSED))
    }
}
