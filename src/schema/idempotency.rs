//! The idempotency record of a request in the clear: the first outcome of its request id.

/// The first outcome of a request id. Times are microseconds since 1970.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IdempotencyRecord {
    /// The HMAC of the request, 32 bytes: a second request with the same id must have the same.
    #[prost(bytes = "vec", tag = "1")]
    pub body: Vec<u8>,
    /// When the request was answered first.
    #[prost(int64, tag = "2")]
    pub at: i64,
    /// The id of the secret, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub secret_id: Vec<u8>,
    /// The secret after the request, as [`encode_secret`](super::encode_secret) writes it; empty after a deletion.
    #[prost(bytes = "vec", tag = "4")]
    pub secret: Vec<u8>,
    /// When the secret was deleted; absent: it was not.
    #[prost(int64, optional, tag = "5")]
    pub deleted_at: Option<i64>,
    /// The revision of the secret's last change, where the request changed nothing.
    #[prost(uint64, optional, tag = "6")]
    pub unchanged_since: Option<u64>,
    /// The revision that first put the record there, where it was sealed again since.
    #[prost(uint64, optional, tag = "7")]
    pub put_at: Option<u64>,
}
