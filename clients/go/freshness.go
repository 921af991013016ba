package strongroom

import pb "github.com/strongroom/strongroom/clients/go/gen/strongroom/v1"

// MinRevision is the oldest revision that a call works from: the [Secret.Revision] of an earlier reply. A read shows at least the
// effects of that change, and a change is made from a state that has them. A server that does not reach the revision within 10
// seconds fails with [ErrUnavailable]; a change is then not made.
type MinRevision uint64

func (o MinRevision) onGet(r *pb.GetSecretRequest)                  { r.MinRevision = uint64(o) }
func (o MinRevision) onBatchGet(r *pb.BatchGetSecretsRequest)       { r.MinRevision = uint64(o) }
func (o MinRevision) onList(r *pb.ListSecretsRequest)               { r.MinRevision = uint64(o) }
func (o MinRevision) onNamespaces(r *pb.ListNamespacesRequest)      { r.MinRevision = uint64(o) }
func (o MinRevision) onVersions(r *pb.ListSecretVersionsRequest)    { r.MinRevision = uint64(o) }
func (o MinRevision) onCreate(r *pb.CreateSecretRequest)            { r.MinRevision = uint64(o) }
func (o MinRevision) onUpdate(r *pb.UpdateSecretRequest)            { r.MinRevision = uint64(o) }
func (o MinRevision) onDelete(r *pb.DeleteSecretRequest)            { r.MinRevision = uint64(o) }
func (o MinRevision) onUndelete(r *pb.UndeleteSecretRequest)        { r.MinRevision = uint64(o) }
func (o MinRevision) onRotate(r *pb.RotateSecretRequest)            { r.MinRevision = uint64(o) }
func (o MinRevision) onStage()                                      {}
func (o MinRevision) onPromote(r *pb.PromoteVersionRequest)         { r.MinRevision = uint64(o) }
func (o MinRevision) onVersion(r *versionChange)                    { r.minRevision = uint64(o) }
func (o MinRevision) onAcknowledge(r *pb.AcknowledgeVersionRequest) { r.MinRevision = uint64(o) }
func (o MinRevision) onClaim(r *pb.ClaimRotationRequest)            { r.MinRevision = uint64(o) }
func (o MinRevision) onRelease(r *pb.ReleaseRotationRequest)        { r.MinRevision = uint64(o) }

// CachedRead lets a replica answer a read from what it has in memory, without asking etcd for newer changes first. The answer
// can lack the changes of the last seconds: 5 seconds at most, unless the server is configured otherwise
// (cached_reads_max_age). Add [MinRevision] to see a change of your own. A server that has its store for itself always answers
// from its newest state. This is not the cache of this client; see [Client.Cached].
type CachedRead struct{}

func (CachedRead) onGet(r *pb.GetSecretRequest)               { r.Consistency = cached }
func (CachedRead) onBatchGet(r *pb.BatchGetSecretsRequest)    { r.Consistency = cached }
func (CachedRead) onList(r *pb.ListSecretsRequest)            { r.Consistency = cached }
func (CachedRead) onNamespaces(r *pb.ListNamespacesRequest)   { r.Consistency = cached }
func (CachedRead) onVersions(r *pb.ListSecretVersionsRequest) { r.Consistency = cached }
func (CachedRead) onResolve(r *pb.ResolveReferencesRequest) error {
	r.Consistency = cached
	return nil
}

const cached = pb.Consistency_CONSISTENCY_CACHED
