//! Keys that sign tokens in the tests, each with its JSON web key.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

/// A key that signs tokens.
pub struct Signer {
    pub id: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub fn rsa(id: &str) -> Self {
        let key = BASE64.decode(RSA.as_bytes()).unwrap();
        Self { id: id.into(), key: Key::Rsa(RsaKeyPair::from_pkcs8(&key).unwrap()) }
    }

    pub fn p256(id: &str) -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap();
        Self { id: id.into(), key: Key::P256(key) }
    }

    pub fn ed25519(id: &str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id: id.into(), key: Key::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap()) }
    }

    /// The public key as a JSON web key.
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let mut jwk = match &self.key {
            Key::Rsa(key) => {
                let PublicKeyComponents::<Vec<u8>> { n, e } = key.public().into();
                json!({"kty": "RSA", "alg": "RS256", "n": text(&n), "e": text(&e)})
            }
            Key::P256(key) => {
                let point = &key.public_key().as_ref()[1..];
                json!({"kty": "EC", "crv": "P-256", "x": text(&point[..32]), "y": text(&point[32..])})
            }
            Key::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref())})
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The bytes of the public key, as a forger knows them.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &self.key {
            Key::Rsa(key) => PublicKeyComponents::<Vec<u8>>::from(key.public()).n,
            Key::P256(key) => key.public_key().as_ref().to_vec(),
            Key::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }

    pub fn header(&self) -> Value {
        let algorithm = match &self.key {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
        };
        json!({"alg": algorithm, "kid": self.id, "typ": "JWT"})
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }

    /// A token with this header.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Key::P256(key) => key.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Key::Ed25519(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

/// The part of a token that is signed.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// The key set of these keys.
pub fn key_set(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

/// An RSA key of 2048 bits, which ring cannot make (PKCS #8). It is for these tests only.
const RSA: &str = "\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCYov3LX5IaiMHmwQM2Kz+xOTaYfCv8/6W74NZwM8ZOhAC3rPn2ogT1VJfjtI\
    e1w+OFjB0Ymh/UkTg1+1HQcm59lD84yygFcWlHQI/aClILhFxfLkmdokQmG9LpPDorpJtk2v5GGiesJSzE76mmRCi9WN3jrmmGdzaHStnNLTeZ\
    +LSEt9aKX/MjXzFOkTZ2Y7iI0KT1nYTr1dxGmbwvokK4eoVqDJjVdN1ayhIAyPXbq2zB/ygCgF6gVVX+Xa98J6aabOUGkM9MrWflY01SBEXzMO\
    ZyyAEPAfGFl70KYEDo8VKmlZ17iksHZrkXTZDwN9TWWO5dvHohBn602RkqJ6UNAgMBAAECggEAA48ivDLIIolCKDd4892R+HfH5PSu8TvO1AYx\
    SeAohXKA3RznSTp27iI2VnoXrgPZfXw1E3qd4mQue4fBh8rwoPSrfWSzVAkpy3O0caugRSIle0IGN8BDDDZwNmhlR4OTl12fOeg945Q2/91CHJ\
    07QUsIsC3uylK4+UekCNY/P9OqYcJzvEUzcrdvKzt8bDK+OSu+Nu4xyQHr3Sjkz0KuQaD5JNA0/U2nHhvP4s4YEtJheMD8ukuwN7Q5nB7j1ewK\
    Fa6UJXnUlBnKAlAvy5EFyDWGdQ9fYodukGgAy7mt6d0t1Dkrw/2HQBibQDmGIMyl9v6zn3XVktAyfpdDeticSwKBgQDVTkQI7pxU3NLxr2wIRS\
    gKlv9RLU1GJ6zcm9nPyGxjXI8pVqh72OeH8GyuW/CrrpZCtX1FYII3EgfXEkw/RLiKkJN3EAt7hENlOZU3SsXeobQv+em73AfxBgAdUEn3dqNn\
    dor0fWkBN1lOdTOFdeHBBIqsimqD975Elcob2wd8dwKBgQC3MA77+XmQuF7CAkOIF6Fn4SCHLq8cFV+MXvyu0DhFU9cEG23cy90H8vZH7XDPXp\
    CbIYKdQnbLmtk2KP1tSdq2dKwk1LagC1xlGbjK77zS0/ZjkBkw6urahrNe4sx/od1lYfaA7ZufQWeDOzKjpPrYjIkptAdhksZnDWz0+HI/mwKB\
    gQCOYo8xsy2xzDIXWLTxlFBVOVQ2+NmDQgq2vGYZuDz52phJzOnsue5bpNa3UPIHeCQfZYy4meJyJlwLadBxz0qsXDPDn3c6vSBL2rNLVGNe6G\
    wiNl2apBa9Afdjmeu1/4C2GMBK0cgdIrg/kiaRKQ5ITOLQqBjP/LkKiT5/d6a4owKBgDC8nH/1U55pLuy25XijsNGOV7Ufen8iQJV8AAYSZ6Yq\
    NB5nnccMhfXDcjqYtVa2dgqP08w7DpgEzp1WMnaNG59HUzVJUn0qCJ7tRPjY54e/1OGQSON23JzfEYHBHV8nlVuPwKF0ld686+lCKqrXDdXnLe\
    bmesA+6IIqVD6oitzZAoGAWaxy+hak2Xhf0LWuz36PVX5yvstpVgwuysQBZZ3s+XYJPIkay6Mo+MLsBALg0VE9C53ZLHVgBLlDbil6eWn+z+US\
    1SD9g5HU0eyjA8SM4OpDgpApmeax566VpdoJXA9tW9A/uxyRBOEWDt3xXOvWvoXDCGAWFjW2qJnZq9PkijU=\
";
