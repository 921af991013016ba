//! Page tokens: the place where a page ended. A token is sealed, so that nobody can read it or make one up. It is bound to its
//! query, and refused for every other query.

use data_encoding::BASE64URL_NOPAD;
use prost::Message;

use super::SecretOperations;
use crate::app::Error;
use crate::auth::NameFilter;
use crate::crypto::Mac;
use crate::domain::{Cursor, Filter, Invalid, Order, OrderBy, SecretId, SecretName, Timestamp};

impl SecretOperations {
    /// The token of the page that begins behind the cursor.
    pub(super) fn seal_page_token(
        &self,
        cursor: &Cursor,
        names: &NameFilter,
        filter: &Filter,
        order: Order,
    ) -> Result<String, Error> {
        let query = self.query_mac(names, filter, order);
        let sealed = self.core.keyring().seal_token(&query, &PageToken::of(cursor).encode_to_vec())?;
        Ok(BASE64URL_NOPAD.encode(&sealed))
    }

    /// The place where the page with this token ended. Refuses the token of another query, also one that lists other names.
    pub fn open_page_token(
        &self,
        token: &str,
        names: &NameFilter,
        filter: &Filter,
        order: Order,
    ) -> Result<Cursor, Invalid> {
        let open = || {
            let sealed = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
            let query = self.query_mac(names, filter, order);
            let clear = self.core.keyring().open_token(&query, &sealed).ok()?;
            PageToken::decode(clear.as_slice()).ok()?.cursor(order.by)
        };
        const REFUSED: Invalid =
            Invalid::new("must be the next_page_token of a reply to this same query: begin again without it");
        open().ok_or(REFUSED)
    }

    fn query_mac(&self, names: &NameFilter, filter: &Filter, order: Order) -> Mac {
        let by = match order.by {
            OrderBy::Name => 0,
            OrderBy::CreatedAt => 1,
            OrderBy::UpdatedAt => 2,
        };
        let order = [by, u8::from(order.descending)];
        let mut parts: Vec<&[u8]> =
            vec![filter.namespace.as_str().as_bytes(), filter.prefix.as_bytes(), &order];
        for (key, value) in filter.metadata.iter() {
            parts.extend([key.as_bytes(), value.as_bytes()]);
        }
        // No key of metadata is empty.
        let since = filter.unused_since.map(|since| since.as_micros().to_be_bytes());
        if let Some(since) = &since {
            parts.extend([b"".as_slice(), b"unused_since", since]);
        }
        if filter.include_deleted {
            parts.extend([b"".as_slice(), b"include_deleted"]);
        }
        if !names.is_every() {
            let (allow, deny) = names.patterns();
            for (mark, patterns) in [("allow", allow), ("deny", deny)] {
                parts.extend([b"".as_slice(), mark.as_bytes()]);
                parts.extend(patterns.iter().map(|pattern| pattern.as_str().as_bytes()));
            }
        }
        self.core.keyring().query_mac(&parts)
    }
}

/// A page token in the clear: a name, with an id where several secrets can have the name, or a time (microseconds since 1970) and
/// an id.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::app) struct PageToken {
    #[prost(string, tag = "1")]
    pub(in crate::app) name: String,
    #[prost(int64, tag = "2")]
    pub(in crate::app) time: i64,
    #[prost(bytes = "vec", tag = "3")]
    pub(in crate::app) id: Vec<u8>,
}

impl PageToken {
    fn of(cursor: &Cursor) -> Self {
        match cursor {
            Cursor::Name(name, id) => {
                let id = id.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
                Self { name: name.to_string(), id, ..Self::default() }
            }
            Cursor::Time(time, id) => {
                Self { time: time.as_micros(), id: id.as_bytes().to_vec(), ..Self::default() }
            }
        }
    }

    /// The place that the token names in that order; `None` where it names none.
    pub(in crate::app) fn cursor(self, by: OrderBy) -> Option<Cursor> {
        Some(match by {
            OrderBy::Name if self.id.is_empty() => Cursor::Name(SecretName::parse(&self.name).ok()?, None),
            OrderBy::Name => {
                let id = SecretId::from_bytes(self.id.try_into().ok()?);
                Cursor::Name(SecretName::parse(&self.name).ok()?, Some(id))
            }
            OrderBy::CreatedAt | OrderBy::UpdatedAt => {
                let id = SecretId::from_bytes(self.id.try_into().ok()?);
                Cursor::Time(Timestamp::from_micros(self.time), id)
            }
        })
    }
}
