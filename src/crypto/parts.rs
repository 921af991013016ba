use super::aead::{Error, KeyBytes};

/// What is left to read of a record in the clear.
pub(super) struct Parts<'a>(pub(super) &'a [u8]);

impl<'a> Parts<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let (part, rest) = self.0.split_first_chunk().ok_or(Error::Integrity)?;
        self.0 = rest;
        Ok(part)
    }

    pub(super) fn slice(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (part, rest) = self.0.split_at_checked(length).ok_or(Error::Integrity)?;
        self.0 = rest;
        Ok(part)
    }

    pub(super) fn key(&mut self) -> Result<KeyBytes, Error> {
        KeyBytes::from_slice(self.take::<32>()?).ok_or(Error::Integrity)
    }

    /// 4 bytes, big-endian.
    pub(super) fn number(&mut self) -> Result<u32, Error> {
        self.take().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// 8 bytes, big-endian.
    pub(super) fn count(&mut self) -> Result<u64, Error> {
        self.take().map(|bytes| u64::from_be_bytes(*bytes))
    }
}
