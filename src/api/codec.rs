//! How messages are read from a stream, and written to it: with prost, into small buffers at first.
//!
//! tonic's own codec begins each request and each answer with a buffer of 8 KiB, and most messages have a few hundred bytes. The
//! allocator looks longer for such a block, and the whole block is wiped afterwards.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, EncodeBuf};
use tonic_prost::ProstDecoder;

/// The size of a buffer at first, in bytes: glibc keeps blocks up to this size in a cache of each thread.
const BUFFER: usize = 1 << 10;
/// From which size on the messages of a stream are sent before further ones are added to them: as in tonic's own codec.
const SENT: usize = 32 << 10;

/// The codec of the generated services.
pub(super) struct Codec<Encode, Decode>(PhantomData<(Encode, Decode)>);

/// Writes messages.
pub(super) struct Encoder<Encode>(PhantomData<Encode>);

impl<Encode, Decode> Default for Codec<Encode, Decode> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Message + 'static, D: Message + Default + 'static> tonic::codec::Codec for Codec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Encoder<E>;
    type Decoder = ProstDecoder<D>;

    fn encoder(&mut self) -> Encoder<E> {
        Encoder(PhantomData)
    }

    fn decoder(&mut self) -> ProstDecoder<D> {
        ProstDecoder::new(BufferSettings::new(BUFFER, SENT))
    }
}

impl<E: Message> tonic::codec::Encoder for Encoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len()); // once, in place of several times as it grows
        message.encode(buffer).map_err(|_| Status::internal("the answer could not be encoded"))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, SENT)
    }
}
