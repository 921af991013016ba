//! An authority that signs certificates, for clients and servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        Self::of(CertificateParams::default())
    }

    /// An authority that has expired.
    pub fn expired() -> Self {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        Self::of(params)
    }

    pub fn of(mut params: CertificateParams) -> Self {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, uuid::Uuid::new_v4().to_string());
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes its certificate into a file.
    pub fn write(&self, file: &Path) -> PathBuf {
        fs::write(file, self.pem()).unwrap();
        file.to_owned()
    }

    /// Signs a certificate; returns it and its private key, as PEM.
    pub fn sign(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A client's certificate with these names.
    pub fn client(&self, names: &[SanType]) -> (String, String) {
        self.sign(Self::with(names))
    }

    /// A certificate with these names.
    pub fn with(names: &[SanType]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params
    }

    /// A certificate for a server on this machine.
    pub fn server() -> CertificateParams {
        CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
    }
}

pub fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().unwrap())
}

pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// The same certificate, which ends in so many seconds, and the time from now until then.
pub fn ending(mut params: CertificateParams, seconds: u64) -> (CertificateParams, Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = Duration::from_secs(now.as_secs() + seconds);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + end;
    (params, end - now)
}
