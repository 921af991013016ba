package strongroom

import (
	"context"
	"iter"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// Namespace is a namespace in which the caller may list secrets.
type Namespace struct {
	// Name is the name of the namespace, such as team/billing.
	Name string
	// Secrets is how many of its secrets the caller may list, without deleted ones.
	Secrets int
	// DeletedSecrets is how many of its deleted secrets the caller may list and can still bring back.
	DeletedSecrets int
}

// NamespacesOption is an option of [Client.ListNamespaces].
type NamespacesOption interface {
	onNamespaces(*pb.ListNamespacesRequest)
}

// Below lists only this namespace and those below it: with team, also team/billing.
type Below string

func (o Below) onNamespaces(r *pb.ListNamespacesRequest) { r.Below = string(o) }

// ListNamespaces returns the namespaces in which the caller may list secrets, ordered by the bytes of their names, whatever the
// namespace of the client is. It reads a page at a time, when the loop comes to it. The loop ends after the first error.
func (c *Client) ListNamespaces(ctx context.Context, options ...NamespacesOption) iter.Seq2[*Namespace, error] {
	return func(yield func(*Namespace, error) bool) {
		request := &pb.ListNamespacesRequest{}
		for _, option := range options {
			option.onNamespaces(request)
		}
		for {
			reply, err := send(ctx, c, "ListNamespaces", c.secrets.ListNamespaces, request)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range reply.GetItems() {
				if !yield(namespaceOf(item), nil) {
					return
				}
			}
			if reply.GetNextPageToken() == "" {
				return
			}
			request.PageToken = reply.GetNextPageToken()
		}
	}
}

func namespaceOf(item *pb.Namespace) *Namespace {
	return &Namespace{
		Name: item.GetName(), Secrets: int(item.GetSecrets()), DeletedSecrets: int(item.GetDeletedSecrets()),
	}
}
