package strongroom.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SettingsTest {
    private static ClientBuilder builder(Map<String, String> environment) {
        ClientBuilder builder = StrongroomClient.builder();
        builder.environment = environment;
        return builder;
    }

    private static Settings settings(String... addresses) {
        return new Settings(builder(Map.of()).apiKey(Fake.KEY).addresses(addresses));
    }

    private static String refused(String... addresses) {
        return assertThrows(ConfigurationException.class, () -> settings(addresses)).getMessage();
    }

    @Test
    void theEnvironmentSaysWhatTheBuilderDoesNot() {
        Settings settings = new Settings(builder(Map.of(
                "STRONGROOM_SERVER", "https://a:1,https://b", "STRONGROOM_API_KEY", Fake.KEY, "STRONGROOM_NAMESPACE", "team")));
        assertEquals("[a:1, b:50051]", settings.addresses.toString());
        assertEquals(Fake.KEY, settings.credential.current().join());
        assertEquals("team", settings.namespace);
        assertTrue(settings.tls);
    }

    @Test
    void anEmptyVariableCountsAsUnset() {
        var empty = Map.of(
                "STRONGROOM_SERVER", "", "STRONGROOM_API_KEY", "", "STRONGROOM_CA_CERT", "", "STRONGROOM_CLIENT_CERT", "");
        assertEquals("[127.0.0.1:50051]", new Settings(builder(empty).apiKey(Fake.KEY)).addresses.toString());
        var failure = assertThrows(ConfigurationException.class, () -> new Settings(builder(empty)));
        assertTrue(failure.getMessage().contains("STRONGROOM_API_KEY_FILE"));
    }

    @Test
    void plaintextToAnotherMachineMustBePermitted() {
        assertTrue(refused("http://secrets.example.com").contains("insecurePlaintext"));
        assertTrue(refused("http://[2001:db8::1]:1").contains("https://[2001:db8::1]:1"));
        Settings permitted =
                new Settings(builder(Map.of()).apiKey(Fake.KEY).addresses("http://secrets.example.com").insecurePlaintext());
        assertFalse(permitted.tls);
        assertFalse(settings("127.0.0.1").tls);
        assertFalse(settings("http://[::1]:1", "localhost").tls);
        assertTrue(settings("secrets.example.com").tls);
        assertTrue(refused("http://localhost", "https://b").contains("all of them"));
    }

    @Test
    void anAddressThatIsNoneIsRefusedAndNotShown() {
        for (String text : List.of(
                "ftp://hunter2", "https://u:hunter2@a", "a/hunter2", "a:hunter2", "::1", "[hunter2]", "", "a:0", "hunt er2")) {
            String message = refused(text);
            assertFalse(message.contains("hunter2"), message);
        }
    }

    @Test
    void aCredentialThatIsNoneIsRefusedAndNotShown() {
        var failure = assertThrows(ConfigurationException.class, () -> builder(Map.of()).apiKey("two words"));
        assertFalse(failure.getMessage().contains("words"));
        assertThrows(ConfigurationException.class, () -> builder(Map.of()).apiKey(Fake.KEY).tokenFile(Path.of("a")));
    }

    @Test
    void aKeyFileIsReadAgainWhenItChanges(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("key");
        Credential credential = new Credential.OfFile(file);
        assertTrue(credential.current().isCompletedExceptionally());
        Files.writeString(file, "srk_one\n");
        assertEquals("srk_one", credential.current().join());
        Path next = folder.resolve("next");
        Files.writeString(next, "srk_another\n");
        Files.move(next, file, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        assertEquals("srk_another", credential.current().join());
        Files.delete(file);
        assertEquals("srk_another", credential.current().join());
    }

    @Test
    void aTokenIsRenewedBeforeItsEndAndWhenItIsRefused() {
        AtomicReference<Instant> now = new AtomicReference<>(Instant.ofEpochSecond(1_000_000));
        Clock clock = new Clock() {
            @Override
            public Instant instant() {
                return now.get();
            }

            @Override
            public java.time.ZoneId getZone() {
                return ZoneOffset.UTC;
            }

            @Override
            public Clock withZone(java.time.ZoneId zone) {
                return this;
            }
        };
        AtomicInteger made = new AtomicInteger();
        Credential credential = new Credential.OfSource(
                () -> new Token("token-" + made.incrementAndGet(), now.get().plusSeconds(600)), Runnable::run, clock);
        assertEquals("token-1", credential.current().join());
        assertEquals("token-1", credential.current().join());
        now.set(now.get().plusSeconds(571));
        assertEquals("token-2", credential.current().join());
        credential.refused("token-1");
        assertEquals("token-2", credential.current().join());
        credential.refused("token-2");
        assertEquals("token-3", credential.current().join());
    }
}
