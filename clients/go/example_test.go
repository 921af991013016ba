package strongroom_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/clients/go"
	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

var ctx = context.Background()

func ExampleNew() {
	client, err := strongroom.New(
		strongroom.WithAddresses("https://one.example.com:50051", "https://two.example.com:50051"),
		strongroom.WithAPIKey("srk_abcdefghijklmnop_secret"),
		strongroom.WithNamespace("team/billing"),
		strongroom.WithTimeout(10*time.Second),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Printf("%+v\n", client)
	// Output: strongroom.Client([one.example.com:50051 two.example.com:50051], namespace "team/billing")
}

func ExampleNew_plaintext() {
	_, err := strongroom.New(strongroom.WithAddresses("http://secrets.example.com:50051"), strongroom.WithAPIKey("srk_key"))
	fmt.Println(errors.Is(err, strongroom.ErrConfiguration))
	fmt.Println(err)
	// Output:
	// true
	// strongroom: http://secrets.example.com:50051 is plaintext, and others on the network could read API keys and values: use https://secrets.example.com:50051, or accept the risk with WithInsecurePlaintext.
}

func ExampleClient_Get() {
	client := exampleClient()
	defer client.Close()
	secret, err := client.Get(ctx, "db_password")
	if err != nil {
		log.Fatal(err)
	}
	connect(secret.Value.Text())
	fmt.Println(secret)
	fmt.Printf("%+v\n", secret.Value)
	// Output:
	// connected with 13 characters
	// Secret(default/db_password version 3)
	// [value not shown]
}

func ExampleError() {
	client := exampleClient()
	defer client.Close()
	_, err := client.Get(ctx, "missing")
	var failure *strongroom.Error
	if errors.As(err, &failure) {
		fmt.Println(failure.Reason, failure.RequestID)
	}
	fmt.Println(errors.Is(err, strongroom.ErrNotFound), strongroom.ReasonOf(err) == strongroom.ReasonSecretNotFound)
	// Output:
	// SECRET_NOT_FOUND 4b1d
	// true true
}

func ExampleClient_List() {
	client := exampleClient()
	defer client.Close()
	for secret, err := range client.List(ctx, strongroom.NamePrefix("db_"), strongroom.PageSize(1)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(secret.Name)
	}
	// Output:
	// db_password
	// db_user
}

func ExampleClient_ListNamespaces() {
	client := exampleClient()
	defer client.Close()
	for namespace, err := range client.ListNamespaces(ctx, strongroom.Below("team")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(namespace.Name, namespace.Secrets)
	}
	// Output:
	// team 2
	// team/billing 5
}

func ExampleClient_Stage() {
	client := exampleClient()
	defer client.Close()
	rotate := func() error {
		staged, err := client.Stage(ctx, "db_password", strongroom.GeneratePassword(40), strongroom.ReturnValue{})
		if err != nil {
			return err
		}
		// Set the new value at the database, and try it. Then:
		_, err = client.Promote(ctx, "db_password", staged.Number, strongroom.GracePeriod(24*time.Hour))
		return err
	}
	_ = rotate
}

func ExampleClient_Watch() {
	client := exampleClient()
	defer client.Close()
	for event, err := range client.Watch(ctx, strongroom.Snapshot{}) {
		if err != nil {
			log.Fatal(err)
		}
		if event.Type == strongroom.EventSynced {
			break // This example wants only the snapshot.
		}
		fmt.Println(event.Type, event.Secret.Name)
	}
	// Output: snapshot db_password
}

func ExampleClient_Cached() {
	client := exampleClient()
	defer client.Close()
	cache := client.Cached(strongroom.WithServeStale(time.Hour))
	defer cache.Close()
	for range 3 { // Only the first one asks the server.
		secret, err := cache.Get(ctx, "db_password")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(secret.Version, secret.Stale)
	}
	// Output:
	// 3 false
	// 3 false
	// 3 false
}

func ExampleWithTokenSource() {
	source := func(context.Context) (strongroom.Token, error) {
		token, err := os.ReadFile("/var/run/secrets/tokens/strongroom")
		return strongroom.NewToken(string(token), time.Now().Add(10*time.Minute)), err
	}
	client, err := strongroom.New(strongroom.WithTokenSource(source))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
}

func connect(password string) { fmt.Println("connected with", len(password), "characters") }

// exampleClient is a client of a server in this process.
func exampleClient() *strongroom.Client {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterSecretServiceServer(server, exampleServer{})
	go func() { _ = server.Serve(listener) }()
	client, err := strongroom.New(strongroom.WithAddresses(listener.Addr().String()), strongroom.WithAPIKey("srk_key"))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

type exampleServer struct {
	pb.UnimplementedSecretServiceServer
}

func (exampleServer) GetSecret(_ context.Context, r *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
	if r.GetName() != "db_password" {
		missing, err := status.New(codes.NotFound, "There is no such secret.").WithDetails(
			&errdetails.ErrorInfo{Domain: "strongroom", Reason: "SECRET_NOT_FOUND"}, &errdetails.RequestInfo{RequestId: "4b1d"})
		if err != nil {
			return nil, err
		}
		return nil, missing.Err()
	}
	secret := &pb.Secret{Namespace: "default", Name: "db_password", Version: 3, Id: "1"}
	secret.Value = &pb.SecretValue{Kind: &pb.SecretValue_Text{Text: "correct horse"}}
	return &pb.GetSecretResponse{Secret: secret, Version: 3, Revision: 7}, nil
}

func (exampleServer) ListSecrets(_ context.Context, r *pb.ListSecretsRequest) (*pb.ListSecretsResponse, error) {
	if r.GetPageToken() == "" {
		return &pb.ListSecretsResponse{Items: []*pb.Secret{{Name: "db_password"}}, NextPageToken: "2"}, nil
	}
	return &pb.ListSecretsResponse{Items: []*pb.Secret{{Name: "db_user"}}}, nil
}

func (exampleServer) ListNamespaces(context.Context, *pb.ListNamespacesRequest) (*pb.ListNamespacesResponse, error) {
	items := []*pb.Namespace{{Name: "team", Secrets: 2}, {Name: "team/billing", Secrets: 5}}
	return &pb.ListNamespacesResponse{Items: items}, nil
}

func (exampleServer) WatchSecrets(r *pb.WatchSecretsRequest, stream grpc.ServerStreamingServer[pb.WatchSecretsResponse]) error {
	if r.GetSnapshot() {
		event := &pb.SecretEvent{Type: pb.SecretEventType_SECRET_EVENT_TYPE_SNAPSHOT, Revision: 7, Secret: &pb.Secret{Name: "db_password"}}
		if err := stream.Send(&pb.WatchSecretsResponse{Step: &pb.WatchSecretsResponse_Event{Event: event}}); err != nil {
			return err
		}
	}
	bookmark := &pb.WatchBookmark{Revision: 7, Synced: true}
	if err := stream.Send(&pb.WatchSecretsResponse{Step: &pb.WatchSecretsResponse_Bookmark{Bookmark: bookmark}}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}
