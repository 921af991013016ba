package strongroom.client;

import java.util.Locale;

/** The state of a version. */
public enum VersionState {
    /** The value of a staged rotation. It can be read once a promotion has made it current. */
    PENDING,
    /** The value can be read. */
    ENABLED,
    /** The value cannot be read until the version is enabled. */
    DISABLED,
    /** The value was deleted for good. */
    DESTROYED,
    /** One that this release of the client does not know. */
    UNKNOWN;

    static VersionState of(Enum<?> sent) {
        String text = sent.name();
        for (VersionState known : values()) {
            if (text.equals("VERSION_STATE_" + known.name())) {
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
