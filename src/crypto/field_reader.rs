//! Reads the fixed-length fields of a record in the clear. What is cut short is an integrity failure, never a panic.

use super::aead::{Error, KeyBytes};

/// The unread rest of a record in the clear.
pub struct FieldReader<'a>(pub &'a [u8]);

impl<'a> FieldReader<'a> {
    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let (part, rest) = self.0.split_first_chunk().ok_or(Error::Integrity)?;
        self.0 = rest;
        Ok(part)
    }

    /// The next `length` bytes.
    pub fn slice(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (part, rest) = self.0.split_at_checked(length).ok_or(Error::Integrity)?;
        self.0 = rest;
        Ok(part)
    }

    /// A key: the next 32 bytes.
    pub fn key(&mut self) -> Result<KeyBytes, Error> {
        KeyBytes::from_slice(self.take::<32>()?).ok_or(Error::Integrity)
    }

    /// A number: the next 4 bytes, big-endian.
    pub fn number(&mut self) -> Result<u32, Error> {
        self.take().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// A count: the next 8 bytes, big-endian.
    pub fn count(&mut self) -> Result<u64, Error> {
        self.take().map(|bytes| u64::from_be_bytes(*bytes))
    }
}
