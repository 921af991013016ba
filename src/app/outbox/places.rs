//! The places of copies in the store, and which of them can take another copy.
//!
//! A copy that is not needed any more is overwritten by that of a later request: to overwrite a record costs the store less than to
//! remove one and to add another.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The id of a request.
pub(super) type RequestId = [u8; 16];
/// The place of a copy: the id of the first request that had a copy there.
pub(super) type Place = [u8; 16];

/// The places that can have a copy.
#[derive(Default)]
pub(super) struct Places {
    /// Requests whose change may be in the store and whose record is not in the log.
    waiting: HashMap<RequestId, Waiting>,
    /// Places whose copies are not needed once the log has this size and survives a crash so.
    free: VecDeque<FreePlace>,
}

/// A place whose copy is not needed once the log has this size.
pub(super) type FreePlace = (Place, u64);

/// A request that has waited for so long that it is not going to write its record any more.
pub(super) struct Abandoned {
    pub(super) id: RequestId,
    since: Instant,
    pub(super) place: Place,
}

/// A request whose record is not in the log.
struct Waiting {
    since: Instant,
    place: Place,
    /// Of the copy that was there before; `None`: there was none.
    former: Option<u64>,
    /// How many commits with its copy were made, or can be made yet.
    commits: usize,
}

impl Places {
    /// The place for the copy of a request, which a commit is about to put. `synced` is the size of the log that survives a crash.
    pub(super) fn of(&mut self, id: RequestId, synced: u64) -> Place {
        let free = &mut self.free;
        let waiting = self.waiting.entry(id).or_insert_with(|| {
            let former = free.pop_front_if(|(_, size)| *size <= synced);
            let (place, former) = former.map_or((id, None), |(place, size)| (place, Some(size)));
            Waiting { since: Instant::now(), place, former, commits: 0 }
        });
        waiting.commits += 1;
        waiting.place
    }

    /// Notes that a commit with the copy of a request was not made.
    pub(super) fn not_made(&mut self, id: &RequestId) {
        let Some(waiting) = self.waiting.get_mut(id) else { return };
        waiting.commits = waiting.commits.saturating_sub(1);
        if waiting.commits == 0 {
            self.forget(id);
        }
    }

    /// Forgets an abandoned request of which no commit was made, unless it has come again meanwhile.
    pub(super) fn forget_abandoned(&mut self, abandoned: &Abandoned) {
        if self.is_waiting(abandoned) {
            self.forget(&abandoned.id);
        }
    }

    /// Whether a request has waited ever since it was found to be abandoned.
    fn is_waiting(&self, Abandoned { id, since, .. }: &Abandoned) -> bool {
        self.waiting.get(id).is_some_and(|waiting| waiting.since == *since)
    }

    /// Forgets a request of which no commit was made: at its place is what was there before.
    fn forget(&mut self, id: &RequestId) {
        if let Some(Waiting { place, former: Some(size), .. }) = self.waiting.remove(id) {
            self.free.push_front((place, size));
        }
    }

    /// Notes that the record of a request that succeeded is in the log, which has this size.
    pub(super) fn written(&mut self, id: &RequestId, size: u64) {
        if let Some(waiting) = self.waiting.remove(id) {
            self.free.push_back((waiting.place, size));
        }
    }

    /// Notes that the log, which has this size, has the record of an abandoned request, whose copy is in the store.
    pub(super) fn moved(&mut self, abandoned: &Abandoned, size: u64) {
        if self.is_waiting(abandoned) {
            self.written(&abandoned.id, size);
        }
    }

    /// Notes that the log, which has this size, has the record of a copy that a former process has left.
    pub(super) fn left(&mut self, place: Place, size: u64) {
        self.free.push_back((place, size));
    }

    /// The requests that have waited for so long.
    pub(super) fn waiting_for(&self, time: Duration) -> Vec<Abandoned> {
        let old = self.waiting.iter().filter(|(_, waiting)| waiting.since.elapsed() >= time);
        old.map(|(id, Waiting { since, place, .. })| Abandoned { id: *id, since: *since, place: *place })
            .collect()
    }

    /// Takes some places whose copies are not needed, so that they can be removed.
    pub(super) fn take(&mut self, most: usize, synced: u64) -> Vec<FreePlace> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(free) = self.free.pop_front_if(|(_, size)| *size <= synced)
        {
            taken.push(free);
        }
        taken
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&mut self, taken: Vec<FreePlace>) {
        taken.into_iter().rev().for_each(|free| self.free.push_front(free));
    }

    /// Whether some place has a copy that is not needed, or soon will not be.
    pub(super) fn any_free(&self) -> bool {
        !self.free.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RequestId = [1; 16];
    const B: RequestId = [2; 16];
    const C: RequestId = [3; 16];

    /// The places that are free, at whatever size of the log.
    fn free(mut places: Places) -> Vec<FreePlace> {
        places.take(usize::MAX, u64::MAX)
    }

    #[test]
    fn a_place_is_used_again_once_the_record_of_its_copy_survives_a_crash() {
        let mut places = Places::default();
        assert_eq!(places.of(A, 0), A);
        places.written(&A, 5);
        assert_eq!(places.of(B, 4), B, "the copy of A is needed");
        assert_eq!(places.of(C, 5), A);
        places.written(&B, 8);
        places.written(&C, 9);
        assert!(places.take(9, 7).is_empty());
        assert_eq!(places.take(9, 8), [(B, 8)]);
        assert_eq!(free(places), [(A, 9)]);
    }

    #[test]
    fn the_place_of_a_commit_that_was_not_made_has_its_former_copy() {
        let mut places = Places::default();
        places.of(A, 0);
        places.not_made(&A);
        assert!(!places.any_free(), "nothing was ever there");
        places.of(A, 0);
        places.written(&A, 5);
        assert_eq!(places.of(B, 5), A);
        places.not_made(&B);
        assert_eq!(free(places), [(A, 5)]);
    }

    #[test]
    fn all_commits_of_a_request_have_one_place_and_one_that_was_made_keeps_it() {
        let mut places = Places::default();
        places.of(A, 0);
        places.written(&A, 5);
        assert_eq!((places.of(B, 5), places.of(B, 5)), (A, A));
        places.not_made(&B);
        assert_eq!(places.of(C, 9), C, "a commit of B was made, or can be made");
        assert_eq!(places.waiting_for(Duration::ZERO).len(), 2);
        let abandoned = places.waiting_for(Duration::ZERO);
        let of_b = abandoned.iter().find(|abandoned| abandoned.id == B).unwrap();
        places.moved(of_b, 7);
        places.written(&B, 8);
        places.moved(of_b, 9);
        assert_eq!(free(places), [(A, 7)], "a place is free once");
    }

    #[test]
    fn an_abandoned_request_is_forgotten_unless_it_came_again() {
        let mut places = Places::default();
        places.of(A, 0);
        places.written(&A, 5);
        places.of(B, 5);
        let abandoned = places.waiting_for(Duration::ZERO);
        places.not_made(&B);
        places.of(B, 5);
        abandoned.iter().for_each(|abandoned| places.forget_abandoned(abandoned));
        assert!(!places.any_free(), "the second commit of B can be made");
        let abandoned = places.waiting_for(Duration::ZERO);
        assert_eq!(abandoned.len(), 1);
        abandoned.iter().for_each(|abandoned| places.forget_abandoned(abandoned));
        assert_eq!(free(places), [(A, 5)]);
    }

    #[test]
    fn what_was_taken_and_not_removed_comes_back_in_its_order() {
        let mut places = Places::default();
        for (id, size) in [(A, 1), (B, 2), (C, 3)] {
            places.of(id, 0);
            places.written(&id, size);
        }
        let taken = places.take(2, 9);
        assert_eq!(taken, [(A, 1), (B, 2)]);
        places.give_back(taken);
        assert_eq!(free(places), [(A, 1), (B, 2), (C, 3)]);
    }
}
