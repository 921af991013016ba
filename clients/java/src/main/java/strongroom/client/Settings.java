package strongroom.client;

import io.grpc.util.CertificateUtils;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** What the builder says, then what the environment says of the rest, then the defaults. */
final class Settings {
    final List<Address> addresses;
    final boolean tls;
    final Credential credential;
    final ClientCertificate certificate;
    /** The CA certificates in PEM; null: the authorities of the Java runtime. */
    final byte[] roots;

    final String namespace;
    final Duration timeout;
    final RetryPolicy retry;

    Settings(ClientBuilder given) {
        Map<String, String> environment = given.environment;
        List<String> texts = given.addresses;
        if (texts.isEmpty()) {
            String servers = of(environment, "STRONGROOM_SERVER");
            texts = List.of((servers.isEmpty() ? "127.0.0.1:" + Address.DEFAULT_PORT : servers).split(","));
        }
        addresses = texts.stream().map(Address::parse).toList();
        String ca = given.caCertificate != null ? given.caCertificate.toString() : of(environment, "STRONGROOM_CA_CERT");
        roots = ca.isEmpty() ? null : readRoots(Path.of(ca));
        certificate = certificateOf(given, environment);
        credential = credentialOf(given, certificate != null, environment);
        tls = usesTls(given.insecurePlaintext);
        namespace = given.namespace != null ? given.namespace : of(environment, "STRONGROOM_NAMESPACE");
        timeout = given.timeout;
        retry = given.retry;
    }

    static Duration positive(Duration timeout) {
        if (timeout.isNegative() || timeout.isZero()) {
            throw new ConfigurationException("The timeout must be more than 0.");
        }
        return timeout;
    }

    private static String of(Map<String, String> environment, String variable) {
        return environment.getOrDefault(variable, "");
    }

    private static ClientCertificate certificateOf(ClientBuilder given, Map<String, String> environment) {
        if (given.clientCertificate != null) {
            return new ClientCertificate(given.clientCertificate, given.clientKey);
        }
        String certificate = of(environment, "STRONGROOM_CLIENT_CERT");
        String key = of(environment, "STRONGROOM_CLIENT_KEY");
        if (given.credential != null || certificate.isEmpty() && key.isEmpty()) {
            return null;
        }
        if (certificate.isEmpty() || key.isEmpty()) {
            throw new ConfigurationException("A client certificate and its private key go together: give both, or neither.");
        }
        return new ClientCertificate(Path.of(certificate), Path.of(key));
    }

    private static Credential credentialOf(
            ClientBuilder given, boolean certificate, Map<String, String> environment) {
        if (given.credential != null) {
            return given.credential;
        }
        if (certificate) {
            return Credential.fixed("");
        }
        String key = of(environment, "STRONGROOM_API_KEY");
        if (!key.isEmpty()) {
            return Credential.fixed(Credential.check(key));
        }
        String file = of(environment, "STRONGROOM_API_KEY_FILE");
        if (!file.isEmpty()) {
            return new Credential.OfFile(Path.of(file));
        }
        throw new ConfigurationException("There is no credential: use apiKey, apiKeyFile, tokenFile, tokenSource or "
                + "clientCertificate of the builder, or set STRONGROOM_API_KEY or STRONGROOM_API_KEY_FILE.");
    }

    private static byte[] readRoots(Path path) {
        try {
            byte[] content = Files.readAllBytes(path);
            if (CertificateUtils.getX509Certificates(new ByteArrayInputStream(content)).length > 0) {
                return content;
            }
        } catch (IOException failure) {
            throw new ConfigurationException(
                    "The CA certificate cannot be read: " + failure + ". Check the path and the permissions.");
        } catch (GeneralSecurityException failure) {
            // The file holds something else: see below.
        }
        throw new ConfigurationException(
                "The file " + path + " has no certificate in PEM: give the certificate of the authority.");
    }

    /** Decides whether to use TLS: for all addresses or for none. */
    private boolean usesTls(boolean insecurePlaintext) {
        int encrypted = 0;
        for (Address address : addresses) {
            boolean local = address.isLoopback();
            boolean bare = address.scheme().isEmpty();
            if (address.scheme().equals("https") || bare && (!local || roots != null || certificate != null)) {
                encrypted++;
            } else if (certificate != null) {
                throw new ConfigurationException(
                        "http:// is plaintext: leave the client certificate out, or use https://" + address + ".");
            } else if (!local && !insecurePlaintext) {
                throw new ConfigurationException("http://" + address + " is plaintext, and others on the network could read "
                        + "API keys and values: use https://" + address + ", or accept the risk with insecurePlaintext.");
            }
        }
        if (encrypted > 0 && encrypted < addresses.size()) {
            throw new ConfigurationException(
                    "Some addresses are plaintext and some use TLS: give all of them as https://, or all as http://.");
        }
        return encrypted > 0;
    }
}
