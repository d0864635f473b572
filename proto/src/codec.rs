//! How messages lie in memory on their way: gRPC's codec with small buffers to begin with.
//!
//! Invariant: the bytes on the wire are those of tonic's own codec. Its buffers take 16 kB a stream from
//! the start and for as long as it is open, most of what an idle phone costs; these grow when they must.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// Bytes a buffer begins with; most messages are smaller.
const BUFFER: usize = 512;
/// Bytes of waiting messages that are handed on together, tonic's own number.
const YIELD: usize = 32 * 1024;

/// Named by the generated code.
#[derive(Debug)]
pub struct Small<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Small<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Small<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER, YIELD))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER, YIELD))
    }
}
