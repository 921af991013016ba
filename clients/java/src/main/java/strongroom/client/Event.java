package strongroom.client;

import java.time.Instant;

/**
 * A change of one secret.
 *
 * @param type what happened
 * @param secret the secret after the change, with its value redacted; null in {@link EventType#SYNCED}
 * @param formerName the name that a renamed or undeleted secret had; may be empty
 * @param revision the revision of the store of the change
 * @param resumeRevision the {@code afterRevision} with which another watch continues behind this event; 0 within a snapshot
 * @param occurredAt when it happened, by the clock of the server; null in a snapshot
 */
public record Event(
        EventType type,
        Secret secret,
        String formerName,
        long revision,
        long resumeRevision,
        Instant occurredAt) {}
