//! Client certificates at explicit times.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::certificate::*;
use crate::domain::Timestamp;

/// A certificate with its key, which can sign others.
struct Signed {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
    pem: String,
}

/// The beginning of this many years after 2030.
fn year(years: i32) -> Timestamp {
    let seconds = (date_time_ymd(2030 + years, 1, 1) - date_time_ymd(1970, 1, 1)).whole_seconds();
    Timestamp::from_micros(seconds * 1_000_000)
}

fn params(name: &str, until: i32) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2030 + until, 1, 1);
    params
}

fn authority(name: &str, until: i32) -> CertificateParams {
    let mut params = params(name, until);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn self_signed(params: CertificateParams, key: KeyPair) -> Signed {
    let certificate = params.self_signed(&key).unwrap();
    Signed { der: certificate.der().clone(), pem: certificate.pem(), params, key }
}

impl Signed {
    fn sign(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self { der: certificate.der().clone(), pem: certificate.pem(), params, key }
    }
}

fn authorities(pems: &[&str]) -> ClientAuthorities {
    ClientAuthorities::parse(pems.concat().as_bytes(), year(0)).unwrap()
}

fn problem<T>(outcome: Result<T, CertificateProblem>) -> Option<CertificateProblem> {
    outcome.err()
}

#[test]
fn a_certificate_ends_with_the_first_end_on_its_path() {
    for (leaf, intermediate, root, end) in [(1, 2, 3, 1), (3, 1, 2, 1), (3, 2, 1, 1)] {
        let root = self_signed(authority("root", root), KeyPair::generate().unwrap());
        let middle = root.sign(authority("middle", intermediate));
        let leaf = middle.sign(params("leaf", leaf));
        let authorities = authorities(&[&root.pem]);
        let chain = [leaf.der.clone(), middle.der.clone()];
        let certificate = authorities.verify(&chain, year(0)).unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(certificate.expires_at(), year(end));
        assert_eq!(certificate.name().to_string(), "cert:leaf");
        let just_before = Timestamp::from_micros(year(end).as_micros() - 1);
        assert_eq!(certificate.in_force(&authorities, just_before), Ok(()));
        assert_eq!(certificate.in_force(&authorities, year(end)), Err(CertificateProblem::Expired));
        assert!(authorities.verify(&chain, year(end).plus(Duration::from_secs(1))).is_err());
        assert_eq!(
            problem(authorities.verify(&chain[..1], year(0))),
            Some(CertificateProblem::Untrusted),
            "without the one between"
        );
    }
}

#[test]
fn a_renewed_authority_with_the_same_key_vouches_for_longer() {
    let key = KeyPair::generate().unwrap();
    let again = KeyPair::try_from(key.serialized_der()).unwrap();
    let (old, new) = (self_signed(authority("root", 1), key), self_signed(authority("root", 9), again));
    let leaf = old.sign(params("leaf", 5));
    let chain = [leaf.der];
    let end = |authorities: &ClientAuthorities| {
        authorities.verify(&chain, year(0)).unwrap_or_else(|why| panic!("{why:?}")).expires_at()
    };
    assert_eq!(end(&authorities(&[&old.pem])), year(1));
    assert_eq!(end(&authorities(&[&old.pem, &new.pem])), year(5));
}

#[test]
fn other_authorities_are_looked_at_once_and_may_vouch_too() {
    let root = self_signed(authority("root", 9), KeyPair::generate().unwrap());
    let leaf = root.sign(params("leaf", 5));
    let (with, other) = (
        authorities(&[&root.pem]),
        authorities(&[&self_signed(authority("other", 9), KeyPair::generate().unwrap()).pem]),
    );
    let certificate = Arc::new(with.verify(&[leaf.der], year(0)).unwrap_or_else(|why| panic!("{why:?}")));
    assert_eq!(certificate.in_force(&other, year(1)), Err(CertificateProblem::Untrusted));
    assert_eq!(certificate.in_force(&other, year(1)), Err(CertificateProblem::Untrusted));
    assert_eq!(certificate.in_force(&authorities(&[&root.pem]), year(1)), Ok(()));
    assert_eq!(
        certificate.in_force(&ClientAuthorities::default(), year(1)),
        Err(CertificateProblem::Untrusted)
    );
    assert_eq!(certificate.principal().to_string(), "cert:leaf");
    assert_eq!(certificate.principal().expires_at(), Some(year(5)));
}
