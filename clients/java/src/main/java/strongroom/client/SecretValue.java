package strongroom.client;

import com.google.protobuf.ByteString;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Objects;

/**
 * The value of a secret: text or bytes, 0 to 65,536 bytes.
 *
 * <p>Only {@link #text()} and {@link #bytes()} show it: {@code toString} does not, and no other print of an object of this
 * package does. {@link #close()} overwrites the bytes. Java cannot overwrite a {@code String}, so a text that {@link #text()}
 * returned stays in memory until it is collected.
 */
public final class SecretValue implements Source, AutoCloseable {
    private static final SecretValue REDACTED = new SecretValue(null, false);

    // Transient: printers that look into fields leave it out.
    private final transient byte[] data;
    private final boolean binary;
    private volatile boolean closed;

    private SecretValue(byte[] data, boolean binary) {
        this.data = data;
        this.binary = binary;
    }

    /**
     * Makes a value that is text. It can contain newlines and NUL.
     *
     * @param text the plaintext value
     * @return the value
     */
    public static SecretValue of(String text) {
        return new SecretValue(text.getBytes(StandardCharsets.UTF_8), false);
    }

    /**
     * Makes a value that is any bytes. It keeps a copy of them.
     *
     * @param bytes the plaintext value
     * @return the value
     */
    public static SecretValue of(byte[] bytes) {
        return new SecretValue(bytes.clone(), true);
    }

    static SecretValue from(strongroom.v1.SecretValue sent) {
        return switch (sent.getKindCase()) {
            case TEXT -> new SecretValue(sent.getTextBytes().toByteArray(), false);
            case BINARY -> new SecretValue(sent.getBinary().toByteArray(), true);
            case REDACTED, KIND_NOT_SET -> REDACTED;
        };
    }

    strongroom.v1.SecretValue proto() {
        ByteString content = ByteString.copyFrom(readable());
        var sent = strongroom.v1.SecretValue.newBuilder();
        return binary ? sent.setBinary(content).build() : sent.setTextBytes(content).build();
    }

    /**
     * Returns the plaintext value as text. Do not log it.
     *
     * @return the value; bytes that are no UTF-8 are replaced
     * @throws IllegalStateException when the value is redacted or closed
     */
    public String text() {
        return new String(readable(), StandardCharsets.UTF_8);
    }

    /**
     * Returns a copy of the plaintext value. Do not log it.
     *
     * @return the bytes; text is in UTF-8
     * @throws IllegalStateException when the value is redacted or closed
     */
    public byte[] bytes() {
        return readable().clone();
    }

    /**
     * Tells whether the value was stored as bytes, and not as text.
     *
     * @return true for bytes
     */
    public boolean isBinary() {
        return binary;
    }

    /**
     * Tells whether the server did not return the value: in lists, in events, and in replies to changes.
     *
     * @return true when there is nothing to read
     */
    public boolean isRedacted() {
        return data == null;
    }

    /** Overwrites the bytes. The value cannot be read any more. */
    @Override
    public void close() {
        if (data != null) {
            closed = true;
            Arrays.fill(data, (byte) 0);
        }
    }

    /** Returns {@code [value not shown]}. */
    @Override
    public String toString() {
        return "[value not shown]";
    }

    /** Compares the plaintext, in a time that does not depend on it. */
    @Override
    public boolean equals(Object other) {
        return other instanceof SecretValue that
                && binary == that.binary
                && (data == null) == (that.data == null)
                && (data == null || java.security.MessageDigest.isEqual(data, that.data));
    }

    /** Returns a number that tells nothing of the plaintext. */
    @Override
    public int hashCode() {
        return Objects.hash(binary, data == null);
    }

    /** A value with bytes of its own. */
    SecretValue copied() {
        return data == null ? this : new SecretValue(readable().clone(), binary);
    }

    private byte[] readable() {
        if (data == null) {
            throw new IllegalStateException(
                    "The value is redacted: the server returns it only to a get, a batch get, or with returnValue.");
        }
        if (closed) {
            throw new IllegalStateException("The value is closed: read the secret again.");
        }
        return data;
    }
}
