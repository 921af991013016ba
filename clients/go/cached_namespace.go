package strongroom

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// cachedNamespace is the part of a cache for one namespace.
//
// An entry is served only while a watch follows the namespace: from the first bookmark of the watch on, and then, as stale, for a
// time after its connection was lost. An entry is stored only if no event of its secret came while it was read.
type cachedNamespace struct {
	cache  *cacheOfAll
	client *Client

	mutex   sync.RWMutex
	entries map[string]*cacheEntry
	// reads is the reads that are under way, by name.
	reads map[string]*cacheRead
	// watching is closed when the watch follows the namespace, or cannot. nil: no watch runs.
	watching chan struct{}
	follows  bool
	// seen is the latest revision that the watch has told of: what is read must not be older.
	seen uint64
	// lostSince is when the connection of the watch was lost. Zero: it is not.
	lostSince time.Time
	refusedAt time.Time
	// emptied counts how often everything was forgotten: what was read before may be what the caller may not know any more.
	emptied uint64
}

type cacheEntry struct {
	secret Secret
	// used lets the entries that are read survive those that are not.
	used atomic.Bool
	// outdated: an event tells of a newer version, which is not read yet.
	outdated bool
}

// cacheRead is one read from the server that all who ask for the name wait for.
type cacheRead struct {
	done chan struct{}
	// changedAt is the revision of the last event of the secret since the read began.
	changedAt uint64
	secret    *Secret
	err       error
}

func newCachedNamespace(cache *cacheOfAll, client *Client) *cachedNamespace {
	return &cachedNamespace{
		cache: cache, client: client, entries: make(map[string]*cacheEntry), reads: make(map[string]*cacheRead),
	}
}

// lookUp returns the secret if it may be served without asking the server.
func (n *cachedNamespace) lookUp(name string) (CachedSecret, bool) {
	n.mutex.RLock()
	defer n.mutex.RUnlock()
	entry, found := n.entries[name]
	if !found || entry.outdated && n.lostSince.IsZero() {
		return CachedSecret{}, false
	}
	return n.serve(entry, n.lostSince)
}

// lastKnown returns the secret after a read of it failed because the server cannot be reached: the watch may not know that yet.
func (n *cachedNamespace) lastKnown(name string) (CachedSecret, bool) {
	n.mutex.RLock()
	defer n.mutex.RUnlock()
	entry, found := n.entries[name]
	if !found {
		return CachedSecret{}, false
	}
	since := n.lostSince
	if since.IsZero() {
		since = n.cache.now()
	}
	return n.serve(entry, since)
}

// serve returns the secret of an entry, unless it is stale for too long or has expired. The caller holds the lock.
func (n *cachedNamespace) serve(entry *cacheEntry, lostSince time.Time) (CachedSecret, bool) {
	if !lostSince.IsZero() && n.cache.now().Sub(lostSince) >= n.cache.serveStale {
		return CachedSecret{}, false
	}
	if end := entry.secret.ExpiresAt; !end.IsZero() && !n.cache.now().Before(end) {
		return CachedSecret{}, false
	}
	if !entry.used.Load() {
		entry.used.Store(true)
	}
	found := CachedSecret{Secret: entry.secret, Stale: !lostSince.IsZero(), StaleSince: lostSince}
	found.Value = found.Value.copied()
	return found, true
}

// fill reads the secret from the server, and keeps it while a watch follows the namespace.
func (n *cachedNamespace) fill(ctx context.Context, name string) (CachedSecret, error) {
	select {
	case <-n.follow():
	case <-ctx.Done():
		return CachedSecret{}, n.client.failure(ctx.Err(), "GetSecret", nil)
	}
	read := n.read(name)
	select {
	case <-read.done:
	case <-ctx.Done():
		return CachedSecret{}, n.client.failure(ctx.Err(), "GetSecret", nil)
	}
	if read.err != nil {
		if errors.Is(read.err, ErrUnavailable) || errors.Is(read.err, ErrDeadlineExceeded) {
			if found, ok := n.lastKnown(name); ok {
				return found, nil
			}
		}
		return CachedSecret{}, read.err
	}
	found := CachedSecret{Secret: *read.secret}
	found.Value = found.Value.copied()
	return found, nil
}

// read begins a read of the secret, or joins the one that is under way.
func (n *cachedNamespace) read(name string) *cacheRead {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if read, found := n.reads[name]; found {
		return read
	}
	read := &cacheRead{done: make(chan struct{})}
	if entry, found := n.entries[name]; found && !entry.outdated && n.lostSince.IsZero() {
		// Another read has ended just now.
		if served, ok := n.serve(entry, time.Time{}); ok {
			read.secret = &served.Secret
			close(read.done)
			return read
		}
	}
	n.reads[name] = read
	begun := n.cache.begin(func() {
		for {
			n.mutex.RLock()
			seen, emptied := n.seen, n.emptied
			n.mutex.RUnlock()
			secret, revision, err := n.client.get(n.cache.ctx, name, MinRevision(seen))
			if n.finish(name, read, emptied, secret, revision, err) {
				return
			}
		}
	})
	if !begun {
		delete(n.reads, name)
		read.err = ErrClosed
		close(read.done)
	}
	return read
}

// finish ends a read that began when everything was forgotten so often. It returns false if the secret has changed meanwhile, so that
// it must be read again.
func (n *cachedNamespace) finish(name string, read *cacheRead, emptied uint64, secret *Secret, revision uint64, err error) bool {
	if errors.Is(err, ErrUnauthenticated) {
		n.cache.empty()
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if err == nil && read.changedAt > revision {
		return false
	}
	delete(n.reads, name)
	read.secret, read.err = secret, err
	defer close(read.done)
	switch {
	case err == nil && n.follows && n.lostSince.IsZero() && n.emptied == emptied:
		n.store(name, secret)
	case saysNo(err):
		n.drop(name)
	}
	return true
}

// saysNo tells whether the server has said that this caller gets no such value.
func saysNo(err error) bool {
	for _, class := range []error{ErrPermissionDenied, ErrNotFound, ErrFailedPrecondition, ErrIntegrity, ErrInvalid} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// store keeps the secret. A full cache drops an entry that was not read lately. The caller holds the lock.
func (n *cachedNamespace) store(name string, secret *Secret) {
	n.drop(name)
	kept := *secret
	kept.Value = secret.Value.copied()
	for len(n.entries) >= n.cache.size {
		// Go begins at a random place, so this is the clock algorithm with a random hand.
		for other, entry := range n.entries {
			if !entry.used.Swap(false) {
				n.drop(other)
				break
			}
		}
	}
	n.entries[name] = &cacheEntry{secret: kept}
}

// drop forgets the secret, and overwrites its value. The caller holds the lock.
func (n *cachedNamespace) drop(name string) {
	if entry, found := n.entries[name]; found {
		entry.secret.Value.wipe()
		delete(n.entries, name)
	}
}

// empty forgets everything.
func (n *cachedNamespace) empty() {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.dropAll()
}

// dropAll forgets everything, and what is being read. The caller holds the lock.
func (n *cachedNamespace) dropAll() {
	n.emptied++
	for name := range n.entries {
		n.drop(name)
	}
}
