package strongroom.client;

import io.grpc.ManagedChannel;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ForkJoinPool;
import java.util.function.Supplier;

/** The settings of a client; see {@link StrongroomClient#builder}. */
public final class ClientBuilder {
    List<String> addresses = new ArrayList<>();
    Credential credential;
    Path clientCertificate;
    Path clientKey;
    Path caCertificate;
    String namespace;
    Duration timeout = Duration.ofSeconds(30);
    RetryPolicy retry = RetryPolicy.DEFAULT;
    boolean insecurePlaintext;
    Map<String, String> environment = System.getenv();
    Link.Pauses pauses = Link.Pauses.real();
    ManagedChannel channel;

    ClientBuilder() {}

    /**
     * Sets the addresses of the servers: host:port, https://host:port (TLS) or http://host:port (plaintext). Without a
     * scheme, an address is plaintext when it is this machine and no CA certificate is given, and TLS otherwise.
     *
     * <p>With several addresses, which must lead to the same store, the client keeps a connection to each and asks each for
     * its health. Calls go in turn to those that are healthy.
     *
     * <p>Default: STRONGROOM_SERVER, with commas between several addresses, then 127.0.0.1:50051.
     *
     * @param addresses one or more addresses
     * @return this
     */
    public ClientBuilder addresses(String... addresses) {
        this.addresses = List.of(addresses);
        return this;
    }

    /**
     * Sets the API key, srk_…, or a token that is never renewed.
     *
     * <p>Default: STRONGROOM_API_KEY, then the file that STRONGROOM_API_KEY_FILE names, unless there is a client certificate.
     *
     * @param key the API key
     * @return this
     */
    public ClientBuilder apiKey(String key) {
        return credential(Credential.fixed(Credential.check(key)));
    }

    /**
     * Names a file that holds the API key. The client reads it again when it changes, so a key can be rotated without a
     * restart.
     *
     * @param file the file
     * @return this
     */
    public ClientBuilder apiKeyFile(Path file) {
        return credential(new Credential.OfFile(file));
    }

    /**
     * Names a file that holds a token (JWT), such as a token of a Kubernetes service account. The client reads it again when
     * it changes.
     *
     * @param file the file
     * @return this
     */
    public ClientBuilder tokenFile(Path file) {
        return credential(new Credential.OfFile(file));
    }

    /**
     * Sets a function that returns a token (JWT), for example of an identity provider. The client keeps the token, and asks
     * again before it expires and when the server refuses it. The function may wait; it is never called twice at the same
     * time.
     *
     * @param source the function
     * @return this
     */
    public ClientBuilder tokenSource(Supplier<Token> source) {
        return credential(new Credential.OfSource(source, ForkJoinPool.commonPool(), Clock.systemUTC()));
    }

    /**
     * Names the files (PEM; the key in PKCS #8) of a client certificate and its private key. Without an API key or a token,
     * it is the credential. The client reads the files again for each connection.
     *
     * <p>Default: STRONGROOM_CLIENT_CERT and STRONGROOM_CLIENT_KEY.
     *
     * @param certificate the certificate, and those of authorities between it and the root
     * @param key the private key
     * @return this
     */
    public ClientBuilder clientCertificate(Path certificate, Path key) {
        this.clientCertificate = certificate;
        this.clientKey = key;
        return this;
    }

    /**
     * Names the file (PEM) of the certificates of the authorities that sign the servers' certificates.
     *
     * <p>Default: STRONGROOM_CA_CERT, then the authorities of the Java runtime.
     *
     * @param file the file
     * @return this
     */
    public ClientBuilder caCertificate(Path file) {
        this.caCertificate = file;
        return this;
    }

    /**
     * Sets the namespace of the calls; see also {@link StrongroomClient#in}.
     *
     * <p>Default: STRONGROOM_NAMESPACE, then the home namespace of the credential.
     *
     * @param namespace the namespace
     * @return this
     */
    public ClientBuilder namespace(String namespace) {
        this.namespace = namespace;
        return this;
    }

    /**
     * Sets how long a call takes at most, with all its attempts. Default: 30 seconds.
     *
     * @param timeout the time, more than 0
     * @return this
     */
    public ClientBuilder timeout(Duration timeout) {
        this.timeout = Settings.positive(timeout);
        return this;
    }

    /**
     * Sets how often a call is made again. Default: {@link RetryPolicy#DEFAULT}.
     *
     * @param retry the policy
     * @return this
     */
    public ClientBuilder retry(RetryPolicy retry) {
        this.retry = retry;
        return this;
    }

    /**
     * Permits http:// to another machine, although others on the network can then read API keys and values.
     *
     * @return this
     */
    public ClientBuilder insecurePlaintext() {
        this.insecurePlaintext = true;
        return this;
    }

    /**
     * Makes the client. It does not connect, so a server that cannot be reached fails the first call.
     *
     * @return the client; close it at the end
     * @throws ConfigurationException when the settings cannot be used
     */
    public StrongroomClient build() {
        Settings settings = new Settings(this);
        Problems problems =
                new Problems(settings.addresses.stream().map(Address::toString).toList(), settings.tls);
        ManagedChannel connection = channel != null ? channel : Connection.open(settings, problems);
        return new StrongroomClient(new Link(connection, problems, settings, pauses), settings.namespace);
    }

    /** Tells nothing of the settings. */
    @Override
    public String toString() {
        return "ClientBuilder";
    }

    private ClientBuilder credential(Credential given) {
        if (credential != null) {
            throw new ConfigurationException("A client sends one credential: give one of apiKey, apiKeyFile, tokenFile and "
                    + "tokenSource.");
        }
        credential = given;
        return this;
    }
}
