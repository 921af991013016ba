package strongroom

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// replica is a fake that counts the reads that it has answered.
func replica(t *testing.T, answered *int) *fake {
	return (&fake{get: func(context.Context, *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
		*answered++
		return &pb.GetSecretResponse{Secret: secretNamed("a", "value-1", 1), Version: 1}, nil
	}}).start(t)
}

func TestCallsGoToTheServersThatServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first, second int
		one, two := replica(t, &first), replica(t, &second)
		client := clientOf(t, []*fake{one, two}, WithAPIKey(testKey))
		gets := func(count int) {
			t.Helper()
			first, second = 0, 0
			synctest.Wait()
			for range count {
				if _, err := client.Get(t.Context(), "a"); err != nil {
					t.Fatal(err)
				}
			}
		}
		gets(1)
		gets(10)
		if first != 5 || second != 5 {
			t.Errorf("%d and %d calls, expected them in turn", first, second)
		}
		one.health.SetServingStatus("strongroom.v1.SecretService", healthpb.HealthCheckResponse_NOT_SERVING)
		gets(10)
		if first != 0 || second != 10 {
			t.Errorf("%d and %d calls while the first is not serving", first, second)
		}
		one.health.SetServingStatus("strongroom.v1.SecretService", healthpb.HealthCheckResponse_SERVING)
		two.stop()
		gets(10)
		if first != 10 {
			t.Errorf("%d calls while the second is gone", first)
		}
		end(client, one, two)
	})
}

func TestTheMessageNamesEveryAddressAndItsProblem(t *testing.T) {
	problems := &connectProblems{addresses: []string{"a:1", "b:2"}, tls: true}
	problems.note("a:1", errors.New("text of a"))
	problems.note("b:2", errors.New("text of b"))
	if text := problems.unreachable("otherwise"); !strings.Contains(text, "a:1") || !strings.Contains(text, "text of b") {
		t.Error(text)
	}
	problems.note("a:1", nil)
	if text := problems.unreachable("the cause"); !strings.Contains(text, "the cause. No TLS") || !strings.Contains(text, "text of b") {
		t.Error(text)
	}
	problems.note("b:2", nil)
	if text := problems.unreachable("the cause"); !strings.Contains(text, "a:1, b:2") || !strings.Contains(text, "the cause") {
		t.Error(text)
	}
}
