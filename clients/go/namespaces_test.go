package strongroom

import (
	"errors"
	"slices"
	"testing"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

func TestNamespacesAreReadPageByPageUntilAnError(t *testing.T) {
	var asked []*pb.ListNamespacesRequest
	server := (&fake{}).start(t)
	server.namespaces = func(r *pb.ListNamespacesRequest) (*pb.ListNamespacesResponse, error) {
		asked = append(asked, r)
		switch r.GetPageToken() {
		case "":
			items := []*pb.Namespace{{Name: "team", Secrets: 2, DeletedSecrets: 1}, {Name: "team/a", Secrets: 1}}
			return &pb.ListNamespacesResponse{Items: items, NextPageToken: "one"}, nil
		case "one":
			return &pb.ListNamespacesResponse{NextPageToken: "two"}, nil
		default:
			return nil, refusal(7, ReasonAccessDenied)
		}
	}
	client := clientOf(t, []*fake{server}, WithAPIKey(testKey), WithNamespace("home"))
	var found []Namespace
	var failed []error
	for namespace, err := range client.ListNamespaces(t.Context(), Below("team"), PageSize(2)) {
		if err != nil {
			failed = append(failed, err)
			continue
		}
		found = append(found, *namespace)
	}
	if expected := []Namespace{{"team", 2, 1}, {"team/a", 1, 0}}; !slices.Equal(found, expected) {
		t.Errorf("found %v, expected %v", found, expected)
	}
	if len(failed) != 1 || !errors.Is(failed[0], ErrPermissionDenied) {
		t.Errorf("the errors are %v", failed)
	}
	tokens := []string{"", "one", "two"}
	if len(asked) != len(tokens) {
		t.Fatalf("%d requests were sent, expected %d", len(asked), len(tokens))
	}
	for i, request := range asked {
		if request.GetBelow() != "team" || request.GetLimit() != 2 || request.GetPageToken() != tokens[i] {
			t.Errorf("request %d is %v", i, request)
		}
	}
	for range client.ListNamespaces(t.Context()) {
		break
	}
	if len(asked) != 4 {
		t.Errorf("a loop that ended at the first namespace sent %d requests", len(asked)-3)
	}
}
