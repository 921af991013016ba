package strongroom

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// The options of each call. A type of this package is an option of a call when it has the method of the interface, so the
// compiler refuses an option that does not belong to a call.
type (
	// CreateOption is an option of [Client.Create].
	CreateOption interface{ onCreate(*pb.CreateSecretRequest) }
	// GetOption is an option of [Client.Get].
	GetOption interface{ onGet(*pb.GetSecretRequest) }
	// BatchGetOption is an option of [Client.BatchGet].
	BatchGetOption interface {
		onBatchGet(*pb.BatchGetSecretsRequest)
	}
	// ListOption is an option of [Client.List].
	ListOption interface{ onList(*pb.ListSecretsRequest) }
	// UpdateOption is an option of [Client.Update].
	UpdateOption interface{ onUpdate(*pb.UpdateSecretRequest) }
	// DeleteOption is an option of [Client.Delete].
	DeleteOption interface{ onDelete(*pb.DeleteSecretRequest) }
	// UndeleteOption is an option of [Client.Undelete].
	UndeleteOption interface {
		onUndelete(*pb.UndeleteSecretRequest)
	}
	// StageOption is an option of [Client.Stage], and also one of [Client.Rotate].
	StageOption interface {
		RotateOption
		onStage()
	}
	// RotateOption is an option of [Client.Rotate].
	RotateOption interface{ onRotate(*pb.RotateSecretRequest) }
	// PromoteOption is an option of [Client.Promote].
	PromoteOption interface {
		onPromote(*pb.PromoteVersionRequest)
	}
	// VersionOption is an option of [Client.DisableVersion], [Client.EnableVersion] and [Client.DestroyVersion].
	VersionOption interface{ onVersion(*versionChange) }
	// VersionsOption is an option of [Client.Versions].
	VersionsOption interface {
		onVersions(*pb.ListSecretVersionsRequest)
	}
	// AcknowledgeOption is an option of [Client.Acknowledge].
	AcknowledgeOption interface {
		onAcknowledge(*pb.AcknowledgeVersionRequest)
	}
	// ClaimOption is an option of [Client.ClaimRotation].
	ClaimOption interface {
		onClaim(*pb.ClaimRotationRequest)
	}
	// ReleaseOption is an option of [Client.ReleaseRotation].
	ReleaseOption interface {
		onRelease(*pb.ReleaseRotationRequest)
	}
	// WatchOption is an option of [Client.Watch].
	WatchOption interface{ onWatch(*pb.WatchSecretsRequest) }
)

// Description is the description of a secret, at most 1,024 bytes. In an update, an empty one clears it.
type Description string

func (o Description) onCreate(r *pb.CreateSecretRequest) { r.Description = string(o) }
func (o Description) onUpdate(r *pb.UpdateSecretRequest) { r.Description = (*string)(&o) }

// Metadata is the pairs of a secret, at most 64. In an update it replaces all pairs, and an empty one clears them. In a list, a
// watch and a claim it is a filter: all these pairs must match exactly.
type Metadata map[string]string

func (o Metadata) onCreate(r *pb.CreateSecretRequest) { r.Metadata = o }
func (o Metadata) onUpdate(r *pb.UpdateSecretRequest) {
	r.Metadata = o
	if len(o) == 0 {
		clearField(r, "metadata")
	}
}
func (o Metadata) onList(r *pb.ListSecretsRequest)    { r.Metadata = o }
func (o Metadata) onWatch(r *pb.WatchSecretsRequest)  { r.Metadata = o }
func (o Metadata) onClaim(r *pb.ClaimRotationRequest) { r.Metadata = o }

// ExpiresAt is when a secret expires. In an update, the zero time lets it live for ever.
type ExpiresAt time.Time

func (o ExpiresAt) onCreate(r *pb.CreateSecretRequest) { r.ExpiresAt = timestamppb.New(time.Time(o)) }
func (o ExpiresAt) onUpdate(r *pb.UpdateSecretRequest) {
	if time.Time(o).IsZero() {
		clearField(r, "expires_at")
	} else {
		r.ExpiresAt = timestamppb.New(time.Time(o))
	}
}

// TTL is how long a new secret lives.
type TTL time.Duration

func (o TTL) onCreate(r *pb.CreateSecretRequest) { r.Ttl = durationpb.New(time.Duration(o)) }

func (p RotationPolicy) onCreate(r *pb.CreateSecretRequest) { r.RotationPolicy = p.proto() }
func (p RotationPolicy) onUpdate(r *pb.UpdateSecretRequest) { r.RotationPolicy = p.proto() }

// NoRotationPolicy removes the rotation policy of a secret.
type NoRotationPolicy struct{}

func (NoRotationPolicy) onUpdate(r *pb.UpdateSecretRequest) { clearField(r, "rotation_policy") }

// ReturnValue returns the value that the server generated, once: a repeat of the call gets it redacted.
type ReturnValue struct{}

func (ReturnValue) onCreate(r *pb.CreateSecretRequest) { r.ReturnValue = true }
func (ReturnValue) onRotate(r *pb.RotateSecretRequest) { r.ReturnValue = true }
func (ReturnValue) onStage()                           {}

// RequestID is a UUID that you choose for a change: the server makes a change with the same id only once in 24 hours. Without
// it, the client chooses one for each call. Choose one yourself to make a change again after a crash.
type RequestID string

func (o RequestID) onCreate(r *pb.CreateSecretRequest)     { r.RequestId = string(o) }
func (o RequestID) onUpdate(r *pb.UpdateSecretRequest)     { r.RequestId = string(o) }
func (o RequestID) onDelete(r *pb.DeleteSecretRequest)     { r.RequestId = string(o) }
func (o RequestID) onUndelete(r *pb.UndeleteSecretRequest) { r.RequestId = string(o) }
func (o RequestID) onRotate(r *pb.RotateSecretRequest)     { r.RequestId = string(o) }
func (o RequestID) onStage()                               {}
func (o RequestID) onPromote(r *pb.PromoteVersionRequest)  { r.RequestId = string(o) }
func (o RequestID) onVersion(r *versionChange)             { r.requestID = string(o) }

// ETag makes a change only if the secret still has this [Secret.ETag]; otherwise the call fails with [ErrConflict].
type ETag string

func (o ETag) onUpdate(r *pb.UpdateSecretRequest)    { r.Etag = string(o) }
func (o ETag) onDelete(r *pb.DeleteSecretRequest)    { r.Etag = string(o) }
func (o ETag) onRotate(r *pb.RotateSecretRequest)    { r.Etag = string(o) }
func (o ETag) onStage()                              {}
func (o ETag) onPromote(r *pb.PromoteVersionRequest) { r.Etag = string(o) }
func (o ETag) onVersion(r *versionChange)            { r.etag = string(o) }

// NewName renames a secret.
type NewName string

func (o NewName) onUpdate(r *pb.UpdateSecretRequest)     { r.NewName = (*string)(&o) }
func (o NewName) onUndelete(r *pb.UndeleteSecretRequest) { r.NewName = string(o) }

func (v Value) onUpdate(r *pb.UpdateSecretRequest) { r.Value = v.proto() }

// GracePeriod is how long the former version stays readable by its number, 0 to 10 years; then it is disabled.
type GracePeriod time.Duration

func (o GracePeriod) onRotate(r *pb.RotateSecretRequest) {
	r.GracePeriod = durationpb.New(time.Duration(o))
}
func (o GracePeriod) onPromote(r *pb.PromoteVersionRequest) {
	r.GracePeriod = durationpb.New(time.Duration(o))
}

// ClaimID is the claim that must still hold; see [Client.ClaimRotation].
type ClaimID string

func (o ClaimID) onRotate(r *pb.RotateSecretRequest)    { r.ClaimId = string(o) }
func (o ClaimID) onStage()                              {}
func (o ClaimID) onPromote(r *pb.PromoteVersionRequest) { r.ClaimId = string(o) }

// VersionNumber reads this version, and not the current one.
type VersionNumber uint32

func (o VersionNumber) onGet(r *pb.GetSecretRequest) { r.Version = (*uint32)(&o) }

// MetadataOnly leaves the value out. The right to list is then enough.
type MetadataOnly struct{}

func (MetadataOnly) onGet(r *pb.GetSecretRequest)            { r.View = pb.View_VIEW_METADATA }
func (MetadataOnly) onBatchGet(r *pb.BatchGetSecretsRequest) { r.View = pb.View_VIEW_METADATA }

// NamePrefix is a filter: the name begins with this text, case-sensitive.
type NamePrefix string

func (o NamePrefix) onList(r *pb.ListSecretsRequest)    { r.NamePrefix = string(o) }
func (o NamePrefix) onWatch(r *pb.WatchSecretsRequest)  { r.NamePrefix = string(o) }
func (o NamePrefix) onClaim(r *pb.ClaimRotationRequest) { r.NamePrefix = string(o) }

// PageSize is how many secrets or namespaces the client asks for at a time, 1 to 1,000. Default: 100.
type PageSize int32

func (o PageSize) onList(r *pb.ListSecretsRequest)          { r.Limit = (*int32)(&o) }
func (o PageSize) onNamespaces(r *pb.ListNamespacesRequest) { r.Limit = (*int32)(&o) }

// OrderBy is the order of a list: name, created_at or updated_at; add " desc" for the reverse order. Default: name.
type OrderBy string

func (o OrderBy) onList(r *pb.ListSecretsRequest) { r.OrderBy = string(o) }

// IncludeDeleted also lists deleted secrets that can still be brought back.
type IncludeDeleted struct{}

func (IncludeDeleted) onList(r *pb.ListSecretsRequest) { r.IncludeDeleted = true }

// UnusedSince lists only secrets that are older than this time, and of which no value was read since.
type UnusedSince time.Time

func (o UnusedSince) onList(r *pb.ListSecretsRequest) { r.UnusedSince = timestamppb.New(time.Time(o)) }

// ConsumerName is what a consumer calls itself, for consumers that share a credential.
type ConsumerName string

func (o ConsumerName) onAcknowledge(r *pb.AcknowledgeVersionRequest) { r.Consumer = string(o) }

// Lease is how long the caller holds a rotation, 1 second to 24 hours. Default: 5 minutes.
type Lease time.Duration

func (o Lease) onClaim(r *pb.ClaimRotationRequest) { r.Lease = durationpb.New(time.Duration(o)) }

// FailedBecause says why a rotation failed, without any value, at most 1,024 bytes.
type FailedBecause string

func (o FailedBecause) onRelease(r *pb.ReleaseRotationRequest) { r.Error = string(o) }

// RetryAfter is after how long a rotation that failed is due again. It needs [FailedBecause].
type RetryAfter time.Duration

func (o RetryAfter) onRelease(r *pb.ReleaseRotationRequest) {
	r.RetryAfter = durationpb.New(time.Duration(o))
}

// Snapshot begins a watch with the secrets that match now.
type Snapshot struct{}

func (Snapshot) onWatch(r *pb.WatchSecretsRequest) { r.Snapshot = true }

// IncludeChildren also watches the namespaces below.
type IncludeChildren struct{}

func (IncludeChildren) onWatch(r *pb.WatchSecretsRequest) { r.IncludeChildren = true }

// AfterRevision continues another watch: the [Event.ResumeRevision] of its last event.
type AfterRevision uint64

func (o AfterRevision) onWatch(r *pb.WatchSecretsRequest) { r.AfterRevision = uint64(o) }

// clearField names a field that the update sets although it is empty.
func clearField(r *pb.UpdateSecretRequest, field string) {
	if r.UpdateMask == nil {
		r.UpdateMask = &fieldmaskpb.FieldMask{}
	}
	if !slices.Contains(r.UpdateMask.Paths, field) {
		r.UpdateMask.Paths = append(r.UpdateMask.Paths, field)
	}
}
