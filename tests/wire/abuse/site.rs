//! A server with two principals, one of which misbehaves.

use prost::Message;
use strongroom::api::v1::{CreateApiKeyRequest, LimitUse};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::caller::{Caller, Room};
use crate::harness::{Launch, PATIENCE, Server};
use crate::raw::{Begun, Wire};
use crate::refusal::refused;
use crate::requests::{Value, get};

pub const GET: &str = "/strongroom.v1.SecretService/GetSecret";

/// A server with a principal that misbehaves and one that does not.
pub struct Site {
    pub server: Server,
    pub root: Caller,
    pub abuser: Caller,
    /// The abuser's.
    pub credential: String,
    pub other: Room,
}

impl Site {
    pub async fn with(limits: &str) -> Self {
        Self::of(Launch::in_memory().limits(limits)).await
    }

    pub async fn of(launch: Launch) -> Self {
        let server = launch.start();
        let root = Caller::root(&server).await;
        let request = CreateApiKeyRequest {
            name: "abuser".into(),
            home_namespace: "abuser".into(),
            ..Default::default()
        };
        let credential = root.access().create_api_key(request).await.unwrap().into_inner().credential;
        let abuser = Caller::new(&server, crate::caller::Credential::bearer(&credential)).await;
        abuser.create("A", "a").await;
        let other = Room::on(&server).await;
        other.create("B", "b").await;
        Self { server, root, abuser, credential, other }
    }

    pub async fn wire(&self) -> Wire {
        Wire::to(&self.server).await.bearer(&self.credential)
    }

    /// Begins requests of the abuser, and leaves them open.
    pub async fn hold(&self, many: usize) -> (Wire, Vec<Begun>) {
        let wire = self.wire().await;
        let length = u32::try_from(get("A").encoded_len()).unwrap();
        let mut held = Vec::new();
        for _ in 0..many {
            held.push(wire.begin(GET, crate::raw::frame(0, length, &[])).await);
        }
        (wire, held)
    }

    #[track_caller]
    pub fn refused_at<T>(&self, reply: Result<T, Status>, limit: &str) {
        let status = refused(reply.map(tonic::Response::new), Code::ResourceExhausted, "TOO_MANY_REQUESTS");
        let quota = status.get_details_quota_failure().expect("QuotaFailure");
        assert_eq!(quota.violations[0].subject, format!("limits.{limit}"));
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
    }

    pub async fn others_are_served(&self) {
        for _ in 0..20 {
            assert_eq!(self.other.value("B").await, Value::text("b"));
        }
    }

    /// Waits until another principal's request is let in.
    pub async fn until_served(&self) {
        let asked = async { while self.other.secrets().get_secret(get("B")).await.is_err() {} };
        tokio::time::timeout(PATIENCE, asked).await.expect("there is room again");
    }

    pub async fn usage(&self, limit: &str) -> LimitUse {
        self.root.limit(limit).await
    }

    /// Waits until GetStatus says so.
    pub async fn until(&self, limit: &str, reached: impl Fn(&LimitUse) -> bool) {
        let asked = async { while !reached(&self.usage(limit).await) {} };
        tokio::time::timeout(PATIENCE, asked).await.expect("GetStatus says so");
    }
}
