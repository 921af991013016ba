//! Turns for work that only so many can do at a time, given to principals in rotation.
//!
//! Each principal has a line of its own. A turn that becomes free goes to the first in the line of the principal whose turn
//! came longest ago, so a principal with one request waits for at most one turn of each other principal.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::LimitUse;

/// A queue for a number of turns. `K` tells principals apart.
pub struct FairQueue<K: Hash + Eq + Clone> {
    /// How many of one principal may wait.
    line: usize,
    state: Mutex<State<K>>,
}

struct State<K: Hash + Eq + Clone> {
    /// The turns that nobody has.
    free: usize,
    /// The principals with a line, the next one first.
    rotation: VecDeque<K>,
    /// The lines. None of them is empty.
    lines: HashMap<K, VecDeque<oneshot::Sender<Turn<K>>>>,
    /// How many found their line full.
    refused: u64,
}

/// A turn. It goes to the next in the queue when it is dropped.
pub struct Turn<K: Hash + Eq + Clone>(Option<Arc<FairQueue<K>>>);

/// The principal's line is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull;

impl<K: Hash + Eq + Clone> FairQueue<K> {
    /// A queue for `turns` turns at a time. Of each principal, `line` may wait.
    pub fn new(turns: usize, line: usize) -> Arc<Self> {
        let state = State { free: turns, rotation: VecDeque::new(), lines: HashMap::new(), refused: 0 };
        Arc::new(Self { line, state: Mutex::new(state) })
    }

    /// Waits for a turn.
    pub async fn turn(self: &Arc<Self>, principal: &K) -> Result<Turn<K>, QueueFull> {
        let waiting = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Turn(Some(self.clone())));
            }
            state.wait(principal, self.line)?
        };
        // The queue lives as long as self, and drops no sender that waits.
        waiting.await.map_err(|_| QueueFull)
    }

    /// How much of the longest line is used. `name` is the name of the lines' limit in the configuration.
    pub fn usage(&self, name: &'static str) -> LimitUse {
        let state = self.state();
        let longest = state.lines.values().map(VecDeque::len).max().unwrap_or(0);
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        LimitUse { name, limit: count(self.line), used: count(longest), refused: state.refused }
    }

    /// The number of those who wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state().lines.values().map(VecDeque::len).sum()
    }

    /// Hands a turn to the next in the queue.
    fn hand_on(self: Arc<Self>) {
        let mut turn = Turn(Some(self.clone()));
        while let Some(next) = self.next() {
            match next.send(turn) {
                Ok(()) => return,
                // That one has stopped waiting.
                Err(back) => turn = back,
            }
        }
        // Nobody waits: `next` counts the turn as free.
        turn.0 = None;
    }

    /// Takes the next out of the queue. `None`: nobody waits, and the turn is free.
    fn next(&self) -> Option<oneshot::Sender<Turn<K>>> {
        let mut state = self.state();
        let next = state.next();
        if next.is_none() {
            state.free += 1;
        }
        next
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> State<K> {
    fn wait(&mut self, principal: &K, most: usize) -> Result<oneshot::Receiver<Turn<K>>, QueueFull> {
        let known = self.lines.contains_key(principal);
        let line = self.lines.entry(principal.clone()).or_default();
        if line.len() >= most {
            line.retain(|waiting| !waiting.is_closed());
        }
        if line.len() >= most && known {
            self.refused += 1;
            return Err(QueueFull);
        }
        let (give, waiting) = oneshot::channel();
        line.push_back(give);
        if !known {
            self.rotation.push_back(principal.clone());
        }
        Ok(waiting)
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn<K>>> {
        loop {
            let principal = self.rotation.pop_front()?;
            let Some(line) = self.lines.get_mut(&principal) else { continue };
            let first = line.pop_front();
            if line.is_empty() {
                self.lines.remove(&principal);
            } else {
                self.rotation.push_back(principal);
            }
            if first.is_some() {
                return first;
            }
        }
    }
}

impl<K: Hash + Eq + Clone> Drop for Turn<K> {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Result<Turn<char>, QueueFull>>>>;

    fn ask(queue: &Arc<FairQueue<char>>, principal: char) -> Waiting {
        let queue = queue.clone();
        let mut waiting: Waiting = Box::pin(async move { queue.turn(&principal).await });
        assert!(poll(&mut waiting).is_pending());
        waiting
    }

    fn poll(waiting: &mut Waiting) -> Poll<Result<Turn<char>, QueueFull>> {
        waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn has_turn(waiting: &mut Waiting) -> Option<Turn<char>> {
        match poll(waiting) {
            Poll::Ready(turn) => Some(turn.unwrap()),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_principal_with_one_request_waits_for_one_turn_of_another() {
        let queue = FairQueue::new(1, 100);
        let turn = queue.turn(&'a').await.unwrap();
        let mut many: Vec<_> = (0..100).map(|_| ask(&queue, 'a')).collect();
        let mut one = ask(&queue, 'b');
        assert_eq!(queue.usage("line").used, 100);
        drop(turn);
        let turn = has_turn(&mut many[0]).unwrap();
        assert!(has_turn(&mut one).is_none());
        drop(turn);
        let turn = has_turn(&mut one).unwrap();
        assert!(has_turn(&mut many[1]).is_none());
        drop(turn);
        for waiting in &mut many[1..] {
            drop(has_turn(waiting).unwrap());
        }
        assert_eq!(queue.usage("line").used, 0);
        assert!(queue.turn(&'c').await.is_ok());
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_nobody_a_turn() {
        let queue = FairQueue::new(1, 100_001);
        let turn = queue.turn(&'a').await.unwrap();
        let gone: Vec<_> = (0..100_000).map(|_| ask(&queue, 'a')).collect();
        let mut last = ask(&queue, 'b');
        let with_turn = ask(&queue, 'a');
        drop(gone);
        drop(turn);
        drop(has_turn(&mut last).unwrap());
        // This one was given the turn, and goes before it takes it.
        drop(with_turn);
        assert!(queue.turn(&'c').await.is_ok());
    }

    #[tokio::test]
    async fn a_line_has_an_end() {
        let queue = FairQueue::new(1, 2);
        let turn = queue.turn(&'a').await.unwrap();
        let mut first = ask(&queue, 'a');
        let second = ask(&queue, 'a');
        assert_eq!(queue.turn(&'a').await.err(), Some(QueueFull));
        let _other = ask(&queue, 'b');
        // Who has gone makes room.
        drop(second);
        let _third = ask(&queue, 'a');
        drop(turn);
        assert!(has_turn(&mut first).is_some());
    }
}
