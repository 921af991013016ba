package strongroom.client;

import java.time.Instant;

/**
 * Attempts to rotate a secret that failed, since the last success.
 *
 * @param attempts how many there were
 * @param failedAt when the last one failed
 * @param error why it failed, in the words of the worker
 * @param retryAt when the rotation is due again
 */
public record RotationFailure(int attempts, Instant failedAt, String error, Instant retryAt) {}
