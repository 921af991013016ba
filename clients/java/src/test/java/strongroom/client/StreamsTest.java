package strongroom.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.StringJoiner;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import strongroom.v1.SecretEvent;
import strongroom.v1.SecretEventType;
import strongroom.v1.WatchBookmark;
import strongroom.v1.WatchSecretsRequest;
import strongroom.v1.WatchSecretsResponse;

/** The watch, and the cache that it keeps fresh. */
@Timeout(120)
class StreamsTest {
    private final Fake fake = new Fake();
    private final StrongroomClient client = fake.client();
    private final Queue<String> requests = new ConcurrentLinkedQueue<>();

    @AfterEach
    void close() {
        client.close();
        fake.close();
    }

    private static WatchSecretsResponse event(SecretEventType type, String name, long revision, long resume) {
        return WatchSecretsResponse.newBuilder()
                .setEvent(SecretEvent.newBuilder()
                        .setType(type)
                        .setSecret(strongroom.v1.Secret.newBuilder().setNamespace("team").setName(name).setId("id-of-" + name))
                        .setRevision(revision)
                        .setResumeRevision(resume))
                .build();
    }

    private static WatchSecretsResponse bookmark(long revision) {
        return WatchSecretsResponse.newBuilder()
                .setBookmark(WatchBookmark.newBuilder().setRevision(revision).setSynced(true))
                .build();
    }

    private interface OneStream {
        void serve(StreamObserver<WatchSecretsResponse> stream);
    }

    private static OneStream sends(RuntimeException end, WatchSecretsResponse... replies) {
        return stream -> {
            List.of(replies).forEach(stream::onNext);
            if (end != null) {
                stream.onError(end);
            }
        };
    }

    /** Serves one watch after the other. The last one stays open. */
    private void streams(OneStream... each) {
        AtomicInteger number = new AtomicInteger();
        fake.watch = (request, stream) -> {
            requests.add("after " + request.getAfterRevision() + " snapshot " + request.getSnapshot());
            each[Math.min(number.getAndIncrement(), each.length - 1)].serve(stream);
        };
    }

    private static String take(Watch watch, int count) {
        StringJoiner texts = new StringJoiner(", ");
        for (int taken = 0; taken < count; taken++) {
            Event event = watch.next();
            texts.add(event.type() + " " + (event.secret() == null ? "" : event.secret().name()) + " " + event.revision());
        }
        return texts.toString();
    }

    @Test
    void aWatchContinuesBehindItsLastEvent() {
        var broken = Fake.refusal(Code.UNAVAILABLE, Reason.WATCH_LAGGED);
        var created = SecretEventType.SECRET_EVENT_TYPE_CREATED;
        streams(
                // Two events of revision 5: the stream breaks between them, so the first comes again.
                sends(broken, bookmark(3), event(created, "a", 4, 4), event(created, "b", 5, 4)),
                sends(broken, event(created, "b", 5, 4), event(created, "c", 5, 5), bookmark(9)),
                sends(null, event(SecretEventType.SECRET_EVENT_TYPE_ROTATED, "a", 10, 10)));
        try (Watch watch = client.watch()) {
            assertEquals("created a 4, created b 5, created c 5, rotated a 10", take(watch, 4));
        }
        assertEquals("[after 0 snapshot false, after 4 snapshot false, after 9 snapshot false]", requests.toString());
    }

    @Test
    void aSnapshotIsReturnedWhole() {
        var snapshot = SecretEventType.SECRET_EVENT_TYPE_SNAPSHOT;
        streams(
                sends(Fake.refusal(Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE), event(snapshot, "a", 1, 0), event(snapshot, "b", 1, 0)),
                sends(null, event(snapshot, "a", 1, 0), bookmark(7), event(SecretEventType.SECRET_EVENT_TYPE_ROTATED, "a", 8, 8)));
        try (Watch watch = client.watch(options -> options.snapshot())) {
            assertEquals("snapshot a 1, synced  7, rotated a 8", take(watch, 3));
        }
        assertEquals("[after 0 snapshot true, after 0 snapshot true]", requests.toString());
    }

    @Test
    void aWatchEndsWithAnErrorThatDoesNotPass() {
        streams(sends(Fake.refusal(Code.OUT_OF_RANGE, Reason.REVISION_COMPACTED)));
        try (Watch watch = client.watch()) {
            assertThrows(RevisionCompactedException.class, watch::next);
            assertNull(watch.next());
        }
    }

    @Test
    void aWatchOfAServerThatWasNeverThereEnds() {
        streams(sends(Fake.refusal(Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE)));
        try (Watch watch = client.watch()) {
            assertThrows(UnavailableException.class, watch::next);
        }
        assertEquals(5, requests.size());
    }

    @Test
    void aSilentStreamIsOpenedAgain() {
        fake.watch = (request, stream) -> {
            requests.add("after " + request.getAfterRevision());
            // A slow machine may take the time before the first reply for silence, and ask again from the beginning.
            boolean again = request.getAfterRevision() == 3;
            stream.onNext(again ? event(SecretEventType.SECRET_EVENT_TYPE_CREATED, "a", 4, 4) : bookmark(3));
        };
        var request = WatchSecretsRequest.newBuilder().build();
        try (Watch watch = new Watch(client.link(), request, Duration.ofSeconds(2), failure -> {}, revision -> {})) {
            assertEquals("created a 4", take(watch, 1));
        }
        assertTrue(requests.contains("after 0") && requests.contains("after 3"), requests.toString());
    }

    @Test
    void aCloseEndsTheLoop() throws InterruptedException {
        streams(sends(null, bookmark(3)));
        Watch watch = client.watch();
        Thread loop = new Thread(() -> watch.forEach(event -> {}));
        loop.start();
        watch.close();
        loop.join();
    }

    /** Secrets and a watch over them. */
    private final class Store {
        final Map<String, String> values = new ConcurrentHashMap<>(Map.of("a", "one", "b", "two"));
        final AtomicInteger reads = new AtomicInteger();
        final BlockingQueue<StreamObserver<WatchSecretsResponse>> opened = new LinkedBlockingQueue<>();
        volatile long revision = 1;
        volatile RuntimeException refusal;

        Store() {
            fake.get = request -> {
                reads.incrementAndGet();
                if (refusal != null) {
                    throw refusal;
                }
                String value = values.get(request.getName());
                if (value == null) {
                    throw Fake.refusal(Code.NOT_FOUND, Reason.SECRET_NOT_FOUND);
                }
                return Fake.found(request.getName(), value, revision);
            };
            fake.watch = (request, stream) -> {
                if (refusal != null) {
                    stream.onError(refusal);
                    return;
                }
                stream.onNext(bookmark(revision));
                opened.add(stream);
            };
        }

        StreamObserver<WatchSecretsResponse> stream() throws InterruptedException {
            return opened.poll(60, TimeUnit.SECONDS);
        }
    }

    private static void await(java.util.function.BooleanSupplier condition) {
        while (!condition.getAsBoolean()) {
            Thread.onSpinWait();
        }
    }

    @Test
    void aCacheAsksOnceAndAgainAfterAChange() throws InterruptedException {
        Store store = new Store();
        try (Cache cache = client.cached()) {
            for (int read = 0; read < 3; read++) {
                CachedSecret found = cache.get("a");
                assertEquals("one", found.value().text());
                assertFalse(found.stale());
                found.value().close();
            }
            assertEquals(1, store.reads.get());
            var stream = store.stream();
            store.revision = 2;
            store.values.put("a", "changed");
            stream.onNext(event(SecretEventType.SECRET_EVENT_TYPE_ROTATED, "a", 2, 2));
            await(() -> cache.get("a").value().text().equals("changed"));
            assertEquals(2, store.reads.get());
            store.values.remove("a");
            stream.onNext(event(SecretEventType.SECRET_EVENT_TYPE_DELETED, "a", 3, 3));
            await(() -> {
                try {
                    cache.get("a");
                    return false;
                } catch (NotFoundException gone) {
                    return true;
                }
            });
        }
    }

    @Test
    void aLostConnectionServesTheLastValueAndSaysSo() throws InterruptedException {
        Store store = new Store();
        try (Cache cache = client.cached()) {
            cache.get("a");
            store.refusal = Fake.refusal(Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE);
            store.stream().onError(store.refusal);
            await(() -> cache.get("a").stale());
            assertEquals("one", cache.get("a").value().text());
            assertThrows(UnavailableException.class, () -> cache.get("b"));
            store.refusal = null;
            await(() -> !cache.get("a").stale());
        }
    }

    @Test
    void withoutServeStaleALostConnectionServesNothing() throws InterruptedException {
        Store store = new Store();
        try (Cache cache = client.cached(Duration.ZERO, 10)) {
            cache.get("a");
            store.refusal = Fake.refusal(Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE);
            store.stream().onError(store.refusal);
            await(() -> {
                try {
                    cache.get("a");
                    return false;
                } catch (UnavailableException away) {
                    return true;
                }
            });
        }
    }

    @Test
    void aRevocationEmptiesTheCacheAtOnce() throws InterruptedException {
        Store store = new Store();
        try (Cache cache = client.cached()) {
            cache.get("a");
            store.refusal = Fake.refusal(Code.UNAUTHENTICATED, Reason.CREDENTIAL_INVALID);
            assertThrows(AuthenticationException.class, () -> cache.get("b"));
            // The watch still runs, but what was kept is gone.
            assertThrows(AuthenticationException.class, () -> cache.get("a"));
            store.stream().onError(store.refusal);
            assertThrows(AuthenticationException.class, () -> cache.get("a"));
        }
    }

    @Test
    void aDeniedWatchEmptiesTheCache() throws InterruptedException {
        Store store = new Store();
        try (Cache cache = client.cached()) {
            cache.get("a");
            store.refusal = Fake.refusal(Code.PERMISSION_DENIED, Reason.ACCESS_DENIED);
            store.stream().onError(store.refusal);
            await(() -> {
                try {
                    cache.get("a");
                    return false;
                } catch (PermissionDeniedException denied) {
                    return true;
                }
            });
        }
    }

    @Test
    void aFullCacheDropsWhatWasNotReadForLongest() {
        Store store = new Store();
        try (Cache cache = client.cached(Duration.ofMinutes(1), 1)) {
            cache.get("a");
            cache.get("b");
            assertEquals(2, store.reads.get());
            cache.get("b");
            assertEquals(2, store.reads.get());
            cache.get("a");
            assertEquals(3, store.reads.get());
        }
    }

    @Test
    void aClosedCacheSaysSo() {
        new Store();
        Cache cache = client.cached();
        cache.get("a");
        cache.close();
        assertThrows(ClientClosedException.class, () -> cache.get("a"));
        assertTrue(cache.toString().startsWith("Cache("));
    }
}
