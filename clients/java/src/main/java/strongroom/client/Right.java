package strongroom.client;

import java.util.Locale;

/** A permission to do something. */
public enum Right {
    /** See which secrets exist. Values stay hidden. */
    LIST,
    /** Read values. */
    READ,
    /** Create, update and rename secrets; disable and enable versions. */
    WRITE,
    /** Give a secret a new value. */
    ROTATE,
    /** Delete secrets; destroy versions. */
    DELETE,
    /** Manage API keys, roles and bindings. */
    MANAGE_ACCESS,
    /** Read the audit log. */
    AUDIT,
    /** Operate the service. */
    OPERATE,
    /** One that this release of the client does not know. */
    UNKNOWN;

    static Right of(Enum<?> sent) {
        String text = sent.name();
        for (Right known : values()) {
            if (text.equals("RIGHT_" + known.name())) {
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
