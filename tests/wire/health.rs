//! Health and reflection, which need no credential.

use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::caller::endpoint;
use crate::harness::{Launch, shared};
use crate::raw::Wire;
use crate::refusal::refused;

#[tokio::test]
async fn health_says_that_the_service_serves() {
    let mut health = HealthClient::new(channel().await);
    for service in ["", "liveness", "strongroom.v1.SecretService"] {
        let reply = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(reply.status(), ServingStatus::Serving, "{service:?}");
    }
    let unknown = health.check(HealthCheckRequest { service: "nobody.v1.Nothing".into() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn health_can_be_watched() {
    let mut health = HealthClient::new(channel().await);
    let request = HealthCheckRequest { service: "strongroom.v1.SecretService".into() };
    let mut watched = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let unknown = HealthCheckRequest { service: "nobody.v1.Nothing".into() };
    let mut watched = health.watch(unknown).await.unwrap().into_inner();
    assert_eq!(watched.next().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
}

#[tokio::test]
async fn reflection_can_be_turned_off() {
    let server = Launch::in_memory().argument("--no-reflection").start();
    let (stranger, root) = (Wire::to(&server).await, Wire::as_root(&server).await);
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        refused(stranger.call(&path, &[]).await, Code::Unauthenticated, "CREDENTIAL_MISSING");
        refused(root.call(&path, &[]).await, Code::Unimplemented, "NOT_SERVED");
    }
    stranger.call("/grpc.health.v1.Health/Check", &[]).await.unwrap();
}

const SERVICES: [&str; 5] = [
    "strongroom.v1.AuditService",
    "strongroom.v1.SecretService",
    "strongroom.v1.AccessService",
    "strongroom.v1.OperatorService",
    "grpc.health.v1.Health",
];

/// The test of one version of reflection: the two versions have the same messages under other names.
macro_rules! reflection {
    ($test:ident, $version:ident) => {
        #[tokio::test]
        async fn $test() {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let ask = async |asked: MessageRequest| {
                let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
                let mut client = ServerReflectionClient::new(channel().await);
                let mut replies =
                    client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
                replies.next().await.unwrap().unwrap().message_response.unwrap()
            };
            let MessageResponse::ListServicesResponse(listed) =
                ask(MessageRequest::ListServices("*".into())).await
            else {
                panic!("not a list of services");
            };
            let listed: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
            for service in SERVICES {
                assert!(listed.contains(&service), "{service} is not in {listed:?}");
                let found = ask(MessageRequest::FileContainingSymbol(service.into())).await;
                let MessageResponse::FileDescriptorResponse(files) = found else {
                    panic!("{service} is listed and not described");
                };
                assert!(!files.file_descriptor_proto.is_empty());
            }
        }
    };
}

reflection!(reflection_v1_lists_and_describes_the_services, v1);
reflection!(reflection_v1alpha_lists_and_describes_the_services, v1alpha);

/// A connection without any credential.
async fn channel() -> Channel {
    endpoint(&shared().url).connect().await.unwrap()
}
