use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

// A panic while a lock was held can not have left these structures half-changed in a way that matters more than
// serving on: the catalog is a copy, and the store stays the truth.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
