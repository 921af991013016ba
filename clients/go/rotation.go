package strongroom

import (
	"context"
	"time"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// Rotate gives a secret a new value in one step: readers get the old value or the new one. Former versions stay readable by
// their number, unless a [GracePeriod] ends that. The Version of the returned secret is the new version.
func (c *Client) Rotate(ctx context.Context, name string, from Source, options ...RotateOption) (*Secret, error) {
	reply, err := c.rotate(ctx, name, from, false, options)
	if err != nil {
		return nil, err
	}
	return secretOf(reply.GetSecret(), reply.GetVersion()), nil
}

// StagedVersion is a new version that is pending.
type StagedVersion struct {
	// Number is the number of the version, for [Client.Promote].
	Number uint32
	// Secret is the secret. With [ReturnValue], its Value is the generated value of the pending version.
	Secret *Secret
}

// Stage makes a new version that stays pending: the current version stays as it is until [Client.Promote] makes the new one
// current. [Client.DestroyVersion] abandons it.
func (c *Client) Stage(ctx context.Context, name string, from Source, options ...StageOption) (*StagedVersion, error) {
	all := make([]RotateOption, 0, len(options))
	for _, option := range options {
		all = append(all, option)
	}
	reply, err := c.rotate(ctx, name, from, true, all)
	if err != nil {
		return nil, err
	}
	return &StagedVersion{reply.GetVersion(), secretOf(reply.GetSecret(), reply.GetVersion())}, nil
}

func (c *Client) rotate(ctx context.Context, name string, from Source, stage bool, options []RotateOption) (*pb.RotateSecretResponse, error) {
	request := &pb.RotateSecretRequest{Namespace: c.namespace, Name: name, Stage: stage, RequestId: newRequestID()}
	request.Value, request.Generate = from.source()
	for _, option := range options {
		option.onRotate(request)
	}
	return send(ctx, c, "RotateSecret", c.secrets.RotateSecret, request)
}

// Promote makes a version the current one: the pending one, at the end of a staged rotation, or an older one, to go back.
func (c *Client) Promote(ctx context.Context, name string, version uint32, options ...PromoteOption) (*Secret, error) {
	request := &pb.PromoteVersionRequest{Namespace: c.namespace, Name: name, Version: version, RequestId: newRequestID()}
	for _, option := range options {
		option.onPromote(request)
	}
	reply, err := send(ctx, c, "PromoteVersion", c.secrets.PromoteVersion, request)
	if err != nil {
		return nil, err
	}
	return secretOf(reply.GetSecret(), 0), nil
}

// ClaimedRotation is a rotation that the caller holds.
type ClaimedRotation struct {
	// ClaimID goes into [ClaimID] and [Client.ReleaseRotation].
	ClaimID string
	// Secret is the secret to rotate, with its value redacted.
	Secret *Secret
	// LeaseExpiresAt is when the claim ends by itself.
	LeaseExpiresAt time.Time
	// PendingVersion is the version that another worker has left pending. 0: none is.
	PendingVersion uint32
}

// ClaimRotation takes a rotation that is due, so that no other worker takes it at the same time. Then make a new value with
// [Client.Stage], set and test it where it is used, and call [Client.Promote], each with the [ClaimID]. When none is due, the
// error has the reason [ReasonNoRotationDue]. The call is made only once.
func (c *Client) ClaimRotation(ctx context.Context, options ...ClaimOption) (*ClaimedRotation, error) {
	request := &pb.ClaimRotationRequest{Namespace: c.namespace}
	for _, option := range options {
		option.onClaim(request)
	}
	reply, err := sendOnce(ctx, c, "ClaimRotation", c.secrets.ClaimRotation, request)
	if err != nil {
		return nil, err
	}
	return &ClaimedRotation{
		reply.GetClaimId(), secretOf(reply.GetSecret(), 0), timeOf(reply.GetLeaseExpiresAt()), reply.GetPendingVersion(),
	}, nil
}

// ReleaseRotation gives a rotation back. With [FailedBecause] it has failed, and is due again later; without, at once. The call
// is made only once.
func (c *Client) ReleaseRotation(ctx context.Context, claimID string, options ...ReleaseOption) (*Secret, error) {
	request := &pb.ReleaseRotationRequest{ClaimId: claimID}
	for _, option := range options {
		option.onRelease(request)
	}
	reply, err := sendOnce(ctx, c, "ReleaseRotation", c.secrets.ReleaseRotation, request)
	if err != nil {
		return nil, err
	}
	return secretOf(reply.GetSecret(), 0), nil
}
