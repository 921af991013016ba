package strongroom

import (
	"context"
	"time"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// versionChange is what the options of a change of a version say.
type versionChange struct {
	etag, requestID string
	minRevision     uint64
}

func versionChangeOf(options []VersionOption) versionChange {
	change := versionChange{requestID: newRequestID()}
	for _, option := range options {
		option.onVersion(&change)
	}
	return change
}

// Versions returns the versions of a secret that the server keeps, newest first, without their values.
func (c *Client) Versions(ctx context.Context, name string, options ...VersionsOption) ([]SecretVersion, error) {
	request := &pb.ListSecretVersionsRequest{Namespace: c.namespace, Name: name}
	for _, option := range options {
		option.onVersions(request)
	}
	reply, err := send(ctx, c, "ListSecretVersions", c.secrets.ListSecretVersions, request)
	if err != nil {
		return nil, err
	}
	versions := make([]SecretVersion, 0, len(reply.GetVersions()))
	for _, version := range reply.GetVersions() {
		versions = append(versions, versionOf(version))
	}
	return versions, nil
}

// Acknowledge says that this consumer now uses a version. With RetireWhenUnread in the rotation policy, the former version
// retires once each of its consumers has moved on.
func (c *Client) Acknowledge(ctx context.Context, name string, version uint32, options ...AcknowledgeOption) (SecretVersion, error) {
	request := &pb.AcknowledgeVersionRequest{Namespace: c.namespace, Name: name, Version: version}
	for _, option := range options {
		option.onAcknowledge(request)
	}
	reply, err := send(ctx, c, "AcknowledgeVersion", c.secrets.AcknowledgeVersion, request)
	if err != nil {
		return SecretVersion{}, err
	}
	return versionOf(reply.GetVersion()), nil
}

// DisableVersion disables a version, so that its value cannot be read until [Client.EnableVersion].
func (c *Client) DisableVersion(ctx context.Context, name string, version uint32, options ...VersionOption) (SecretVersion, error) {
	change := versionChangeOf(options)
	reply, err := send(ctx, c, "DisableVersion", c.secrets.DisableVersion, &pb.DisableVersionRequest{
		Namespace: c.namespace, Name: name, Version: version, Etag: change.etag, RequestId: change.requestID,
		MinRevision: change.minRevision,
	})
	if err != nil {
		return SecretVersion{}, err
	}
	return versionOf(reply.GetVersion()), nil
}

// EnableVersion enables a disabled version.
func (c *Client) EnableVersion(ctx context.Context, name string, version uint32, options ...VersionOption) (SecretVersion, error) {
	change := versionChangeOf(options)
	reply, err := send(ctx, c, "EnableVersion", c.secrets.EnableVersion, &pb.EnableVersionRequest{
		Namespace: c.namespace, Name: name, Version: version, Etag: change.etag, RequestId: change.requestID,
		MinRevision: change.minRevision,
	})
	if err != nil {
		return SecretVersion{}, err
	}
	return versionOf(reply.GetVersion()), nil
}

// DestructionReceipt is the signed statement of the server that it destroyed a version. `strongroom receipt verify` checks it.
type DestructionReceipt struct {
	// Namespace is the namespace of the secret.
	Namespace string
	// Name is the name of the secret.
	Name string
	// SecretID is the id of the secret.
	SecretID string
	// Version is the number of the destroyed version.
	Version uint32
	// DestroyedAt is when it was destroyed.
	DestroyedAt time.Time
	// DataKeySHA256 is the digest of the deleted data key, in hexadecimal. It can be empty.
	DataKeySHA256 string
	// Statement is the bytes that are signed.
	Statement []byte
	// Signature is the Ed25519 signature of Statement.
	Signature []byte
	// PublicKey is the Ed25519 key of the signature. Compare it with a copy from a source that you trust.
	PublicKey []byte
	// KeyID is a short id of the public key.
	KeyID string
}

// DestroyVersion deletes the value of a version for good, and returns the version with the server's signed receipt.
func (c *Client) DestroyVersion(
	ctx context.Context, name string, version uint32, options ...VersionOption,
) (SecretVersion, *DestructionReceipt, error) {
	change := versionChangeOf(options)
	reply, err := send(ctx, c, "DestroyVersion", c.secrets.DestroyVersion, &pb.DestroyVersionRequest{
		Namespace: c.namespace, Name: name, Version: version, Etag: change.etag, RequestId: change.requestID,
		MinRevision: change.minRevision,
	})
	if err != nil {
		return SecretVersion{}, nil, err
	}
	receipt := reply.GetReceipt()
	return versionOf(reply.GetVersion()), &DestructionReceipt{
		Namespace:     receipt.GetNamespace(),
		Name:          receipt.GetName(),
		SecretID:      receipt.GetSecretId(),
		Version:       receipt.GetVersion(),
		DestroyedAt:   timeOf(receipt.GetDestroyedAt()),
		DataKeySHA256: receipt.GetDataKeySha256(),
		Statement:     receipt.GetStatement(),
		Signature:     receipt.GetSignature(),
		PublicKey:     receipt.GetPublicKey(),
		KeyID:         receipt.GetKeyId(),
	}, nil
}
