package strongroom.client;

import java.time.Instant;

/**
 * Who uses a version.
 *
 * @param principal the caller, for example {@code key:abcdefghijklmnop}
 * @param name what the consumer calls itself; may be empty
 * @param lastReadAt when it last read the value, to the minute; null: no read is known
 * @param acknowledgedAt when it acknowledged the version; null: it did not
 */
public record Consumer(String principal, String name, Instant lastReadAt, Instant acknowledgedAt) {}
