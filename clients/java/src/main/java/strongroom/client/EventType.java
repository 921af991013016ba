package strongroom.client;

import java.util.Locale;

/** What happened to a secret. */
public enum EventType {
    /** The secret matches, at the beginning of a watch with a snapshot. */
    SNAPSHOT,
    /** The snapshot is complete. The event has no secret. Only a watch with a snapshot has it, once. */
    SYNCED,
    /** The secret was created. */
    CREATED,
    /** Its description, metadata, expiry or rotation policy changed. */
    UPDATED,
    /** It has another name. */
    RENAMED,
    /** It has a new version that is pending. */
    STAGED,
    /** Another version is current. */
    ROTATED,
    /** A version was disabled, enabled or destroyed. */
    VERSION_CHANGED,
    /** The secret was deleted. */
    DELETED,
    /** A deleted secret was brought back. */
    UNDELETED,
    /** A deleted or expired secret was removed for good. */
    PURGED,
    /** A rotation is due, for a worker to take. */
    ROTATION_DUE,
    /** An attempt to rotate the secret failed. */
    ROTATION_FAILED,
    /** The secret expires within 24 hours. */
    EXPIRING,
    /** The secret has expired. */
    EXPIRED,
    /** The secret does not match the filter any more, or the caller may not list it any more. */
    REMOVED,
    /** One that this release of the client does not know. */
    UNKNOWN;

    static EventType of(Enum<?> sent) {
        String text = sent.name();
        for (EventType known : values()) {
            if (text.equals("SECRET_EVENT_TYPE_" + known.name())) {
                return known;
            }
        }
        return UNKNOWN;
    }

    /** Returns the name in lower case, as the command line prints it. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
