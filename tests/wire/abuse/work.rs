//! Key holders that begin work and do not want it, or never send the rest of it.

use prost::Message;
use serde_json::json;
use strongroom::api::v1::{GetSecretRequest, ResolveReferencesRequest};
use tonic::Code;

use super::beside::{BOUND, beside, key};
use crate::harness::Server;
use crate::raw::{Wire, frame, framed};
use crate::references::wire_map;
use crate::refusal::refused;
use crate::requests::get;

const CHECK: &str = "/grpc.health.v1.Health/Check";
const GET: &str = "/strongroom.v1.SecretService/GetSecret";
const CREATE: &str = "/strongroom.v1.SecretService/CreateSecret";
const RESOLVE: &str = "/strongroom.v1.ReferenceService/ResolveReferences";
/// A revision that no test reaches.
const AHEAD: u64 = 1 << 40;
/// So many connections have as many requests at a time as each may have.
const CONNECTIONS: usize = 4;
const AT_A_TIME: usize = 100;

async fn wires(server: &Server) -> Vec<Wire> {
    let key = key(server).await;
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        wires.push(Wire::to(server).await.bearer(&key));
    }
    wires
}

#[tokio::test]
async fn messages_that_are_announced_and_not_sent_take_what_was_sent() {
    let mut server = Server::alone();
    let wires = wires(&server).await;
    let abuse = async {
        let mut held = Vec::new();
        for wire in &wires {
            for _ in 0..AT_A_TIME {
                held.push(wire.begin(CREATE, frame(0, 1 << 20, b"9 of many")).await);
            }
        }
        held
    };
    drop(beside(&mut server, BOUND, abuse).await);
}

#[tokio::test]
async fn bodies_of_a_key_holder_that_come_byte_by_byte_take_no_turns_of_others() {
    let mut server = Server::alone();
    let wires = wires(&server).await;
    let abuse = async {
        let mut held = Vec::new();
        for wire in &wires {
            for _ in 0..AT_A_TIME {
                held.push(wire.begin(CREATE, vec![0]).await);
            }
        }
        for byte in [0, 0, 0, 200].into_iter().chain([0; 20]) {
            for request in &mut held {
                // A server with much to do has refused some.
                let _ = request.body.send_data(vec![byte].into(), false);
            }
            wires[0].call(CHECK, &[]).await.unwrap(); // the server has seen the bytes
        }
    };
    beside(&mut server, BOUND, abuse).await;
}

#[tokio::test]
async fn requests_that_wait_and_are_reset_leave_no_work() {
    let mut server = Server::alone();
    let wires = wires(&server).await;
    let waiting = framed(&GetSecretRequest { min_revision: AHEAD, ..get("A") }.encode_to_vec());
    let abuse = async {
        for round in 0..20 {
            for wire in &wires {
                let mut begun = Vec::new();
                // Fewer resets than end the connection.
                for _ in 0..AT_A_TIME / 4 {
                    let mut request = wire.begin(GET, waiting.clone()).await;
                    request.body.send_data(Default::default(), true).unwrap();
                    begun.push(request);
                }
                begun.into_iter().for_each(crate::raw::Begun::reset);
                wire.call(CHECK, &[]).await.unwrap_or_else(|end| panic!("round {round}: {end:?}"));
            }
        }
    };
    beside(&mut server, BOUND, abuse).await;
}

#[tokio::test]
async fn documents_that_name_many_missing_secrets_take_little_from_others() {
    let mut server = Server::alone();
    let wires = wires(&server).await;
    let fields = (0..999).map(|n| (n.to_string(), json!(format!("$ secrets.missing{n}"))));
    let document = Some(wire_map(serde_json::Value::Object(fields.collect())));
    let request = ResolveReferencesRequest { document, ..Default::default() }.encode_to_vec();
    let abuse = async {
        for n in 0..40 {
            let reply = wires[n % CONNECTIONS].call(RESOLVE, &request).await;
            refused(reply, Code::NotFound, "SECRET_NOT_FOUND");
        }
    };
    beside(&mut server, BOUND, abuse).await;
}
