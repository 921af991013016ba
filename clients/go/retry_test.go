package strongroom

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

func TestAllAttemptsOfAChangeCarryOneRequestID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		server := (&fake{create: func(r *pb.CreateSecretRequest) (*pb.CreateSecretResponse, error) {
			ids = append(ids, r.GetRequestId())
			if len(ids) < 3 {
				return nil, refusal(codes.Unavailable, ReasonStoreUnavailable)
			}
			return &pb.CreateSecretResponse{Secret: secretNamed(r.GetName(), "", 1)}, nil
		}}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
		for range 2 {
			if _, err := client.Create(t.Context(), "a", Text("value-1")); err != nil {
				t.Fatal(err)
			}
		}
		if len(ids) != 4 || len(ids[0]) != 36 || ids[0] != ids[1] || ids[1] != ids[2] || ids[2] == ids[3] {
			t.Fatalf("three attempts of the first call and one of the second sent %q", ids)
		}
		end(client, server)
	})
}

func TestTheClientWaitsAsLongAsTheServerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		server := (&fake{get: func(context.Context, *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
			calls++
			if calls == 1 {
				return nil, refusal(codes.ResourceExhausted, ReasonTooManyRequests, retryIn(7*time.Second))
			}
			return &pb.GetSecretResponse{Secret: secretNamed("a", "value-1", 1), Version: 1}, nil
		}}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
		begin := time.Now()
		if _, err := client.Get(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 7050*time.Millisecond || took > 7100*time.Millisecond {
			t.Errorf("the pause was %v, expected 7 s and 50 to 100 ms", took)
		}
		end(client, server)
	})
}

func TestNoAttemptBeginsAfterTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		server := (&fake{get: func(context.Context, *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
			calls++
			return nil, refusal(codes.Unavailable, ReasonStoreUnavailable, retryIn(time.Hour))
		}}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey), WithTimeout(time.Minute))
		begin := time.Now()
		_, err := client.Get(t.Context(), "a")
		if !errors.Is(err, ErrUnavailable) || calls != 1 || time.Since(begin) != 0 {
			t.Errorf("%d calls in %v: %v", calls, time.Since(begin), err)
		}
		end(client, server)
	})
}

func TestOnlyWhatCanSucceedLaterIsAttemptedAgain(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   error
		calls int
	}{
		{"unavailable", refusal(codes.Unavailable, ReasonStoreUnavailable), 5},
		{"busy", refusal(codes.ResourceExhausted, ReasonTooManyRequests), 5},
		{"contended", refusal(codes.Aborted, ReasonContended), 5},
		{"another etag", refusal(codes.Aborted, ReasonETagMismatch), 1},
		{"a quota", refusal(codes.ResourceExhausted, ReasonQuotaExceeded, retryIn(time.Second)), 1},
		{"too large", refusal(codes.ResourceExhausted, ReasonMessageTooLarge), 1},
		{"not valid", refusal(codes.InvalidArgument, ReasonValidationFailed), 1},
		{"revoked", refusal(codes.Unauthenticated, ReasonCredentialInvalid), 1},
		{"internal", refusal(codes.Internal, ReasonInternal), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				server := (&fake{get: func(context.Context, *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
					calls++
					return nil, test.err
				}}).start(t)
				client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
				if _, err := client.Get(t.Context(), "a"); err == nil || calls != test.calls {
					t.Errorf("%d calls, expected %d: %v", calls, test.calls, err)
				}
				end(client, server)
			})
		})
	}
}

func TestACallWithoutARequestIDIsMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		server := (&fake{claim: func(*pb.ClaimRotationRequest) (*pb.ClaimRotationResponse, error) {
			calls++
			return nil, refusal(codes.Unavailable, ReasonStoreUnavailable)
		}}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
		if _, err := client.ClaimRotation(t.Context()); !errors.Is(err, ErrUnavailable) || calls != 1 {
			t.Errorf("%d calls: %v", calls, err)
		}
		end(client, server)
	})
}

func TestTheContextEndsACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := (&fake{get: func(ctx context.Context, _ *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}).start(t)
		client := clientOf(t, []*fake{server}, WithAPIKey(testKey))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.Get(ctx, "a")
		if !errors.Is(err, ErrDeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
		canceled, cancelNow := context.WithCancel(t.Context())
		cancelNow()
		if _, err = client.Get(canceled, "a"); !errors.Is(err, ErrCanceled) || !errors.Is(err, context.Canceled) {
			t.Errorf("after the cancellation: %v", err)
		}
		end(client, server)
	})
}

func TestACallAfterCloseSaysSo(t *testing.T) {
	client := clientOf(t, []*fake{(&fake{}).start(t)}, WithAPIKey(testKey))
	if err := errors.Join(client.Close(), client.Close()); err != nil {
		t.Error(err)
	}
	if _, err := client.In("other").Get(t.Context(), "a"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// end stops everything, so that the bubble of synctest can end.
func end(client *Client, servers ...*fake) {
	_ = client.Close()
	for _, server := range servers {
		server.stop()
	}
	synctest.Wait()
}
