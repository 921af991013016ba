package strongroom

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

const testKey = "srk_abcdefghijklmnop_the-secret-part"

// fake is a server in this process. A test sets the functions of the calls that it expects.
type fake struct {
	pb.UnimplementedSecretServiceServer
	pb.UnimplementedAccessServiceServer

	create     func(*pb.CreateSecretRequest) (*pb.CreateSecretResponse, error)
	get        func(context.Context, *pb.GetSecretRequest) (*pb.GetSecretResponse, error)
	namespaces func(*pb.ListNamespacesRequest) (*pb.ListNamespacesResponse, error)
	claim      func(*pb.ClaimRotationRequest) (*pb.ClaimRotationResponse, error)
	watch      func(*pb.WatchSecretsRequest, grpc.ServerStreamingServer[pb.WatchSecretsResponse]) error

	health   *health.Server
	mutex    sync.Mutex
	listener *bufconn.Listener
	server   *grpc.Server
}

func (f *fake) CreateSecret(_ context.Context, r *pb.CreateSecretRequest) (*pb.CreateSecretResponse, error) {
	return f.create(r)
}

func (f *fake) GetSecret(ctx context.Context, r *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
	return f.get(ctx, r)
}

func (f *fake) ListNamespaces(_ context.Context, r *pb.ListNamespacesRequest) (*pb.ListNamespacesResponse, error) {
	return f.namespaces(r)
}

func (f *fake) ClaimRotation(_ context.Context, r *pb.ClaimRotationRequest) (*pb.ClaimRotationResponse, error) {
	return f.claim(r)
}

func (f *fake) WatchSecrets(r *pb.WatchSecretsRequest, stream grpc.ServerStreamingServer[pb.WatchSecretsResponse]) error {
	return f.watch(r, stream)
}

// start serves. A server that was stopped can be started again.
func (f *fake) start(t testing.TB) *fake {
	f.health = health.NewServer()
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}))
	pb.RegisterSecretServiceServer(server, f)
	pb.RegisterAccessServiceServer(server, f)
	f.health.SetServingStatus("strongroom.v1.SecretService", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, f.health)
	listener := bufconn.Listen(1 << 16)
	f.mutex.Lock()
	f.listener, f.server = listener, server
	f.mutex.Unlock()
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return f
}

func (f *fake) stop() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.server.Stop()
}

func (f *fake) dial(ctx context.Context) (net.Conn, error) {
	f.mutex.Lock()
	listener := f.listener
	f.mutex.Unlock()
	return listener.DialContext(ctx)
}

// clientOf connects to fakes: the first is 127.0.0.1:1, the second 127.0.0.1:2.
func clientOf(t testing.TB, fakes []*fake, options ...Option) *Client {
	t.Helper()
	addresses := []string{"127.0.0.1:1", "127.0.0.1:2"}[:len(fakes)]
	all := []Option{
		WithAddresses(addresses...),
		WithDialOptions(grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			for i, known := range addresses {
				if address == known {
					return fakes[i].dial(ctx)
				}
			}
			panic("no such address: " + address)
		})),
	}
	client, err := New(append(all, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func credentialOf(ctx context.Context) string {
	given, _ := metadata.FromIncomingContext(ctx)
	if values := given.Get("authorization"); len(values) == 1 {
		return values[0]
	}
	return ""
}

// refusal is an error as the server sends it.
func refusal(code codes.Code, reason Reason, details ...protoadapt.MessageV1) error {
	all := append([]protoadapt.MessageV1{
		&errdetails.ErrorInfo{Domain: "strongroom", Reason: string(reason)},
		&errdetails.RequestInfo{RequestId: "request-1"},
	}, details...)
	result, err := status.New(code, "A sentence that says what to do.").WithDetails(all...)
	if err != nil {
		panic(err)
	}
	return result.Err()
}

func retryIn(delay time.Duration) protoadapt.MessageV1 {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}
}

func secretNamed(name, value string, version uint32) *pb.Secret {
	return &pb.Secret{
		Namespace: "team", Name: name, Id: "id-of-" + name, Version: version,
		Value: &pb.SecretValue{Kind: &pb.SecretValue_Text{Text: value}},
	}
}
