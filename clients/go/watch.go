package strongroom

import (
	"context"
	"errors"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// EventType is what happened to a secret.
type EventType string

// The types of events. A later release of the server can send further ones.
const (
	// EventSnapshot: the secret matches, at the beginning of a watch with [Snapshot].
	EventSnapshot EventType = "snapshot"
	// EventSynced: the snapshot is complete. The event has no secret. Only a watch with [Snapshot] has it, once.
	EventSynced EventType = "synced"
	// EventCreated: the secret was created.
	EventCreated EventType = "created"
	// EventUpdated: its description, metadata, expiry or rotation policy changed.
	EventUpdated EventType = "updated"
	// EventRenamed: it has another name.
	EventRenamed EventType = "renamed"
	// EventStaged: it has a new version that is pending.
	EventStaged EventType = "staged"
	// EventRotated: another version is current.
	EventRotated EventType = "rotated"
	// EventVersionChanged: a version was disabled, enabled or destroyed.
	EventVersionChanged EventType = "version_changed"
	// EventDeleted: the secret was deleted.
	EventDeleted EventType = "deleted"
	// EventUndeleted: a deleted secret was brought back.
	EventUndeleted EventType = "undeleted"
	// EventPurged: a deleted or expired secret was removed for good.
	EventPurged EventType = "purged"
	// EventRotationDue: a rotation is due, for a worker to take.
	EventRotationDue EventType = "rotation_due"
	// EventRotationFailed: an attempt to rotate the secret failed.
	EventRotationFailed EventType = "rotation_failed"
	// EventExpiring: the secret expires within 24 hours.
	EventExpiring EventType = "expiring"
	// EventExpired: the secret has expired.
	EventExpired EventType = "expired"
	// EventRemoved: the secret does not match the filter any more, or the caller may not list it any more.
	EventRemoved EventType = "removed"
)

// Event is a change of one secret.
type Event struct {
	// Type is what happened.
	Type EventType
	// Secret is the secret after the change, with its value redacted. nil in EventSynced.
	Secret *Secret
	// FormerName is the name that a renamed or undeleted secret had. It can be empty.
	FormerName string
	// Revision is the store's revision of the change.
	Revision uint64
	// ResumeRevision is the [AfterRevision] with which another watch continues behind this event. 0 within a snapshot.
	ResumeRevision uint64
	// OccurredAt is when it happened, by the clock of the server. Zero in a snapshot.
	OccurredAt time.Time
}

// A stream that is silent for longer than this is dead: the server sends a bookmark at least every 30 seconds.
const longestSilence = 90 * time.Second

// Watch returns the changes of the namespace's secrets as they are made, in the order of their revisions. It waits while nothing
// happens, until the context ends or the loop is left.
//
// When the connection breaks or the server restarts, it continues by itself behind the last event, for as long as that takes: no
// event is left out, and none comes twice. With [Snapshot], the secrets that match now come first, then EventSynced; the
// snapshot is returned when it is complete.
//
// The loop ends after an error, which is one that does not pass by itself, such as [ErrPermissionDenied]. When the server does not
// keep the changes any more, it is [ErrRevisionCompacted]: watch again with a snapshot.
func (c *Client) Watch(ctx context.Context, options ...WatchOption) iter.Seq2[*Event, error] {
	request := &pb.WatchSecretsRequest{Namespace: c.namespace}
	for _, option := range options {
		option.onWatch(request)
	}
	return func(yield func(*Event, error) bool) {
		watch := newWatch(c, request)
		defer watch.end()
		for {
			events, err := watch.next(ctx)
			for _, event := range events {
				if !yield(event, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// watch is how far a watch has come, and the stream that it reads.
type watch struct {
	client  *Client
	request *pb.WatchSecretsRequest
	// lost is told why the stream has ended, each time before the next one begins. nil: nobody is.
	lost func(error)
	// synced is told when all that had happened up to this revision was returned. nil: nobody is.
	synced func(revision uint64)

	stream     grpc.ServerStreamingClient[pb.WatchSecretsResponse]
	cancel     context.CancelFunc
	silence    *time.Timer
	credential hidden[string]
	// snapshot is what came of a snapshot that is not complete.
	snapshot   []*Event
	inSnapshot bool
	// revision and told are the revision of the last event, and the ids of the secrets of which an event of it was returned.
	revision uint64
	told     map[string]struct{}
	// opened tells whether any stream brought something. failures counts the attempts in a row that brought nothing.
	opened   bool
	failures int
}

func newWatch(client *Client, request *pb.WatchSecretsRequest) *watch {
	return &watch{
		client:     client,
		request:    proto.CloneOf(request),
		inSnapshot: request.GetSnapshot(),
		told:       make(map[string]struct{}),
	}
}

// next returns the next events, at least one unless there is an error.
func (w *watch) next(ctx context.Context) ([]*Event, error) {
	for {
		err := w.open(ctx)
		if err == nil {
			var reply *pb.WatchSecretsResponse
			w.silence.Reset(longestSilence)
			if reply, err = w.stream.Recv(); err == nil {
				w.opened, w.failures = true, 0
				if events := w.read(reply); len(events) > 0 {
					return events, nil
				}
				continue
			}
		}
		w.end()
		if ctx.Err() != nil {
			return nil, w.client.failure(ctx.Err(), "WatchSecrets", nil)
		}
		failure := w.client.failure(err, "WatchSecrets", nil)
		if w.lost != nil {
			w.lost(failure)
		}
		if err := w.failed(ctx, failure); err != nil {
			return nil, err
		}
	}
}

// open opens a stream, unless one is open.
func (w *watch) open(ctx context.Context) error {
	if w.stream != nil {
		return nil
	}
	if w.inSnapshot {
		// A snapshot that broke begins again.
		w.snapshot, w.revision = nil, 0
		clear(w.told)
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.silence = time.AfterFunc(longestSilence, w.cancel)
	ctx, credential, err := w.client.authenticated(ctx)
	if err != nil {
		return err
	}
	w.credential = hide(credential)
	w.stream, err = w.client.secrets.WatchSecrets(ctx, w.request)
	return err
}

// end closes the stream.
func (w *watch) end() {
	if w.cancel != nil {
		w.silence.Stop()
		w.cancel()
	}
	w.stream, w.cancel = nil, nil
}

// read notes how far the watch is with a reply, and returns what is new in it.
func (w *watch) read(reply *pb.WatchSecretsResponse) []*Event {
	if bookmark := reply.GetBookmark(); bookmark != nil {
		if w.inSnapshot && !bookmark.GetSynced() {
			return nil
		}
		w.resumeAfter(bookmark.GetRevision())
		if w.synced != nil && bookmark.GetSynced() {
			w.synced(bookmark.GetRevision())
		}
		if !w.inSnapshot {
			return nil
		}
		complete := append(w.snapshot, &Event{
			Type: EventSynced, Revision: bookmark.GetRevision(), ResumeRevision: bookmark.GetRevision(),
		})
		w.inSnapshot, w.snapshot = false, nil
		return complete
	}
	sent := reply.GetEvent()
	if sent == nil {
		return nil
	}
	event := &Event{
		Type:           EventType(enumName(sent.GetType(), "SECRET_EVENT_TYPE_")),
		Secret:         secretOf(sent.GetSecret(), 0),
		FormerName:     sent.GetFormerName(),
		Revision:       sent.GetRevision(),
		ResumeRevision: sent.GetResumeRevision(),
		OccurredAt:     timeOf(sent.GetOccurredAt()),
	}
	if event.Type != EventSnapshot {
		if w.wasTold(event) {
			return nil
		}
		if !w.inSnapshot {
			w.resumeAfter(event.ResumeRevision)
			return []*Event{event}
		}
	}
	if w.inSnapshot {
		w.snapshot = append(w.snapshot, event)
	}
	return nil
}

// wasTold tells whether the event was returned before, and notes it.
func (w *watch) wasTold(event *Event) bool {
	_, told := w.told[event.Secret.ID]
	if event.Revision < w.revision || event.Revision == w.revision && told {
		return true
	}
	if event.Revision > w.revision {
		w.revision = event.Revision
		clear(w.told)
	}
	w.told[event.Secret.ID] = struct{}{}
	return false
}

func (w *watch) resumeAfter(revision uint64) {
	w.request.AfterRevision, w.request.Snapshot = revision, false
}

// failed decides whether the watch continues after its stream has ended, and waits before it does.
func (w *watch) failed(ctx context.Context, err error) error {
	var failure *Error
	if !errors.As(err, &failure) {
		return err
	}
	w.failures++
	policy := w.client.retry
	switch {
	case failure.Code == codes.Unauthenticated && w.failures == 1 && w.client.renew(ctx, w.credential.reveal()):
		// The credential was renewed while the stream was open.
		return nil
	case !failure.streamPasses():
		return err
	case !w.opened && w.failures >= policy.Attempts:
		// A server that never answered may not be there at all.
		return err
	}
	if !pause(ctx, policy.pauseAfter(w.failures, failure.RetryAfter)) {
		if ctx.Err() != nil {
			return w.client.failure(ctx.Err(), "WatchSecrets", nil)
		}
		return w.client.failure(status.FromContextError(context.DeadlineExceeded).Err(), "WatchSecrets", nil)
	}
	return nil
}

// streamPasses tells whether a stream that ended so is continued: the server refused nothing.
func (e *Error) streamPasses() bool {
	if e.passes() {
		return true
	}
	switch e.Code {
	case codes.Canceled, codes.Unknown, codes.Internal, codes.DeadlineExceeded:
		return e.Reason == "" || e.Reason == ReasonDeadlineExceeded
	default:
		return false
	}
}
