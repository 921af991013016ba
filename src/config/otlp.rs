//! Where traces are sent, and how many.

use super::endpoint::Endpoint;
use super::{ConfigError, Settings};

/// The environment variable of the collector's address.
pub const OTLP_ENDPOINT_VARIABLE: &str = "STRONGROOM_OTLP_ENDPOINT";

/// The port that collectors listen on for OTLP over gRPC.
const DEFAULT_PORT: u16 = 4317;
/// The part of the requests without a trace context that is traced unless the settings say otherwise: all, as in OpenTelemetry.
const DEFAULT_RATIO: f64 = 1.0;

/// Where traces are sent, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// The collector: `http://HOST:PORT` or `https://HOST:PORT`.
    pub endpoint: String,
    /// Whether the collector is reached over TLS.
    pub tls: bool,
    /// Whether it is on this machine.
    pub loopback: bool,
    /// The part of the requests without a trace context that is traced: from 0 to 1.
    pub sample_ratio: f64,
}

impl Otlp {
    /// What the settings say; `None`: no traces.
    pub(super) fn from_settings(settings: &Settings) -> Result<Option<Self>, ConfigError> {
        let sample_ratio = settings.otlp_sample_ratio.unwrap_or(DEFAULT_RATIO);
        if !(0.0..=1.0).contains(&sample_ratio) {
            return Err(ConfigError::OtlpSampleRatio(sample_ratio));
        }
        let Some(given) = &settings.otlp_endpoint else { return Ok(None) };
        let endpoint = Endpoint::parse(given, DEFAULT_PORT).ok_or(ConfigError::OtlpEndpoint)?;
        let Endpoint { url, tls, loopback } = endpoint;
        Ok(Some(Self { endpoint: url, tls, loopback, sample_ratio }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn otlp(toml: &str) -> Result<Option<Otlp>, ConfigError> {
        Config::try_from(toml::from_str::<Settings>(toml).unwrap()).map(|config| config.otlp)
    }

    #[test]
    fn traces_are_off_unless_a_collector_is_named() {
        assert_eq!(otlp("").unwrap(), None);
        assert_eq!(otlp("otlp_sample_ratio = 0.5").unwrap(), None);
        let given = otlp("otlp_endpoint = 'http://127.0.0.1'").unwrap().unwrap();
        assert_eq!(
            given,
            Otlp { endpoint: "http://127.0.0.1:4317".into(), tls: false, loopback: true, sample_ratio: 1.0 }
        );
        let given = otlp("otlp-endpoint = 'https://collector:1/'\notlp-sample-ratio = 0").unwrap().unwrap();
        assert_eq!(
            given,
            Otlp { endpoint: "https://collector:1".into(), tls: true, loopback: false, sample_ratio: 0.0 }
        );
    }

    #[test]
    fn what_is_no_address_is_refused_by_the_name_of_the_setting_and_not_repeated() {
        for wrong in [
            "",
            "hidden",
            "hidden:4317",
            "ftp://hidden",
            "http://",
            "http://:4317",
            "http://user:hidden@host",
            "http://host/hidden",
            "http://host?hidden",
            "http://host:hidden",
            "http://host:99999",
            "http://host:",
        ] {
            let refused = otlp(&format!("otlp_endpoint = '{wrong}'")).unwrap_err().to_string();
            assert!(refused.starts_with("--otlp-endpoint is not"), "{wrong}: {refused}");
            assert!(refused.contains(OTLP_ENDPOINT_VARIABLE) && !refused.contains("hidden"), "{refused}");
        }
        for wrong in ["-0.1", "1.1", "100", "nan", "inf"] {
            let refused = otlp(&format!("otlp_sample_ratio = {wrong}")).unwrap_err().to_string();
            assert!(refused.starts_with("--otlp-sample-ratio must be"), "{refused}");
        }
    }
}
