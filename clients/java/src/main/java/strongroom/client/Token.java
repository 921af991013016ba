package strongroom.client;

import java.time.Instant;

/**
 * A token (JWT) for {@link ClientBuilder#tokenSource}. Its text is in no print.
 *
 * @param text the token
 * @param expiresAt when it expires: the client asks for another one a little before; null: only when the server refuses it
 */
public record Token(SecretValue text, Instant expiresAt) {
    /**
     * Makes a token.
     *
     * @param text the token
     * @param expiresAt when it expires, or null
     */
    public Token(String text, Instant expiresAt) {
        this(SecretValue.of(text), expiresAt);
    }
}
