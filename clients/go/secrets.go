package strongroom

import (
	"context"
	"iter"
	"time"

	"google.golang.org/grpc/status"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// Create creates a secret with version 1. The value comes from the caller ([Text], [Binary]) or from the server
// ([GeneratePassword], …). The returned secret has its value redacted, unless the server generated it and [ReturnValue] is
// given. The name is 1 to 128 characters of [A-Za-z_][A-Za-z0-9_]*.
func (c *Client) Create(ctx context.Context, name string, from Source, options ...CreateOption) (*Secret, error) {
	request := &pb.CreateSecretRequest{Namespace: c.namespace, Name: name, RequestId: newRequestID()}
	request.Value, request.Generate = from.source()
	for _, option := range options {
		option.onCreate(request)
	}
	reply, err := send(ctx, c, "CreateSecret", c.secrets.CreateSecret, request)
	if err != nil {
		return nil, err
	}
	return secretOf(reply.GetSecret(), 1), nil
}

// Get returns a secret with its plaintext value.
func (c *Client) Get(ctx context.Context, name string, options ...GetOption) (*Secret, error) {
	secret, _, err := c.get(ctx, name, options...)
	return secret, err
}

// get also returns the revision that the secret was read at.
func (c *Client) get(ctx context.Context, name string, options ...GetOption) (*Secret, uint64, error) {
	request := &pb.GetSecretRequest{Namespace: c.namespace, Name: name}
	for _, option := range options {
		option.onGet(request)
	}
	reply, err := send(ctx, c, "GetSecret", c.secrets.GetSecret, request)
	if err != nil {
		return nil, 0, err
	}
	return secretOf(reply.GetSecret(), reply.GetVersion()), reply.GetRevision(), nil
}

// BatchItem is one of several secrets.
type BatchItem struct {
	// Name is the name that was asked for.
	Name string
	// Secret is the secret. nil: Err says why it is not returned.
	Secret *Secret
	// Err is the error that [Client.Get] would return.
	Err error
}

// BatchGet returns up to 100 secrets as they were at one moment, in the order of the names. A secret that cannot be returned has
// an error in its item; the call itself fails only when it can return none of them.
func (c *Client) BatchGet(ctx context.Context, names []string, options ...BatchGetOption) ([]BatchItem, error) {
	request := &pb.BatchGetSecretsRequest{Namespace: c.namespace, Names: names}
	for _, option := range options {
		option.onBatchGet(request)
	}
	reply, err := send(ctx, c, "BatchGetSecrets", c.secrets.BatchGetSecrets, request)
	if err != nil {
		return nil, err
	}
	items := make([]BatchItem, 0, len(reply.GetItems()))
	for _, item := range reply.GetItems() {
		result := BatchItem{Name: item.GetName()}
		if failed := item.GetError(); failed != nil {
			result.Err = errorOf(status.FromProto(failed))
		} else {
			result.Secret = secretOf(item.GetSecret(), item.GetSecret().GetVersion())
		}
		items = append(items, result)
	}
	return items, nil
}

// List returns the secrets of the namespace, with redacted values, by name unless [OrderBy] says otherwise. It reads a page at a
// time, when the loop comes to it. The loop ends after the first error.
func (c *Client) List(ctx context.Context, options ...ListOption) iter.Seq2[*Secret, error] {
	return func(yield func(*Secret, error) bool) {
		request := &pb.ListSecretsRequest{Namespace: c.namespace}
		for _, option := range options {
			option.onList(request)
		}
		for {
			reply, err := send(ctx, c, "ListSecrets", c.secrets.ListSecrets, request)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, secret := range reply.GetItems() {
				if !yield(secretOf(secret, 0), nil) {
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

// Update changes what the options say, and keeps everything else: a [Value] (which becomes a new version), [NewName],
// [Description], [Metadata], [ExpiresAt], [RotationPolicy].
func (c *Client) Update(ctx context.Context, name string, options ...UpdateOption) (*Secret, error) {
	request := &pb.UpdateSecretRequest{Namespace: c.namespace, Name: name, RequestId: newRequestID()}
	for _, option := range options {
		option.onUpdate(request)
	}
	reply, err := send(ctx, c, "UpdateSecret", c.secrets.UpdateSecret, request)
	if err != nil {
		return nil, err
	}
	return secretOf(reply.GetSecret(), 0), nil
}

// DeletedSecret is what a deletion leaves.
type DeletedSecret struct {
	// ID is the id for [Client.Undelete].
	ID string
	// DeletedAt is when the secret was deleted.
	DeletedAt time.Time
	// PurgeAt is until when the secret can be brought back.
	PurgeAt time.Time
}

// Delete deletes a secret with all its versions. Its name is free at once. [Client.Undelete] brings it back until PurgeAt.
func (c *Client) Delete(ctx context.Context, name string, options ...DeleteOption) (*DeletedSecret, error) {
	request := &pb.DeleteSecretRequest{Namespace: c.namespace, Name: name, RequestId: newRequestID()}
	for _, option := range options {
		option.onDelete(request)
	}
	reply, err := send(ctx, c, "DeleteSecret", c.secrets.DeleteSecret, request)
	if err != nil {
		return nil, err
	}
	return &DeletedSecret{reply.GetId(), timeOf(reply.GetDeletedAt()), timeOf(reply.GetPurgeAt())}, nil
}

// Undelete brings a deleted secret back by its id, under its former name or a [NewName].
func (c *Client) Undelete(ctx context.Context, id string, options ...UndeleteOption) (*Secret, error) {
	request := &pb.UndeleteSecretRequest{Namespace: c.namespace, Id: id, RequestId: newRequestID()}
	for _, option := range options {
		option.onUndelete(request)
	}
	reply, err := send(ctx, c, "UndeleteSecret", c.secrets.UndeleteSecret, request)
	if err != nil {
		return nil, err
	}
	return secretOf(reply.GetSecret(), 0), nil
}
