package strongroom

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// After a watch was refused, the next one begins at a read, and not before this time has passed.
const watchAgainAfter = 5 * time.Second

// follow starts the watch unless it runs. The channel is closed when the watch follows the namespace, or cannot.
func (n *cachedNamespace) follow() <-chan struct{} {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.watching != nil {
		return n.watching
	}
	decided := make(chan struct{})
	if n.cache.now().Sub(n.refusedAt) < watchAgainAfter {
		close(decided)
		return decided
	}
	if n.cache.begin(func() { n.watch(n.cache.ctx, decided) }) {
		n.watching = decided
	} else {
		close(decided)
	}
	return decided
}

// watch follows the namespace until the server refuses to tell more, or the cache is closed.
func (n *cachedNamespace) watch(ctx context.Context, decided chan struct{}) {
	var once sync.Once
	decide := func() { once.Do(func() { close(decided) }) }
	changes := newWatch(n.client, &pb.WatchSecretsRequest{Namespace: n.client.namespace})
	defer changes.end()
	changes.lost = func(err error) {
		n.lose(err)
		decide()
	}
	changes.synced = func(revision uint64) {
		n.sync(revision)
		decide()
	}
	var err error
	for err == nil {
		var events []*Event
		events, err = changes.next(ctx)
		for _, event := range events {
			n.apply(event)
		}
	}
	if errors.Is(err, ErrUnauthenticated) {
		n.cache.empty()
	}
	n.mutex.Lock()
	n.watching, n.follows, n.lostSince = nil, false, time.Time{}
	n.refusedAt = n.cache.now()
	n.dropAll()
	n.mutex.Unlock()
	decide()
}

// sync notes that the cache knows all changes up to this revision.
func (n *cachedNamespace) sync(revision uint64) {
	n.mutex.Lock()
	n.follows, n.seen, n.lostSince = true, max(n.seen, revision), time.Time{}
	var outdated []string
	for name, entry := range n.entries {
		if entry.outdated {
			outdated = append(outdated, name)
		}
	}
	n.mutex.Unlock()
	for _, name := range outdated {
		n.read(name)
	}
}

// lose notes that a stream has ended. When its connection was lost, the entries become stale; when the server has ended it for a
// reason, they may be what the caller may not know any more.
func (n *cachedNamespace) lose(err error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if !connectionLost(err) {
		n.dropAll()
	}
	if n.lostSince.IsZero() {
		n.lostSince = n.cache.now()
	}
}

func connectionLost(err error) bool {
	var failure *Error
	if !errors.As(err, &failure) {
		return false
	}
	return failure.streamPasses() && failure.Reason != ReasonContended
}

// apply does what an event asks for.
func (n *cachedNamespace) apply(event *Event) {
	n.mutex.Lock()
	n.seen = max(n.seen, event.Revision)
	name, again := event.Secret.Name, false
	for _, of := range []string{name, event.FormerName} {
		if read, found := n.reads[of]; found {
			read.changedAt = max(read.changedAt, event.Revision)
		}
	}
	switch event.Type {
	case EventRotated, EventUpdated:
		if entry, found := n.entries[name]; found {
			entry.outdated, again = true, true
		}
	case EventStaged, EventRotationDue, EventRotationFailed, EventExpiring, EventCreated, EventUndeleted, EventSnapshot, EventSynced:
		// The value that can be read is the same, or there was none.
	case EventRenamed, EventVersionChanged, EventDeleted, EventPurged, EventExpired, EventRemoved:
		n.dropID(event.Secret.ID)
	default:
		n.dropID(event.Secret.ID)
	}
	n.mutex.Unlock()
	if again {
		n.read(name)
	}
}

// dropID forgets the secret under whatever name it has. The caller holds the lock.
func (n *cachedNamespace) dropID(id string) {
	for name, entry := range n.entries {
		if entry.secret.ID == id {
			n.drop(name)
		}
	}
}
