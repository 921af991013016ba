package strongroom

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"
)

// Secret is a secret as it was at one revision.
type Secret struct {
	// Namespace is the namespace of the secret. Never empty.
	Namespace string
	// Name is unique in the namespace.
	Name string
	// ID is a UUID that stays the same for the life of the secret. A rename does not change it.
	ID string
	// Value is the plaintext value; redacted in lists, in events, and in replies to changes.
	Value Value
	// ValueVersion is the number of the version that Value is the value of. 0: Value is redacted.
	ValueVersion uint32
	// Description can be empty.
	Description string
	// Metadata is the pairs of the secret. A change of this map changes nothing on the server.
	Metadata map[string]string
	// Version is the number of the current version.
	Version uint32
	// PendingVersion is the number of the new version of a staged rotation. 0: none is pending.
	PendingVersion uint32
	// ETag names this state of the secret: a change with it is made only if the secret has not changed since.
	ETag string
	// Revision is the store's revision of the last change of the secret.
	Revision uint64

	// CreatedAt is when the secret was created.
	CreatedAt time.Time
	// UpdatedAt is when the secret last changed.
	UpdatedAt time.Time
	// RotatedAt is when the secret last got a new value. Zero: version 1 is the current version.
	RotatedAt time.Time
	// ExpiresAt is when the secret expires. Zero: never.
	ExpiresAt time.Time
	// NextRotationAt is when the next rotation is due. Zero: none is planned.
	NextRotationAt time.Time
	// DeletedAt is when the secret was deleted. Zero: it is not deleted.
	DeletedAt time.Time
	// PurgeAt is when the server removes a deleted or expired secret for good. Zero: it is neither deleted nor expired.
	PurgeAt time.Time

	// RotationPolicy is when and how the secret is rotated. nil: only on request.
	RotationPolicy *RotationPolicy
	// RotationClaim is the claim of a worker on the rotation that is due. nil: nobody holds it.
	RotationClaim *RotationClaim
	// RotationFailure is the last attempts to rotate the secret, where they failed. nil: the last one succeeded.
	RotationFailure *RotationFailure
}

// String names the secret, without its value, description and metadata.
func (s *Secret) String() string {
	return fmt.Sprintf("Secret(%s/%s version %d)", s.Namespace, s.Name, s.Version)
}

// RotationClaim is the claim of a worker on a rotation.
type RotationClaim struct {
	// Principal holds the rotation, for example key:abcdefghijklmnop.
	Principal string
	// LeaseExpiresAt is when the claim ends by itself.
	LeaseExpiresAt time.Time
}

// RotationFailure is attempts to rotate a secret that failed, since the last success.
type RotationFailure struct {
	// Attempts is how many there were.
	Attempts uint32
	// FailedAt is when the last one failed.
	FailedAt time.Time
	// Error is why it failed, in the words of the worker.
	Error string
	// RetryAt is when the rotation is due again.
	RetryAt time.Time
}

// VersionState is the state of a version.
type VersionState string

// The states of a version.
const (
	// VersionPending: the value of a staged rotation. It can be read once [Client.Promote] has made it current.
	VersionPending VersionState = "pending"
	// VersionEnabled: the value can be read.
	VersionEnabled VersionState = "enabled"
	// VersionDisabled: the value cannot be read until the version is enabled.
	VersionDisabled VersionState = "disabled"
	// VersionDestroyed: the value was deleted for good.
	VersionDestroyed VersionState = "destroyed"
)

// SecretVersion is a version of a secret, without its value.
type SecretVersion struct {
	// Number is 1 for the first version.
	Number uint32
	// State says whether the value can be read. A later release of the server can have further states.
	State VersionState
	// Current tells whether this is the version that a read without a number returns.
	Current bool
	// CreatedAt is when the version was created. Zero: not known.
	CreatedAt time.Time
	// StateChangedAt is when the state last changed. Zero: never.
	StateChangedAt time.Time
	// LastReadAt is when the value was last read, to the minute. Zero: no read is known.
	LastReadAt time.Time
	// RetiresAt is until when a former version stays readable. Zero: it has no grace period.
	RetiresAt time.Time
	// Consumers is who read or acknowledged the version, the latest first.
	Consumers []Consumer
}

// Consumer is who uses a version.
type Consumer struct {
	// Principal is the caller, for example key:abcdefghijklmnop.
	Principal string
	// Name is what the consumer calls itself; see [ConsumerName]. It can be empty.
	Name string
	// LastReadAt is when it last read the value, to the minute. Zero: no read is known.
	LastReadAt time.Time
	// AcknowledgedAt is when it acknowledged the version. Zero: it did not.
	AcknowledgedAt time.Time
}

func secretOf(secret *pb.Secret, valueVersion uint32) *Secret {
	value := valueOf(secret.GetValue())
	if value.IsRedacted() {
		valueVersion = 0
	}
	result := &Secret{
		Namespace:      secret.GetNamespace(),
		Name:           secret.GetName(),
		ID:             secret.GetId(),
		Value:          value,
		ValueVersion:   valueVersion,
		Description:    secret.GetDescription(),
		Metadata:       secret.GetMetadata(),
		Version:        secret.GetVersion(),
		PendingVersion: secret.GetPendingVersion(),
		ETag:           secret.GetEtag(),
		Revision:       secret.GetRevision(),
		CreatedAt:      timeOf(secret.GetCreatedAt()),
		UpdatedAt:      timeOf(secret.GetUpdatedAt()),
		RotatedAt:      timeOf(secret.GetRotatedAt()),
		ExpiresAt:      timeOf(secret.GetExpiresAt()),
		NextRotationAt: timeOf(secret.GetNextRotationAt()),
		DeletedAt:      timeOf(secret.GetDeletedAt()),
		PurgeAt:        timeOf(secret.GetPurgeAt()),
		RotationPolicy: policyOf(secret.GetRotationPolicy()),
	}
	if claim := secret.GetRotationClaim(); claim != nil {
		result.RotationClaim = &RotationClaim{claim.GetPrincipal(), timeOf(claim.GetLeaseExpiresAt())}
	}
	if failure := secret.GetRotationFailure(); failure != nil {
		result.RotationFailure = &RotationFailure{
			failure.GetAttempts(), timeOf(failure.GetFailedAt()), failure.GetError(), timeOf(failure.GetRetryAt()),
		}
	}
	return result
}

func versionOf(version *pb.SecretVersion) SecretVersion {
	result := SecretVersion{
		Number:         version.GetNumber(),
		State:          VersionState(enumName(version.GetState(), "VERSION_STATE_")),
		Current:        version.GetCurrent(),
		CreatedAt:      timeOf(version.GetCreatedAt()),
		StateChangedAt: timeOf(version.GetStateChangedAt()),
		LastReadAt:     timeOf(version.GetLastReadAt()),
		RetiresAt:      timeOf(version.GetRetiresAt()),
	}
	for _, consumer := range version.GetConsumers() {
		result.Consumers = append(result.Consumers, Consumer{
			consumer.GetPrincipal(), consumer.GetConsumer(), timeOf(consumer.GetLastReadAt()), timeOf(consumer.GetAcknowledgedAt()),
		})
	}
	return result
}

func timeOf(time_ *timestamppb.Timestamp) (result time.Time) {
	if time_ != nil {
		result = time_.AsTime()
	}
	return result
}
