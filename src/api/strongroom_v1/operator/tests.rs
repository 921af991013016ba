//! Streams whose caller's key ends before they do. The service never revokes the root key, so its record is removed from the
//! store behind the service.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio_stream::StreamExt;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use super::*;
use crate::api::request::AuditEntry;
use crate::api::strongroom_v1::rpcs;
use crate::app;
use crate::audit::{self, Auditor};
use crate::auth::Authorization;
use crate::auth::Principal;
use crate::crypto::{MasterKeyProvider, MasterKeySource, MasterKeys};
use crate::store::{self, Key, Store, Transaction};

/// Keeps the outcomes and the subjects of all records.
#[derive(Default)]
struct Recorder {
    records: Mutex<Vec<(&'static str, Option<String>)>>,
    written: Notify,
}

#[tonic::async_trait]
impl Auditor for Recorder {
    async fn write(&self, record: &audit::Record) -> Result<(), audit::Unwritable> {
        self.records.lock().unwrap().push((record.outcome, record.target.subject.clone()));
        self.written.notify_one();
        Ok(())
    }

    fn names(&self) -> &audit::Names {
        &audit::Names::Plain
    }

    fn refused(&self, _record: audit::Record, _many: u64) {}

    async fn check(&self) -> Result<(), audit::Unwritable> {
        Ok(())
    }
}

struct Site {
    app: Arc<App>,
    store: Arc<dyn Store>,
    recorder: Arc<Recorder>,
    root: Principal,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn open() -> Self {
        let mut root = String::new();
        let folder = tempfile::tempdir().unwrap();
        let source = MasterKeySource::DataDir(folder.path().join("master.key"));
        let provider = MasterKeyProvider::new(source, MasterKeys::generate().unwrap());
        let store = store::open_memory().unwrap();
        let options = app::Options { data_dir: folder.path().to_owned(), ..app::Options::default() };
        let app = app::open(store.clone(), provider, options, |credential| {
            root = credential.expose().to_owned();
            Ok(())
        });
        let app = Arc::new(app.await.unwrap());
        let root = app.access.authenticate(&root).unwrap();
        Self { app, store, recorder: Arc::default(), root, _folder: folder }
    }

    /// A request of the root key that has passed the gate, and whose beginning is recorded.
    async fn request<M>(&self, rpc: &str, message: M) -> Request<M> {
        let rpc = rpcs::of_path(&format!("/strongroom.v1.OperatorService/{rpc}"));
        let entry = Arc::new(AuditEntry::new(rpc, "id".into(), None, None, self.recorder.clone()));
        let caller = Arc::new(Authorization::new(self.root.clone()));
        entry.note_caller(&caller);
        entry.write(None).await.unwrap();
        self.recorder.written.notified().await;
        let mut request = Request::new(message);
        request.extensions_mut().insert(Call { rpc: rpc.unwrap(), caller, entry });
        request
    }

    async fn remove_the_root_key(&self) {
        let delete = vec![Key::api_key(&self.root.api_key_id().0)];
        self.store.commit(Transaction { delete, ..Transaction::default() }).await.unwrap();
        let ended = self.app.access.ended(&Authorization::new(self.root.clone())).await;
        assert!(matches!(ended, Error::Unauthenticated(_)));
    }

    fn records(&self) -> Vec<(&'static str, Option<String>)> {
        self.recorder.records.lock().unwrap().split_off(1)
    }
}

fn assert_invalid(refused: &Status) {
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn a_backup_in_download_is_cut_and_recorded_when_the_key_ends() {
    let site = Site::open().await;
    // More than the chunks that are made ahead.
    for n in 0..3000_u32 {
        let key = Key::from_bytes(&[b"z".as_slice(), &n.to_be_bytes()].concat());
        let put = vec![(key, vec![7; 2048])];
        site.store.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
    }
    let request = site.request("CreateBackup", v1::CreateBackupRequest {}).await;
    let mut stream = Operator(site.app.clone()).create_backup(request).await.unwrap().into_inner();
    stream.next().await.unwrap().unwrap();
    site.remove_the_root_key().await;
    assert_invalid(&stream.next().await.unwrap().err().unwrap());
    assert!(stream.next().await.is_none());
    site.recorder.written.notified().await;
    assert_eq!(site.records(), [("UNAUTHENTICATED", None)]);
}

#[tokio::test]
async fn the_stream_of_a_rekey_ends_with_the_key_and_the_rekey_goes_on() {
    let site = Site::open().await;
    let message = v1::RotateNamespaceKeysRequest { all_namespaces: true, ..Default::default() };
    let request = site.request("RotateNamespaceKeys", message).await;
    let mut stream = Operator(site.app.clone()).rotate_namespace_keys(request).await.unwrap().into_inner();
    site.remove_the_root_key().await;
    assert_invalid(&stream.next().await.unwrap().err().unwrap());
    assert!(stream.next().await.is_none());
    while site.app.keys.begin(&site.app.access.grant_service(&site.root).unwrap()).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn work_that_goes_on_after_the_end_of_the_key_is_recorded_twice() {
    let site = Site::open().await;
    let mut request = site.request("RotateMasterKey", ()).await;
    let call = request.extensions_mut().remove::<Call>().unwrap();
    let done = replies::to_its_end(&site.app, &call, async {
        site.remove_the_root_key().await;
        site.recorder.written.notified().await;
        "done"
    });
    assert_eq!(done.await, "done");
    call.close_stream(Ok("whole".to_owned())).await.unwrap();
    assert_eq!(site.records(), [("UNAUTHENTICATED", None), ("ok", Some("whole".to_owned()))]);
}
