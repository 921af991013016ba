package strongroom

import (
	"context"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// benchServer is the address of a server with the secret "bench": STRONGROOM_BENCH_SERVER (plaintext), if it is set, or a fake over TCP.
func benchServer(b *testing.B) (address, key string) {
	if address := os.Getenv("STRONGROOM_BENCH_SERVER"); address != "" {
		return address, os.Getenv("STRONGROOM_BENCH_API_KEY")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	secret := secretNamed("bench", "a value of some thirty-two bytes", 1)
	server := grpc.NewServer()
	pb.RegisterSecretServiceServer(server, &fake{
		get: func(context.Context, *pb.GetSecretRequest) (*pb.GetSecretResponse, error) {
			return &pb.GetSecretResponse{Secret: secret, Version: 1, Revision: 1}, nil
		},
		watch: func(_ *pb.WatchSecretsRequest, stream watchStream) error {
			if err := stream.Send(bookmarkOf(1)); err != nil {
				return err
			}
			<-stream.Context().Done()
			return nil
		},
	})
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(server.Stop)
	return listener.Addr().String(), testKey
}

func benchClient(b *testing.B, address, key string) *Client {
	client, err := New(WithAddresses(address), WithAPIKey(key))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return client
}

// BenchmarkCachedGet measures a read of a cache, which does no I/O. An operation is 1,000 reads; ns/get is the median of one read.
func BenchmarkCachedGet(b *testing.B) {
	address, key := benchServer(b)
	cache := benchClient(b, address, key).Cached()
	defer cache.Close()
	if _, err := cache.Get(b.Context(), "bench"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var turns []float64
	for b.Loop() {
		turns = append(turns, perGet(b, 1000, func() error {
			_, err := cache.Get(b.Context(), "bench")
			return err
		}))
	}
	b.ReportMetric(median(turns), "ns/get")
	b.ReportMetric(0, "ns/op")
}

// perGet makes some reads, and returns the time that each has taken, in nanoseconds.
func perGet(b *testing.B, count int, read func() error) float64 {
	begin := time.Now()
	for range count {
		if err := read(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(begin).Nanoseconds()) / float64(count)
}

// median: on a machine that also does something else, some turns take much longer.
func median(turns []float64) float64 {
	slices.Sort(turns)
	return turns[len(turns)/2]
}

// BenchmarkRatio makes 10,000 reads with the client and 10,000 with the bare stub, in turns of 100, and reports the ratio of their
// median turns.
func BenchmarkRatio(b *testing.B) {
	const reads, turn = 10_000, 100
	address, key := benchServer(b)
	client := benchClient(b, address, key)
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	stub := pb.NewSecretServiceClient(connection)

	viaClient := func() error {
		_, err := client.Get(b.Context(), "bench")
		return err
	}
	bare := func() error {
		// What a careful user of the stub does: a deadline, and the API key.
		ctx, cancel := context.WithTimeout(b.Context(), defaultTimeout)
		defer cancel()
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
		_, err := stub.GetSecret(ctx, &pb.GetSecretRequest{Name: "bench"})
		return err
	}
	perGet(b, turn, viaClient)
	perGet(b, turn, bare)
	var ofClient, ofStub []float64
	for b.Loop() {
		for range reads / turn {
			ofClient = append(ofClient, perGet(b, turn, viaClient))
			ofStub = append(ofStub, perGet(b, turn, bare))
		}
	}
	clientGet, stubGet := median(ofClient), median(ofStub)
	b.ReportMetric(clientGet/stubGet, "client/stub")
	b.ReportMetric(stubGet, "ns/stub-get")
	b.ReportMetric(clientGet, "ns/client-get")
	b.ReportMetric(0, "ns/op")
}
