package strongroom.client;

import java.time.Instant;
import java.util.Map;

/**
 * A secret as it was at one revision. What is absent is null, and an absent number is 0.
 *
 * @param namespace the namespace of the secret, never empty
 * @param name unique in the namespace
 * @param id a UUID that stays the same for the life of the secret; a rename does not change it
 * @param value the plaintext value; redacted in lists, in events, and in replies to changes
 * @param valueVersion the number of the version whose value it is; 0: the value is redacted
 * @param description may be empty
 * @param metadata the pairs of the secret; cannot be changed
 * @param version the number of the current version
 * @param pendingVersion the number of the new version of a staged rotation; 0: none is pending
 * @param etag names this state: a change with it is made only if the secret has not changed since
 * @param revision the revision of the store of the last change of the secret
 * @param createdAt when the secret was created
 * @param updatedAt when the secret last changed
 * @param rotatedAt when the secret last got a new value; null: version 1 is the current version
 * @param expiresAt when the secret expires; null: never
 * @param nextRotationAt when the next rotation is due; null: none is planned
 * @param deletedAt when the secret was deleted; null: it is not deleted
 * @param purgeAt when the server removes a deleted or expired secret for good; null: it is neither
 * @param rotationPolicy when and how the secret is rotated; null: only on request
 * @param rotationClaim the claim of a worker on the rotation that is due; null: nobody holds it
 * @param rotationFailure the last attempts to rotate the secret, where they failed; null: the last one succeeded
 */
public record Secret(
        String namespace,
        String name,
        String id,
        SecretValue value,
        int valueVersion,
        String description,
        Map<String, String> metadata,
        int version,
        int pendingVersion,
        String etag,
        long revision,
        Instant createdAt,
        Instant updatedAt,
        Instant rotatedAt,
        Instant expiresAt,
        Instant nextRotationAt,
        Instant deletedAt,
        Instant purgeAt,
        RotationPolicy rotationPolicy,
        RotationClaim rotationClaim,
        RotationFailure rotationFailure) {
    /** Names the secret, without its value, description and metadata. */
    @Override
    public String toString() {
        return "Secret(" + namespace + "/" + name + " version " + version + ")";
    }

    Secret withValue(SecretValue other) {
        return new Secret(
                namespace, name, id, other, valueVersion, description, metadata, version, pendingVersion, etag, revision,
                createdAt, updatedAt, rotatedAt, expiresAt, nextRotationAt, deletedAt, purgeAt, rotationPolicy,
                rotationClaim, rotationFailure);
    }
}
