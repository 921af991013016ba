//! Reads the head of the store for many callers at once.
//!
//! A read serves the callers that were there before it began, and nobody else: so the head that a caller gets is the one
//! of a moment after its call. While one read is under way, all later callers wait for the next one, which they share.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::EtcdClient;
use crate::domain::Revision;
use crate::store::Unavailable;

type Head = Result<Revision, Unavailable>;
type Read = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Head> + Send>> + Send + Sync>;

pub(super) struct HeadReader {
    /// One read of the head.
    read: Read,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Whether a task reads for those that wait, or is about to.
    reading: bool,
    /// The callers of the next read.
    waiting: Vec<oneshot::Sender<Head>>,
}

impl HeadReader {
    /// The reader of the head in etcd.
    pub(super) fn of(client: Arc<EtcdClient>) -> Arc<Self> {
        Self::new(move || {
            let client = client.clone();
            async move { Ok(client.position().await?.head) }
        })
    }

    fn new<F>(read: impl Fn() -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Head> + Send + 'static,
    {
        Arc::new(Self { read: Box::new(move || Box::pin(read())), queue: Mutex::default() })
    }

    /// The head at a moment after this was called.
    pub(super) async fn read(self: &Arc<Self>) -> Head {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queue = self.queue();
            queue.waiting.push(answer);
            !std::mem::replace(&mut queue.reading, true)
        };
        if is_first {
            // In a task of its own, since a read serves other callers too, and must not end when this caller goes away.
            tokio::spawn(self.clone().read_for_all());
        }
        answered.await.map_err(|_| defect())?
    }

    /// Reads until nobody waits.
    async fn read_for_all(self: Arc<Self>) {
        while let Some(callers) = self.next() {
            // A panic in a library ends this read, and not all later ones.
            let head = tokio::spawn((self.read)()).await.unwrap_or_else(|_| Err(defect()));
            for caller in callers {
                let _ = caller.send(head.clone()); // it may have gone away
            }
        }
    }

    /// The callers of the next read; `None` where there are none, so that the next caller begins a task again.
    fn next(&self) -> Option<Vec<oneshot::Sender<Head>>> {
        let mut queue = self.queue();
        queue.waiting.retain(|caller| !caller.is_closed());
        queue.reading = !queue.waiting.is_empty();
        queue.reading.then(|| std::mem::take(&mut queue.waiting))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn defect() -> Unavailable {
    Unavailable("its head could not be read because of a defect".into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::task::{JoinSet, yield_now};
    use tokio::time::sleep;

    use super::*;

    /// A reader whose reads take a second each, and the number of reads that have begun. A read gives its own number.
    fn slow() -> (Arc<HeadReader>, Arc<AtomicU64>) {
        let begun = Arc::new(AtomicU64::new(0));
        let counted = begun.clone();
        let reader = HeadReader::new(move || {
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            async move {
                sleep(Duration::from_secs(1)).await;
                Ok(Revision(number))
            }
        });
        (reader, begun)
    }

    #[tokio::test(start_paused = true)]
    async fn callers_at_the_same_time_share_two_reads_and_none_gets_one_that_began_before_it_came() {
        let (reader, begun) = slow();
        let first = tokio::spawn({
            let reader = reader.clone();
            async move { reader.read().await }
        });
        while begun.load(Ordering::SeqCst) == 0 {
            yield_now().await;
        }
        let mut later = JoinSet::new();
        for _ in 0..1000 {
            let reader = reader.clone();
            later.spawn(async move { reader.read().await.unwrap() });
        }
        assert_eq!(first.await.unwrap().unwrap(), Revision(1));
        assert!(later.join_all().await.into_iter().all(|head| head == Revision(2)));
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        // Nobody waits, so nothing is read.
        sleep(Duration::from_secs(10)).await;
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        assert_eq!(reader.read().await.unwrap(), Revision(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_goes_on_for_the_others_when_its_first_caller_goes_away() {
        let (reader, begun) = slow();
        let leaves = tokio::spawn({
            let reader = reader.clone();
            async move { reader.read().await }
        });
        while begun.load(Ordering::SeqCst) == 0 {
            yield_now().await;
        }
        let stays = reader.read();
        leaves.abort();
        assert_eq!(stays.await.unwrap(), Revision(2));
        // Callers that have all gone away cause no read.
        let reads = tokio::spawn({
            let reader = reader.clone();
            async move { reader.read().await }
        });
        while begun.load(Ordering::SeqCst) == 2 {
            yield_now().await;
        }
        let leaves = tokio::spawn({
            let reader = reader.clone();
            async move { reader.read().await }
        });
        yield_now().await;
        leaves.abort();
        assert_eq!(reads.await.unwrap().unwrap(), Revision(3));
        sleep(Duration::from_secs(10)).await;
        assert_eq!(begun.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_read_that_fails_is_told_to_all_and_the_next_one_is_made() {
        let begun = Arc::new(AtomicU64::new(0));
        let reader = HeadReader::new(move || {
            let number = begun.fetch_add(1, Ordering::SeqCst);
            async move {
                match number {
                    0 => Err(Unavailable("it is away".into())),
                    1 => panic!("a defect of a library"),
                    _ => Ok(Revision(7)),
                }
            }
        });
        assert_eq!(reader.read().await.unwrap_err().0.as_ref(), "it is away");
        assert!(reader.read().await.unwrap_err().0.contains("defect"));
        assert_eq!(reader.read().await.unwrap(), Revision(7));
    }
}
