package strongroom.client;

import java.time.Instant;

/**
 * The claim of a worker on a rotation.
 *
 * @param principal who holds it, for example {@code key:abcdefghijklmnop}
 * @param leaseExpiresAt when the claim ends by itself
 */
public record RotationClaim(String principal, Instant leaseExpiresAt) {}
