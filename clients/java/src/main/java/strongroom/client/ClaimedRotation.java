package strongroom.client;

import java.time.Instant;

/**
 * A rotation that the caller holds.
 *
 * @param claimId the id for {@code claimId} of the options, and for {@link StrongroomClient#releaseRotation}
 * @param secret the secret to rotate, with its value redacted
 * @param leaseExpiresAt when the claim ends by itself
 * @param pendingVersion the version that another worker has left pending; 0: none is
 */
public record ClaimedRotation(String claimId, Secret secret, Instant leaseExpiresAt, int pendingVersion) {}
