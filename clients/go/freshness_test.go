package strongroom

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// requestsOf makes every call about secrets once, with the options given, and returns the requests that left the client.
func requestsOf(t *testing.T, minRevision MinRevision, read CachedRead) map[string]protoreflect.Message {
	sent := map[string]protoreflect.Message{}
	keep := func(_ context.Context, _ string, request, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
		message := request.(proto.Message).ProtoReflect()
		sent[string(message.Descriptor().Name())] = message
		return refusal(3, ReasonValidationFailed)
	}
	server := (&fake{}).start(t)
	client := clientOf(t, []*fake{server}, WithAPIKey(testKey), WithDialOptions(grpc.WithUnaryInterceptor(keep)))
	ctx := t.Context()
	for _, call := range []func() error{
		func() error { _, err := client.Create(ctx, "a", Text("value-1"), minRevision); return err },
		func() error { _, err := client.Get(ctx, "a", minRevision, read); return err },
		func() error { _, err := client.BatchGet(ctx, []string{"a"}, minRevision, read); return err },
		func() (err error) {
			for _, err = range client.List(ctx, minRevision, read) {
			}
			return err
		},
		func() (err error) {
			for _, err = range client.ListNamespaces(ctx, minRevision, read) {
			}
			return err
		},
		func() error { _, err := client.Update(ctx, "a", minRevision); return err },
		func() error { _, err := client.Delete(ctx, "a", minRevision); return err },
		func() error { _, err := client.Undelete(ctx, "id", minRevision); return err },
		func() error { _, err := client.Stage(ctx, "a", Text("value-1"), minRevision); return err },
		func() error { _, err := client.Promote(ctx, "a", 1, minRevision); return err },
		func() error { _, err := client.Versions(ctx, "a", minRevision, read); return err },
		func() error { _, err := client.DisableVersion(ctx, "a", 1, minRevision); return err },
		func() error { _, err := client.EnableVersion(ctx, "a", 1, minRevision); return err },
		func() error { _, _, err := client.DestroyVersion(ctx, "a", 1, minRevision); return err },
		func() error { _, err := client.Acknowledge(ctx, "a", 1, minRevision); return err },
		func() error { _, err := client.ClaimRotation(ctx, minRevision); return err },
		func() error { _, err := client.ReleaseRotation(ctx, "claim", minRevision); return err },
		func() error { _, err := client.Resolve(ctx, map[string]any{}, read); return err },
	} {
		if err := call(); err == nil {
			t.Fatal("a call succeeded that was refused")
		}
	}
	return sent
}

// Every request that has the field min_revision or consistency gets it from the options.
func TestEveryCallCarriesItsFreshness(t *testing.T) {
	sent := requestsOf(t, 42, CachedRead{})
	files := []protoreflect.FileDescriptor{pb.File_strongroom_v1_secret_proto, pb.File_strongroom_v1_reference_proto}
	compared := 0
	for _, file := range files {
		for i := range file.Messages().Len() {
			descriptor := file.Messages().Get(i)
			for name, expected := range map[protoreflect.Name]protoreflect.Value{
				"min_revision": protoreflect.ValueOfUint64(42),
				"consistency":  protoreflect.ValueOfEnum(pb.Consistency_CONSISTENCY_CACHED.Number()),
			} {
				field := descriptor.Fields().ByName(name)
				if field == nil {
					continue
				}
				compared++
				request := sent[string(descriptor.Name())]
				if request == nil {
					t.Errorf("no call of the test sends a %s", descriptor.Name())
				} else if found := request.Get(field); !found.Equal(expected) {
					t.Errorf("%s.%s is %v, expected %v", descriptor.Name(), name, found, expected)
				}
			}
		}
	}
	if compared < 20 {
		t.Errorf("only %d fields were compared", compared)
	}
}
