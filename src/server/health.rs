//! `grpc.health.v1`: the health of the server and of its services, for load balancers and supervisors.
//!
//! The empty name and the names of the services tell whether requests are served (readiness). The name `liveness` tells that the
//! server lives: a supervisor that asks for it does not restart a server which only waits for its store.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use tonic_health::pb;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::api;
use crate::app::{Readiness, ReadyState};

/// The name that tells whether the server lives.
const LIVENESS: &str = "liveness";

/// The health service.
pub(super) struct Health(Readiness);

impl Health {
    /// The health of a server.
    pub(super) fn new(readiness: Readiness) -> Self {
        Self(readiness)
    }
}

/// What a name in a request means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whether the server lives.
    Liveness,
    /// Whether requests are served.
    Service,
    /// Whether the audit log can be read.
    AuditService,
    /// There is no such service.
    Unknown,
}

impl Asked {
    fn of(service: &str) -> Self {
        match service {
            LIVENESS => Self::Liveness,
            api::AUDIT_SERVICE => Self::AuditService,
            "" => Self::Service,
            name if api::SERVICES.contains(&name) => Self::Service,
            _ => Self::Unknown,
        }
    }

    fn status(self, state: &ReadyState) -> ServingStatus {
        let serves = match self {
            Self::Liveness => true,
            Self::Service => state.is_ready(),
            Self::AuditService => state.is_ready() && !state.audit_log_broken,
            Self::Unknown => return ServingStatus::ServiceUnknown,
        };
        if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

fn reply(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl pb::health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match Asked::of(&request.get_ref().service) {
            Asked::Unknown => Err(Status::not_found("There is no service of that name.")),
            asked => Ok(Response::new(reply(asked.status(&self.0.state())))),
        }
    }

    type WatchStream = Statuses;

    /// An unknown service has a status too, and the stream stays open, as `health.proto` says.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let asked = Asked::of(&request.get_ref().service);
        let states = WatchStream::new(self.0.changes());
        Ok(Response::new(Statuses { asked, states, told: None, last: false }))
    }
}

/// The statuses of a service: the present one, and then each other one, until the server stops.
pub(super) struct Statuses {
    asked: Asked,
    states: WatchStream<ReadyState>,
    told: Option<ServingStatus>,
    /// Whether the server stops, so that no status comes any more.
    last: bool,
}

impl Stream for Statuses {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.last {
            let Some(state) = ready!(Pin::new(&mut self.states).poll_next(context)) else {
                return Poll::Ready(None);
            };
            self.last = state.is_stopping();
            let status = self.asked.status(&state);
            if self.told.replace(status) != Some(status) {
                return Poll::Ready(Some(Ok(reply(status))));
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;
    use tonic_health::pb::health_server::Health as _;

    use super::*;
    use crate::app::UnreadyCause;

    fn asked(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: service.into() })
    }

    async fn statuses(health: &Health) -> [ServingStatus; 4] {
        let mut statuses = Vec::new();
        for service in ["", "strongroom.v1.SecretService", api::AUDIT_SERVICE, LIVENESS] {
            statuses.push(health.check(asked(service)).await.unwrap().into_inner().status());
        }
        statuses.try_into().unwrap()
    }

    #[tokio::test]
    async fn a_server_lives_while_it_does_not_serve() {
        use ServingStatus::{NotServing, Serving};
        let readiness = Readiness::loading();
        let health = Health::new(readiness.clone());
        assert_eq!(statuses(&health).await, [NotServing, NotServing, NotServing, Serving]);
        readiness.note(UnreadyCause::Loading, None);
        assert_eq!(statuses(&health).await, [Serving; 4]);
        readiness.note_audit_log(true);
        assert_eq!(statuses(&health).await, [Serving, Serving, NotServing, Serving]);
        readiness.note(UnreadyCause::AuditLog, Some(String::new()));
        assert_eq!(statuses(&health).await, [NotServing, NotServing, NotServing, Serving]);
    }

    #[tokio::test]
    async fn a_watcher_is_told_each_change_once_and_an_unknown_service_stays_unknown() {
        let readiness = Readiness::loading();
        let health = Health::new(readiness.clone());
        let mut watched = health.watch(asked("")).await.unwrap().into_inner();
        let mut unknown = health.watch(asked("nobody.v1.Nothing")).await.unwrap().into_inner();
        let mut next = async |status: ServingStatus| {
            assert_eq!(watched.next().await.unwrap().unwrap().status(), status);
        };
        assert_eq!(unknown.next().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
        next(ServingStatus::NotServing).await;
        readiness.note(UnreadyCause::Loading, None);
        next(ServingStatus::Serving).await;
        readiness.note(UnreadyCause::Store, Some("one".into()));
        readiness.note(UnreadyCause::AuditLog, Some(String::new()));
        next(ServingStatus::NotServing).await;
        readiness.note(UnreadyCause::AuditLog, None);
        readiness.note(UnreadyCause::Store, None);
        next(ServingStatus::Serving).await;
        let waits = tokio::time::timeout(std::time::Duration::ZERO, unknown.next()).await;
        assert!(waits.is_err(), "the stream of an unknown service stays open");
        readiness.note(UnreadyCause::Stopping, Some(String::new()));
        next(ServingStatus::NotServing).await;
        assert!(watched.next().await.is_none() && unknown.next().await.is_none(), "they end with the server");
    }
}
