package strongroom.client;

import java.time.Instant;
import java.util.List;

/**
 * A version of a secret, without its value.
 *
 * @param number 1 for the first version
 * @param state whether the value can be read
 * @param current whether this is the version that a read without a number returns
 * @param createdAt when it was created; null: not known
 * @param stateChangedAt when the state last changed; null: never
 * @param lastReadAt when the value was last read, to the minute; null: no read is known
 * @param retiresAt until when a former version stays readable; null: it has no grace period
 * @param consumers who read or acknowledged the version, the latest first
 */
public record SecretVersion(
        int number,
        VersionState state,
        boolean current,
        Instant createdAt,
        Instant stateChangedAt,
        Instant lastReadAt,
        Instant retiresAt,
        List<Consumer> consumers) {}
