package strongroom.client;

import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import strongroom.v1.WatchSecretsRequest;

/**
 * The part of a cache for one namespace.
 *
 * <p>An entry is served only while a watch follows the namespace: from the first bookmark of the watch on, and then, as stale,
 * for a time after its connection was lost. An entry is stored only if no event of its secret came while it was read. All fields
 * are guarded by {@code this}.
 */
final class CachedNamespace {
    // After a watch was refused, the next one begins at a read, and not before this time has passed.
    private static final Duration WATCH_AGAIN_AFTER = Duration.ofSeconds(5);
    private static final Duration LONGEST_SILENCE = Duration.ofSeconds(90);

    private final Cache.Shared cache;
    private final AsyncStrongroomClient client;
    // In the order of their last use, the oldest first.
    private final LinkedHashMap<String, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);
    private final Map<String, Read> reads = new HashMap<>();
    // Is done when the watch follows the namespace, or cannot. null: no watch runs.
    private CompletableFuture<Void> watching;
    private Watch watch;
    private boolean follows;
    // The latest revision that the watch has told of: what is read must not be older.
    private long seen;
    // When the connection of the watch was lost. null: it is not.
    private Instant lostSince;
    private Instant refusedAt = Instant.MIN;
    // How often everything was forgotten: what was read before may be what the caller may not know any more.
    private long emptied;

    private static final class Entry {
        final Secret secret;
        // An event tells of a newer version, which is not read yet.
        boolean outdated;

        Entry(Secret secret) {
            this.secret = secret;
        }
    }

    /** One read from the server that all who ask for the name wait for. */
    private static final class Read {
        final CompletableFuture<Secret> done = new CompletableFuture<>();
        // The revision of the last event of the secret since the read began.
        long changedAt;
    }

    CachedNamespace(Cache.Shared cache, AsyncStrongroomClient client) {
        this.cache = cache;
        this.client = client;
    }

    /** Returns the secret if it may be served without asking the server; null: it may not. */
    synchronized CachedSecret lookUp(String name) {
        Entry entry = entries.get(name);
        return entry == null || entry.outdated && lostSince == null ? null : serve(entry, lostSince);
    }

    /** Returns the secret after a read of it failed because the server cannot be reached: the watch may not know that yet. */
    private synchronized CachedSecret lastKnown(String name) {
        Entry entry = entries.get(name);
        return entry == null ? null : serve(entry, lostSince != null ? lostSince : cache.clock.instant());
    }

    private CachedSecret serve(Entry entry, Instant since) {
        if (since != null || entry.secret.expiresAt() != null) {
            Instant now = cache.clock.instant();
            if (since != null && !now.isBefore(since.plus(cache.serveStale))) {
                return null;
            }
            if (entry.secret.expiresAt() != null && !now.isBefore(entry.secret.expiresAt())) {
                return null;
            }
        }
        return new CachedSecret(entry.secret.withValue(entry.secret.value().copied()), since != null, since);
    }

    /** Reads the secret from the server, and keeps it while a watch follows the namespace. */
    CachedSecret fill(String name, Duration timeout) {
        long end = System.nanoTime() + timeout.toNanos();
        try {
            wait(follow(), end);
            Secret secret = wait(read(name), end);
            return new CachedSecret(secret.withValue(secret.value().copied()), false, null);
        } catch (UnavailableException | DeadlineExceededException failure) {
            CachedSecret known = lastKnown(name);
            if (known != null) {
                return known;
            }
            throw failure;
        }
    }

    private <T> T wait(CompletableFuture<T> future, long end) {
        try {
            return future.get(end - System.nanoTime(), TimeUnit.NANOSECONDS);
        } catch (ExecutionException failure) {
            throw client.link.failure(failure.getCause(), "GetSecret", "");
        } catch (TimeoutException failure) {
            throw client.link.failure(failure, "GetSecret", "");
        } catch (InterruptedException interrupt) {
            // Others may wait for the same read, so it goes on.
            Thread.currentThread().interrupt();
            throw client.link.failure(Status.CANCELLED.asRuntimeException(), "GetSecret", "");
        }
    }

    /** Begins a read of the secret, or joins the one that is under way. */
    private CompletableFuture<Secret> read(String name) {
        Read read;
        synchronized (this) {
            Read under = reads.get(name);
            if (under != null) {
                return under.done;
            }
            Entry entry = entries.get(name);
            if (entry != null && !entry.outdated && lostSince == null) {
                // Another read has ended just now.
                CachedSecret served = serve(entry, null);
                if (served != null) {
                    return CompletableFuture.completedFuture(served.secret());
                }
            }
            read = new Read();
            if (cache.closed) {
                read.done.completeExceptionally(new ClientClosedException());
                return read.done;
            }
            reads.put(name, read);
        }
        attempt(name, read);
        return read.done;
    }

    private void attempt(String name, Read read) {
        long least;
        long begunAt;
        synchronized (this) {
            least = seen;
            begunAt = emptied;
        }
        client.read(name, least).whenComplete((found, failure) -> {
            if (failure instanceof AuthenticationException) {
                cache.empty();
            }
            boolean changed;
            synchronized (this) {
                changed = failure == null && read.changedAt > found.revision() && !cache.closed;
                if (!changed) {
                    reads.remove(name);
                    boolean kept = follows && lostSince == null && emptied == begunAt;
                    if (failure == null && kept && !cache.closed) {
                        store(name, found.secret());
                    } else if (saysNo(failure)) {
                        drop(name);
                    }
                }
            }
            if (changed) {
                attempt(name, read);
            } else if (failure != null) {
                read.done.completeExceptionally(failure);
            } else {
                read.done.complete(found.secret());
            }
        });
    }

    /** Whether the server has said that this caller gets no such value. */
    private static boolean saysNo(Throwable failure) {
        return failure instanceof PermissionDeniedException
                || failure instanceof NotFoundException
                || failure instanceof FailedPreconditionException
                || failure instanceof IntegrityException
                || failure instanceof ValidationException;
    }

    /** Keeps the secret. A full cache drops the entry that was not read for longest. */
    private void store(String name, Secret secret) {
        drop(name);
        Iterator<Entry> oldest = entries.values().iterator();
        while (entries.size() >= cache.size) {
            oldest.next().secret.value().close();
            oldest.remove();
        }
        entries.put(name, new Entry(secret.withValue(secret.value().copied())));
    }

    private void drop(String name) {
        Entry entry = entries.remove(name);
        if (entry != null) {
            entry.secret.value().close();
        }
    }

    private void dropId(String id) {
        entries.values().removeIf(entry -> {
            if (!entry.secret.id().equals(id)) {
                return false;
            }
            entry.secret.value().close();
            return true;
        });
    }

    /** Forgets everything, and what is being read. */
    synchronized void empty() {
        emptied++;
        entries.values().forEach(entry -> entry.secret.value().close());
        entries.clear();
    }

    /** Forgets everything and ends the watch. */
    void close() {
        Watch running;
        synchronized (this) {
            running = watch;
        }
        if (running != null) {
            running.close();
        }
        empty();
    }

    /** Starts the watch unless it runs. The future is done when the watch follows the namespace, or cannot. */
    private synchronized CompletableFuture<Void> follow() {
        if (watching != null) {
            return watching;
        }
        CompletableFuture<Void> decided = new CompletableFuture<>();
        boolean early = !refusedAt.equals(Instant.MIN)
                && cache.clock.instant().isBefore(refusedAt.plus(WATCH_AGAIN_AFTER));
        if (early || cache.closed) {
            decided.complete(null);
            return decided;
        }
        WatchSecretsRequest request =
                WatchSecretsRequest.newBuilder().setNamespace(client.namespace).build();
        Watch begun = new Watch(
                client.link,
                request,
                LONGEST_SILENCE,
                failure -> {
                    lose(failure);
                    decided.complete(null);
                },
                revision -> {
                    sync(revision);
                    decided.complete(null);
                });
        watching = decided;
        watch = begun;
        Thread thread = new Thread(() -> follow(begun, decided), "strongroom-cache");
        thread.setDaemon(true);
        thread.start();
        return decided;
    }

    /** Follows the namespace until the server refuses to tell more, or the cache is closed. */
    private void follow(Watch begun, CompletableFuture<Void> decided) {
        try {
            for (Event event = begun.next(); event != null; event = begun.next()) {
                apply(event);
            }
        } catch (AuthenticationException refused) {
            cache.empty();
        } catch (RuntimeException ended) {
            // The next read begins another watch, and throws what is wrong if that lasts.
        } finally {
            begun.close();
            synchronized (this) {
                watching = null;
                watch = null;
                follows = false;
                lostSince = null;
                refusedAt = cache.clock.instant();
                empty();
            }
            decided.complete(null);
        }
    }

    /** Notes that the cache knows all changes up to this revision. */
    private void sync(long revision) {
        List<String> outdated = new ArrayList<>();
        synchronized (this) {
            follows = !cache.closed;
            seen = Math.max(seen, revision);
            lostSince = null;
            entries.forEach((name, entry) -> {
                if (entry.outdated) {
                    outdated.add(name);
                }
            });
        }
        outdated.forEach(this::read);
    }

    /**
     * Notes that a stream has ended. When its connection was lost, the entries become stale; when the server has ended it for a
     * reason, they may be what the caller may not know any more.
     */
    private synchronized void lose(StrongroomException failure) {
        if (!failure.streamPasses() || failure.reason().equals(Reason.CONTENDED)) {
            empty();
        }
        if (lostSince == null) {
            lostSince = cache.clock.instant();
        }
    }

    /** Does what an event asks for. */
    private void apply(Event event) {
        String name = event.secret().name();
        boolean again = false;
        synchronized (this) {
            seen = Math.max(seen, event.revision());
            for (String of : List.of(name, event.formerName())) {
                Read read = reads.get(of);
                if (read != null) {
                    read.changedAt = Math.max(read.changedAt, event.revision());
                }
            }
            switch (event.type()) {
                case ROTATED, UPDATED -> {
                    Entry entry = entries.get(name);
                    if (entry != null) {
                        entry.outdated = true;
                        again = true;
                    }
                }
                case STAGED, ROTATION_DUE, ROTATION_FAILED, EXPIRING, CREATED, UNDELETED, SNAPSHOT, SYNCED -> {
                    // The value that can be read is the same, or there was none.
                }
                case RENAMED, VERSION_CHANGED, DELETED, PURGED, EXPIRED, REMOVED, UNKNOWN -> dropId(event.secret().id());
            }
        }
        if (again) {
            read(name);
        }
    }
}
