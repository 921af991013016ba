//! The API key that a client presents, or the token of an issuer that the service knows.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bytes::Bytes;
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

/// An API key, `srk_…`, or a token (JWT), `eyJ…`.
///
/// Its memory is wiped when it is dropped; a client's copy is wiped with the last clone of the client. `Debug` does not
/// show it.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

/// Why a text or a file has no API key. Shows neither.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiKeyError {
    /// The text is empty, or has characters that cannot be in an API key.
    #[error("this is not an API key: srk_… on one line is expected")]
    Malformed,
    /// The same, in a file or an environment variable.
    #[error("{0} does not hold an API key: srk_… on one line is expected")]
    MalformedIn(String),
    /// There is nothing in the file.
    #[error("{0} is empty: srk_… on one line is expected")]
    Empty(String),
    /// The key itself is given where the name of its file is expected.
    #[error(
        "an API key is given where the name of its file is expected: write it to a file, or give it in STRONGROOM_API_KEY"
    )]
    NotAFile,
    /// The file cannot be read.
    #[error("{} cannot be read: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// The most bytes of a token. An API key has far less.
const LONGEST: u64 = 8192;

impl ApiKey {
    /// Takes the key from a text, without the space around it that shells and files leave.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        let text = text.trim();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || !printable || text.len() as u64 > LONGEST {
            return Err(ApiKeyError::Malformed);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Reads the key from a file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ApiKeyError> {
        let path = path.as_ref();
        if path.to_str().is_some_and(is_credential) {
            return Err(ApiKeyError::NotAFile);
        }
        let file =
            fs::File::open(path).map_err(|error| ApiKeyError::Unreadable { path: path.to_owned(), error })?;
        Self::from_reader(file, &path.display().to_string())
    }

    /// Reads the key from an open file or a pipe, which errors call by this name.
    pub fn from_reader(from: impl Read, name: &str) -> Result<Self, ApiKeyError> {
        // Reserved whole, for growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * LONGEST as usize));
        from.take(LONGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| ApiKeyError::Unreadable { path: name.into(), error })?;
        if bytes.trim_ascii().is_empty() {
            return Err(ApiKeyError::Empty(name.to_owned()));
        }
        let malformed = || ApiKeyError::MalformedIn(name.to_owned());
        Self::parse(std::str::from_utf8(&bytes).map_err(|_| malformed())?).map_err(|_| malformed())
    }

    /// The `authorization` header that presents the key. Its clones share one copy, which is wiped with the last of them.
    pub(crate) fn header(&self) -> Result<MetadataValue<Ascii>, ApiKeyError> {
        let text = Zeroizing::new([b"Bearer ", self.0.as_bytes()].concat());
        let mut header =
            MetadataValue::try_from(Bytes::from_owner(text)).map_err(|_| ApiKeyError::Malformed)?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// Whether a text is a credential: an API key, a master key, or a token.
fn is_credential(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or_default();
    let token = name.starts_with("eyJ") && name.len() > 20;
    ["srk_", "srmk_"].iter().any(|mark| name.starts_with(mark) && name.len() > 20) || token
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        Self::parse(text)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_around_a_key_is_no_part_of_it() {
        let key = ApiKey::parse(" srk_id_secret\r\n").unwrap();
        assert_eq!(key.header().unwrap().to_str().unwrap(), "Bearer srk_id_secret");
    }

    #[test]
    fn other_texts_are_refused_and_not_shown() {
        let long = "x".repeat(8193);
        for text in ["", " \n", "srk_hidden\nsrk_hidden", "srk hidden", "srk_hidden\0", "srk_hiddén", &long]
        {
            let refused = ApiKey::parse(text).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("hidd"), "{refused}");
        }
    }

    #[test]
    fn a_key_does_not_show() {
        let key = ApiKey::parse("srk_hidden").unwrap();
        assert!(!format!("{key:?} {:?}", key.header().unwrap()).contains("hidden"));
    }
}
