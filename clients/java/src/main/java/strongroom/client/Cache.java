package strongroom.client;

import java.time.Clock;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Keeps the secrets that were read through it, and keeps them fresh: one watch for each namespace tells it of changes. Make one
 * with {@link StrongroomClient#cached()}. Many threads can use it at the same time.
 *
 * <ul>
 *   <li>A read of a secret that the cache has does no I/O. The server does not see it: its audit log, and the consumers and the
 *       last read of a version, show when the cache asked for the secret.
 *   <li>When a secret changes, the cache asks for it again by itself.
 *   <li>When the connection is lost, the cache serves the last known values for a time, 10 minutes by default, and says so in
 *       {@link CachedSecret}.
 *   <li>When the server refuses the caller's credential or takes away a right, the cache is emptied at once, and throws the error
 *       of the server.
 *   <li>The bytes of a value are overwritten when the cache drops it.
 * </ul>
 *
 * <p>The watch needs the right to list the secrets of the namespace. Without it nothing is kept, and each read asks the server.
 */
public final class Cache implements AutoCloseable {
    /** For how long a cache serves the last known values after the connection is lost: 10 minutes. */
    public static final Duration DEFAULT_SERVE_STALE = Duration.ofMinutes(10);

    /** How many secrets of one namespace a cache holds at most: 1,000. */
    public static final int DEFAULT_SIZE = 1000;

    private final StrongroomClient client;
    private final Shared shared;
    private final CachedNamespace space;

    /** What the views of a cache for several namespaces share. */
    static final class Shared {
        final Duration serveStale;
        final int size;
        final Clock clock;
        final Map<String, CachedNamespace> spaces = new ConcurrentHashMap<>();
        volatile boolean closed;

        Shared(Duration serveStale, int size, Clock clock) {
            this.serveStale = serveStale;
            this.size = Math.max(1, size);
            this.clock = clock;
        }

        /** Drops everything, because the credential was refused or the cache is closed. */
        void empty() {
            spaces.values().forEach(CachedNamespace::empty);
        }
    }

    Cache(StrongroomClient client, Duration serveStale, int size, Clock clock) {
        this(client, new Shared(serveStale, size, clock));
    }

    private Cache(StrongroomClient client, Shared shared) {
        this.client = client;
        this.shared = shared;
        this.space = shared.spaces.computeIfAbsent(
                client.async().namespace, namespace -> new CachedNamespace(shared, client.async()));
    }

    /**
     * Returns a view of the cache for another namespace, with a watch of its own.
     *
     * @param namespace the namespace; empty: the home namespace of the credential
     * @return the view
     */
    public Cache in(String namespace) {
        return new Cache(client.in(namespace), shared);
    }

    /**
     * Returns the current version of a secret with its plaintext value. It waits for the timeout of the client at most.
     *
     * @param name the name of the secret
     * @return the secret
     * @throws StrongroomException when the cache does not have it, and the server does not give it
     */
    public CachedSecret get(String name) {
        return get(name, client.link().timeout);
    }

    /**
     * Returns the current version of a secret with its plaintext value.
     *
     * @param name the name of the secret
     * @param timeout how long it waits at most
     * @return the secret
     * @throws StrongroomException when the cache does not have it, and the server does not give it
     */
    public CachedSecret get(String name, Duration timeout) {
        if (shared.closed || client.link().isClosed()) {
            throw new ClientClosedException();
        }
        CachedSecret found = space.lookUp(name);
        return found != null ? found : space.fill(name, timeout);
    }

    /** Empties the cache and ends its watches, also those of its views. It does not close the client. */
    @Override
    public void close() {
        shared.closed = true;
        shared.spaces.values().forEach(CachedNamespace::close);
    }

    /** Names the cache without what it holds. */
    @Override
    public String toString() {
        return "Cache(" + client + ")";
    }
}
