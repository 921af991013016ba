//! Page tokens: where a page ended, sealed, so that they can be neither read nor made up, and bound to their query.

use data_encoding::BASE64URL_NOPAD;
use prost::Message;

use super::{App, Error};
use crate::crypto::Mac;
use crate::domain::{Cursor, Filter, Invalid, Order, OrderBy, SecretId, SecretName, Timestamp};

impl App {
    pub(super) fn seal_page_token(
        &self,
        cursor: &Cursor,
        filter: &Filter,
        order: Order,
    ) -> Result<String, Error> {
        let query = self.query_mac(filter, order);
        let sealed = self.keyring().seal_token(&query, &Token::of(cursor).encode_to_vec())?;
        Ok(BASE64URL_NOPAD.encode(&sealed))
    }

    /// Where the page ended that gave this token, when it was one of this same query.
    pub fn open_page_token(&self, token: &str, filter: &Filter, order: Order) -> Result<Cursor, Invalid> {
        let open = || {
            let sealed = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
            let query = self.query_mac(filter, order);
            let clear = self.keyring().open_token(&query, &sealed).ok()?;
            Token::decode(clear.as_slice()).ok()?.cursor(order.by)
        };
        const REFUSED: Invalid =
            Invalid::new("must be the next_page_token of a reply to this same query: begin again without it");
        open().ok_or(REFUSED)
    }

    fn query_mac(&self, filter: &Filter, order: Order) -> Mac {
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
        self.keyring().query_mac(&parts)
    }
}

/// A page token, in the clear: a name, or a time (microseconds since 1970) and an id.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Token {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int64, tag = "2")]
    pub(super) time: i64,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) id: Vec<u8>,
}

impl Token {
    fn of(cursor: &Cursor) -> Self {
        match cursor {
            Cursor::Name(name) => Self { name: name.to_string(), ..Self::default() },
            Cursor::Time(time, id) => {
                Self { time: time.as_micros(), id: id.as_bytes().to_vec(), ..Self::default() }
            }
        }
    }

    pub(super) fn cursor(self, by: OrderBy) -> Option<Cursor> {
        Some(match by {
            OrderBy::Name => Cursor::Name(SecretName::parse(&self.name).ok()?),
            OrderBy::CreatedAt | OrderBy::UpdatedAt => {
                let id = SecretId::from_bytes(self.id.try_into().ok()?);
                Cursor::Time(Timestamp::from_micros(self.time), id)
            }
        })
    }
}
