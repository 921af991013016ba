package strongroom.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ValuesTest {
    private static final String HIDDEN = "hidden-value";

    @Test
    void aValueReturnsWhatItWasMadeOf() {
        assertEquals("ünï\0code", SecretValue.of("ünï\0code").text());
        assertArrayEquals(new byte[] {0, -1}, SecretValue.of(new byte[] {0, -1}).bytes());
        assertTrue(SecretValue.of(new byte[0]).isBinary());
        assertEquals(SecretValue.of("a"), SecretValue.of("a"));
        assertNotEquals(SecretValue.of("a"), SecretValue.of(new byte[] {'a'}));
        assertEquals(SecretValue.of(HIDDEN), SecretValue.from(SecretValue.of(HIDDEN).proto()));
    }

    @Test
    void noPrintShowsAValueOrACredential() {
        SecretValue value = SecretValue.of(HIDDEN);
        Secret secret = Models.secretOf(Fake.secret("a", HIDDEN), 1);
        for (Object shown : List.of(
                value,
                secret,
                new Token(HIDDEN, null),
                new CachedSecret(secret, false, null),
                new BatchItem("a", secret, null),
                new StagedVersion(1, secret),
                new ResolvedCredential("/a", "a", value),
                new ResolvedDocument(Map.of("a", HIDDEN), List.of(), List.of(), 1))) {
            assertFalse(shown.toString().contains(HIDDEN), shown.getClass().getName());
        }
        assertFalse(new Gson().toJson(value).contains("104"));
        try (Fake fake = new Fake(); StrongroomClient client = fake.client()) {
            assertFalse((client + " " + client.async() + " " + client.cached()).contains("secret-part"));
        }
    }

    @Test
    void aClosedValueIsOverwrittenAndCannotBeRead() {
        SecretValue value = SecretValue.of(HIDDEN);
        SecretValue copy = value.copied();
        value.close();
        assertThrows(IllegalStateException.class, value::text);
        assertEquals(HIDDEN, copy.text());
    }

    @Test
    void aRedactedValueSaysSo() {
        SecretValue value = SecretValue.from(strongroom.v1.SecretValue.getDefaultInstance());
        assertTrue(value.isRedacted());
        assertTrue(assertThrows(IllegalStateException.class, value::text).getMessage().contains("redacted"));
    }

    @Test
    void aDocumentThatCannotBeSentIsNotShown() {
        var failure = assertThrows(
                ConfigurationException.class,
                () -> Models.structOf("document", Map.of("a", List.of(new StringBuilder(HIDDEN)))));
        assertFalse(failure.getMessage().contains(HIDDEN));
    }

    @Test
    void aNegativeDurationHasOneSign() {
        var sent = Models.protoOf(java.time.Duration.ofMillis(-1500));
        assertEquals(-1, sent.getSeconds());
        assertEquals(-500_000_000, sent.getNanos());
    }
}
