//! The credential that each request presents, and how it is renewed: a file is read again when it changes, and a token is asked
//! for again before it expires. What the service refuses is renewed once.

use std::fmt;
use std::fs::{self, Metadata};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

use crate::api_key::{ApiKey, ApiKeyError};
use crate::error::{Error, causes};

/// The `authorization` header. Its text is wiped with the last clone, and no print shows it.
pub(crate) type Header = MetadataValue<Ascii>;

/// A token is renewed this long before it expires.
const RENEW_BEFORE: Duration = Duration::from_secs(30);
/// A file is looked at no more often than this. When the service refuses what it held, it is read at once.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A token (JWT) that a token source returns; see [`Builder::token_source`](crate::Builder::token_source).
///
/// Its memory is wiped when it is dropped, and `Debug` does not show it.
pub struct Token {
    text: Zeroizing<String>,
    expires_at: Option<SystemTime>,
}

impl Token {
    /// A token that is asked for again only when the service refuses it.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: Zeroizing::new(text.into()), expires_at: None }
    }

    /// The same token, which is asked for again 30 seconds before this time.
    #[must_use]
    pub fn expires_at(self, time: SystemTime) -> Self {
        Self { expires_at: Some(time), ..self }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The caller's function that returns tokens.
pub(crate) type AskForToken =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Token, BoxError>> + Send>> + Send + Sync>;

/// Where the header comes from.
pub(crate) enum Credential {
    /// No header: the client certificate is the credential, or there is none.
    None,
    Fixed(Header),
    File(KeyFile),
    Source(TokenSource),
}

impl Credential {
    /// The header for the next request.
    pub(crate) async fn current(&self) -> Result<Option<Header>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(header) => Ok(Some(header.clone())),
            Self::File(file) => Ok(Some(file.current())),
            Self::Source(source) => source.current().await.map(Some),
        }
    }

    /// Whether there can be another credential later.
    pub(crate) fn is_renewed(&self) -> bool {
        matches!(self, Self::File(_) | Self::Source(_))
    }

    /// Whether there is another credential than the one that the service has refused.
    pub(crate) async fn renew(&self, refused: Option<&Header>) -> bool {
        match self {
            Self::None | Self::Fixed(_) => return false,
            Self::File(file) => file.read_again(),
            Self::Source(source) => source.forget(refused).await,
        }
        self.current().await.is_ok_and(|now| now.as_ref() != refused)
    }
}

/// A file that holds an API key or a token.
pub(crate) struct KeyFile {
    path: PathBuf,
    kept: Mutex<Kept>,
}

struct Kept {
    header: Header,
    /// The file as it was when it was read.
    stamp: Option<Stamp>,
    looked_at: Instant,
}

/// What changes when a file is written or replaced.
#[derive(PartialEq, Eq)]
struct Stamp(Option<SystemTime>, u64, u64);

impl Stamp {
    fn of(file: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(file);
        #[cfg(not(unix))]
        let inode = 0;
        Self(file.modified().ok(), file.len(), inode)
    }
}

impl KeyFile {
    /// Reads the file. A pipe is read only once.
    pub(crate) fn open(path: PathBuf) -> Result<Credential, ApiKeyError> {
        // The look at the file comes first: a change between the two is noticed the next time.
        let found = fs::metadata(&path).ok();
        let header = ApiKey::from_file(&path)?.header()?;
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            return Ok(Credential::Fixed(header));
        }
        let kept = Kept { header, stamp: found.as_ref().map(Stamp::of), looked_at: Instant::now() };
        Ok(Credential::File(Self { path, kept: Mutex::new(kept) }))
    }

    fn current(&self) -> Header {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.looked_at.elapsed() >= LOOK_EVERY {
            kept.looked_at = Instant::now();
            let stamp = fs::metadata(&self.path).ok().as_ref().map(Stamp::of);
            if stamp.is_some() && stamp != kept.stamp {
                self.read_into(&mut kept, stamp);
            }
        }
        kept.header.clone()
    }

    fn read_again(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = fs::metadata(&self.path).ok().as_ref().map(Stamp::of);
        self.read_into(&mut kept, stamp);
    }

    /// Reads the file. Where that fails, the program that replaces it may be in the middle of it: the last text works for as
    /// long as the service accepts it.
    fn read_into(&self, kept: &mut Kept, stamp: Option<Stamp>) {
        if let Ok(header) = ApiKey::from_file(&self.path).and_then(|key| key.header()) {
            kept.header = header;
            kept.stamp = stamp;
        }
    }
}

/// The caller's function, and the token that it returned last.
pub(crate) struct TokenSource {
    ask: AskForToken,
    kept: tokio::sync::Mutex<Option<(Header, Option<SystemTime>)>>,
}

impl TokenSource {
    pub(crate) fn new(ask: AskForToken) -> Self {
        Self { ask, kept: tokio::sync::Mutex::new(None) }
    }

    async fn current(&self) -> Result<Header, Error> {
        // The function is never called twice at the same time.
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some((header, expires_at)) = &*kept
            && expires_at.is_none_or(|end| now + RENEW_BEFORE < end)
        {
            return Ok(header.clone());
        }
        match self.asked().await {
            Ok(renewed) => Ok(kept.insert(renewed).0.clone()),
            Err(error) => match &*kept {
                // The present token still works for a little while.
                Some((header, Some(end))) if now < *end => Ok(header.clone()),
                _ => Err(error),
            },
        }
    }

    async fn asked(&self) -> Result<(Header, Option<SystemTime>), Error> {
        let token = (self.ask)()
            .await
            .map_err(|error| Error::configuration(format!("the token source failed: {}", causes(&*error))))?;
        let malformed = |_| {
            Error::configuration(
                "the token source returned something that is no token: eyJ… is expected".to_owned(),
            )
        };
        let header = ApiKey::parse(&token.text).and_then(|key| key.header()).map_err(malformed)?;
        Ok((header, token.expires_at))
    }

    async fn forget(&self, refused: Option<&Header>) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().map(|(header, _)| header) == refused {
            *kept = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn file(content: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("credential-{}", uuid::Uuid::new_v4()));
        fs::write(&path, content).unwrap();
        path
    }

    fn replace(path: &PathBuf, content: &str) {
        fs::rename(file(content), path).unwrap();
    }

    async fn shown(credential: &Credential) -> String {
        credential.current().await.unwrap().unwrap().to_str().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_when_it_changes() {
        let path = file("srk_one");
        let credential = KeyFile::open(path.clone()).unwrap();
        assert_eq!(shown(&credential).await, "Bearer srk_one");
        assert!(credential.is_renewed());
        replace(&path, "srk_two");
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(shown(&credential).await, "Bearer srk_two");
        // What cannot be used does not replace what worked.
        replace(&path, "");
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(shown(&credential).await, "Bearer srk_two");
        fs::remove_file(&path).unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(shown(&credential).await, "Bearer srk_two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_renewed_from_its_file_at_once() {
        let path = file("srk_one");
        let credential = KeyFile::open(path.clone()).unwrap();
        let refused = credential.current().await.unwrap();
        assert!(!credential.renew(refused.as_ref()).await);
        replace(&path, "srk_two");
        assert!(credential.renew(refused.as_ref()).await);
        assert_eq!(shown(&credential).await, "Bearer srk_two");
        fs::remove_file(&path).unwrap();
    }

    fn counting(lifetime: Duration, fails_from: u32) -> (Credential, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let ask: AskForToken = Arc::new(move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                if number >= fails_from {
                    return Err("the issuer is gone".into());
                }
                Ok(Token::new(format!("eyJ{number}")).expires_at(SystemTime::now() + lifetime))
            })
        });
        (Credential::Source(TokenSource::new(ask)), asked)
    }

    #[tokio::test]
    async fn a_token_is_asked_for_before_it_expires_and_when_it_is_refused() {
        let (long, asked) = counting(Duration::from_secs(3600), 9);
        assert_eq!(shown(&long).await, "Bearer eyJ0");
        assert_eq!(shown(&long).await, "Bearer eyJ0");
        let refused = long.current().await.unwrap();
        assert!(long.renew(refused.as_ref()).await);
        assert_eq!((shown(&long).await.as_str(), asked.load(Ordering::Relaxed)), ("Bearer eyJ1", 2));
        let (short, _) = counting(Duration::from_secs(20), 2);
        assert_eq!(shown(&short).await, "Bearer eyJ0");
        assert_eq!(shown(&short).await, "Bearer eyJ1");
        // The source fails, and the token has not expired yet.
        assert_eq!(shown(&short).await, "Bearer eyJ1");
    }

    #[tokio::test]
    async fn a_source_that_fails_is_an_error_of_the_settings() {
        let (failing, _) = counting(Duration::from_secs(1), 0);
        let error = failing.current().await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Configuration);
        assert!(error.to_string().contains("the issuer is gone"), "{error}");
        let hidden: AskForToken = Arc::new(|| Box::pin(async { Ok(Token::new("hidden hidden")) }));
        let error = Credential::Source(TokenSource::new(hidden)).current().await.unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", Token::new("hidden")).contains("hidden"), "{error}");
    }
}
