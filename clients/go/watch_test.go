package strongroom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

type watchStream = grpc.ServerStreamingServer[pb.WatchSecretsResponse]

// streams serves one watch after the other: each function is one stream. It notes the requests.
func streams(requests *[]string, each ...func(watchStream) error) func(*pb.WatchSecretsRequest, watchStream) error {
	return func(r *pb.WatchSecretsRequest, stream watchStream) error {
		number := len(*requests)
		*requests = append(*requests, fmt.Sprintf("after %d snapshot %t", r.GetAfterRevision(), r.GetSnapshot()))
		if number >= len(each) {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		return each[number](stream)
	}
}

func eventOf(kind pb.SecretEventType, name string, revision, resume uint64) *pb.WatchSecretsResponse {
	return &pb.WatchSecretsResponse{Step: &pb.WatchSecretsResponse_Event{Event: &pb.SecretEvent{
		Type: kind, Secret: &pb.Secret{Namespace: "team", Name: name, Id: "id-of-" + name}, Revision: revision, ResumeRevision: resume,
	}}}
}

func bookmarkOf(revision uint64) *pb.WatchSecretsResponse {
	return &pb.WatchSecretsResponse{Step: &pb.WatchSecretsResponse_Bookmark{
		Bookmark: &pb.WatchBookmark{Revision: revision, Synced: true},
	}}
}

func sendAll(end error, replies ...*pb.WatchSecretsResponse) func(watchStream) error {
	return func(stream watchStream) error {
		for _, reply := range replies {
			if err := stream.Send(reply); err != nil {
				return err
			}
		}
		return end
	}
}

const (
	created  = pb.SecretEventType_SECRET_EVENT_TYPE_CREATED
	rotated  = pb.SecretEventType_SECRET_EVENT_TYPE_ROTATED
	deleted  = pb.SecretEventType_SECRET_EVENT_TYPE_DELETED
	snapshot = pb.SecretEventType_SECRET_EVENT_TYPE_SNAPSHOT
)

// watched reads so many events of a watch, or up to an error.
func watched(ctx context.Context, client *Client, count int, options ...WatchOption) (string, error) {
	var texts []string
	for event, err := range client.Watch(ctx, options...) {
		if err != nil {
			return strings.Join(texts, ", "), err
		}
		name := ""
		if event.Secret != nil {
			name = event.Secret.Name
		}
		texts = append(texts, fmt.Sprintf("%s %s %d", event.Type, name, event.Revision))
		if len(texts) == count {
			break
		}
	}
	return strings.Join(texts, ", "), nil
}

func TestAWatchContinuesBehindItsLastEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := refusal(codes.Unavailable, ReasonWatchLagged)
		var requests []string
		server := (&fake{watch: streams(&requests,
			// Two events of revision 5: the stream breaks between them, so the first comes again.
			sendAll(broken, bookmarkOf(3), eventOf(created, "a", 4, 4), eventOf(created, "b", 5, 4)),
			sendAll(broken, eventOf(created, "b", 5, 4), eventOf(created, "c", 5, 5), bookmarkOf(9)),
			sendAll(nil, eventOf(rotated, "a", 10, 10), eventOf(deleted, "b", 11, 11)),
		)}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
		texts, err := watched(t.Context(), client, 5)
		if err != nil || texts != "created a 4, created b 5, created c 5, rotated a 10, deleted b 11" {
			t.Errorf("%s: %v", texts, err)
		}
		if sent := strings.Join(requests, ", "); sent != "after 0 snapshot false, after 4 snapshot false, after 9 snapshot false" {
			t.Error(sent)
		}
		end(client, server)
	})
}

func TestASnapshotIsReturnedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests []string
		server := (&fake{watch: streams(&requests,
			sendAll(refusal(codes.Unavailable, ReasonStoreUnavailable), eventOf(snapshot, "a", 1, 0), eventOf(snapshot, "b", 1, 0)),
			sendAll(nil, eventOf(snapshot, "a", 1, 0), bookmarkOf(7), eventOf(rotated, "a", 8, 8)),
		)}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
		texts, err := watched(t.Context(), client, 3, Snapshot{})
		if err != nil || texts != "snapshot a 1, synced  7, rotated a 8" {
			t.Errorf("%s: %v", texts, err)
		}
		if sent := strings.Join(requests, ", "); sent != "after 0 snapshot true, after 0 snapshot true" {
			t.Error(sent)
		}
		end(client, server)
	})
}

func TestAWatchEndsWithAnErrorThatDoesNotPass(t *testing.T) {
	for _, test := range []struct {
		sent  error
		class error
	}{
		{refusal(codes.OutOfRange, ReasonRevisionCompacted), ErrRevisionCompacted},
		{refusal(codes.PermissionDenied, ReasonAccessDenied), ErrPermissionDenied},
		{refusal(codes.Unauthenticated, ReasonCredentialInvalid), ErrUnauthenticated},
		{refusal(codes.DataLoss, ReasonIntegrityFailure), ErrIntegrity},
	} {
		synctest.Test(t, func(t *testing.T) {
			var requests []string
			server := (&fake{watch: streams(&requests, sendAll(test.sent, eventOf(created, "a", 4, 4)))}).start(t)
			client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
			texts, err := watched(t.Context(), client, 2)
			if !errors.Is(err, test.class) || texts != "created a 4" || len(requests) != 1 {
				t.Errorf("%s %v: %v", texts, requests, err)
			}
			end(client, server)
		})
	}
}

func TestAWatchOfAServerThatWasNeverThereEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests []string
		away := sendAll(refusal(codes.Unavailable, ReasonStoreUnavailable))
		server := (&fake{watch: streams(&requests, away, away, away, away, away, away)}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
		if _, err := watched(t.Context(), client, 1); !errors.Is(err, ErrUnavailable) || len(requests) != 5 {
			t.Errorf("%v: %v", requests, err)
		}
		end(client, server)
	})
}

func TestASilentStreamIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests []string
		server := (&fake{watch: streams(&requests,
			func(stream watchStream) error {
				if err := stream.Send(bookmarkOf(3)); err != nil {
					return err
				}
				<-stream.Context().Done()
				return stream.Context().Err()
			},
			sendAll(nil, eventOf(created, "a", 4, 4)),
		)}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
		begin := time.Now()
		texts, err := watched(t.Context(), client, 1)
		if took := time.Since(begin); err != nil || texts != "created a 4" || took < longestSilence || took > longestSilence+time.Second {
			t.Errorf("%s after %v: %v", texts, took, err)
		}
		end(client, server)
	})
}

func TestTheContextEndsAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests []string
		server := (&fake{watch: streams(&requests)}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := watched(ctx, client, 1); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		end(client, server)
	})
}

func TestAWatchTakesARenewedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		server := (&fake{watch: func(_ *pb.WatchSecretsRequest, stream watchStream) error {
			sent = append(sent, credentialOf(stream.Context()))
			if len(sent) == 1 {
				return refusal(codes.Unauthenticated, ReasonCredentialExpired)
			}
			return stream.Send(eventOf(created, "a", 4, 4))
		}}).start(t)
		made := 0
		client := clientOf(t, []*fake{server}, WithTokenSource(func(context.Context) (Token, error) {
			made++
			return NewToken(fmt.Sprintf("token-%d", made), time.Time{}), nil
		}))
		if texts, err := watched(t.Context(), client, 1); err != nil || texts != "created a 4" {
			t.Errorf("%s: %v", texts, err)
		}
		if strings.Join(sent, " ") != "Bearer token-1 Bearer token-2" {
			t.Error(sent)
		}
		end(client, server)
	})
}
