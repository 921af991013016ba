package strongroom.client;

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongConsumer;
import strongroom.v1.SecretServiceGrpc;
import strongroom.v1.WatchSecretsRequest;
import strongroom.v1.WatchSecretsResponse;

/**
 * The changes of secrets as they are made, in the order of their revisions.
 *
 * <pre>{@code
 * try (Watch watch = client.watch(options -> options.snapshot())) {
 *     for (Event event : watch) { … }
 * }
 * }</pre>
 *
 * <p>When the connection breaks or the server restarts, the watch continues by itself behind the last event, for as long as that
 * takes: no event is left out, and none comes twice. With a snapshot, the secrets that match now come first and whole, then
 * {@link EventType#SYNCED}. A watch ends with an error that does not pass by itself, such as {@link PermissionDeniedException}.
 * When the server does not keep the changes any more, it is {@link RevisionCompactedException}: watch again with a snapshot.
 *
 * <p>One thread at a time reads it. Any thread can close it, which ends the loop.
 */
public final class Watch implements Iterable<Event>, AutoCloseable {
    /** A stream that is silent for longer than this is dead: the server sends a bookmark at least every 30 seconds. */
    private static final Duration LONGEST_SILENCE = Duration.ofSeconds(90);

    private final Link link;
    private final WatchSecretsRequest.Builder request;
    private final Duration longestSilence;
    /** Is told why a stream has ended, each time before the next one begins. */
    private final Consumer<StrongroomException> lost;
    /** Is told when all that had happened up to a revision was returned. */
    private final LongConsumer synced;

    private final Deque<Event> ready = new ArrayDeque<>();
    private final Progress progress;
    private volatile boolean closed;
    private volatile Stream stream;
    // Whether any stream brought something, and how many attempts in a row brought nothing.
    private boolean opened;
    private int failures;

    Watch(Link link, WatchSecretsRequest request) {
        this(link, request, LONGEST_SILENCE, failure -> {}, revision -> {});
    }

    Watch(
            Link link,
            WatchSecretsRequest request,
            Duration longestSilence,
            Consumer<StrongroomException> lost,
            LongConsumer synced) {
        this.link = link;
        this.request = request.toBuilder();
        this.longestSilence = longestSilence;
        this.lost = lost;
        this.synced = synced;
        this.progress = new Progress(request.getSnapshot());
    }

    /**
     * Waits for the next event.
     *
     * @return the event; null: the watch was closed
     * @throws StrongroomException when the watch has ended with an error that does not pass
     */
    public Event next() {
        while (ready.isEmpty()) {
            if (closed) {
                return null;
            }
            try {
                read();
            } catch (InterruptedException interrupt) {
                close();
                Thread.currentThread().interrupt();
                throw link.failure(Status.CANCELLED.asRuntimeException(), "WatchSecrets", "");
            }
        }
        return ready.poll();
    }

    /** Returns the events until the watch is closed. All iterators of a watch take from the same events. */
    @Override
    public Iterator<Event> iterator() {
        return new Iterator<>() {
            private Event event;

            @Override
            public boolean hasNext() {
                if (event == null) {
                    event = Watch.this.next();
                }
                return event != null;
            }

            @Override
            public Event next() {
                if (!hasNext()) {
                    throw new java.util.NoSuchElementException();
                }
                Event taken = event;
                event = null;
                return taken;
            }
        };
    }

    /** Ends the watch. */
    @Override
    public void close() {
        closed = true;
        Stream open = stream;
        if (open != null) {
            open.end();
        }
    }

    private void read() throws InterruptedException {
        StrongroomException failure;
        Stream open = stream;
        try {
            if (open == null) {
                open = open();
            }
            Object step = open.steps.poll(longestSilence.toNanos(), TimeUnit.NANOSECONDS);
            if (step instanceof WatchSecretsResponse reply) {
                opened = true;
                failures = 0;
                take(reply);
                open.call.request(1);
                return;
            }
            failure = step instanceof Status status
                    ? link.failure(asThrowable(status, open), "WatchSecrets", "")
                    : link.failure(Status.UNKNOWN.withDescription("the stream is silent").asRuntimeException(), "WatchSecrets", "");
        } catch (StrongroomException refused) {
            failure = refused;
        }
        stream = null;
        if (open != null) {
            open.end();
        }
        if (closed) {
            return;
        }
        lost.accept(failure);
        continueAfter(failure, open == null ? "" : open.credential);
    }

    private static Throwable asThrowable(Status status, Stream open) {
        // A stream that the server ended without an error ends the same way as one that broke.
        Status told = status.isOk() ? Status.UNAVAILABLE.withDescription("the server ended the stream") : status;
        return told.asRuntimeException(open.trailers);
    }

    private Stream open() {
        if (link.isClosed()) {
            throw new ClientClosedException();
        }
        progress.beginStream();
        String text = StrongroomClient.await(link.credential.current());
        Stream begun = new Stream(text);
        stream = begun;
        begun.start(request.build());
        if (closed) {
            begun.end();
        }
        return begun;
    }

    private void take(WatchSecretsResponse reply) {
        switch (reply.getStepCase()) {
            case EVENT -> ready.addAll(progress.event(Models.eventOf(reply.getEvent())));
            case BOOKMARK -> {
                var bookmark = reply.getBookmark();
                List<Event> complete = progress.bookmark(bookmark.getRevision(), bookmark.getSynced());
                if (complete == null) {
                    return;
                }
                resumeAfter(bookmark.getRevision());
                if (bookmark.getSynced()) {
                    synced.accept(bookmark.getRevision());
                }
                ready.addAll(complete);
            }
            case STEP_NOT_SET -> {
                // A later release of the server tells something that this one does not know.
            }
        }
        for (Event event : ready) {
            if (event.type() != EventType.SNAPSHOT && event.resumeRevision() > 0) {
                resumeAfter(event.resumeRevision());
            }
        }
    }

    private void resumeAfter(long revision) {
        request.setAfterRevision(revision).setSnapshot(false);
    }

    /** Decides whether the watch continues after its stream has ended, and waits before it does. */
    private void continueAfter(StrongroomException failure, String credential) throws InterruptedException {
        failures++;
        if (failure instanceof AuthenticationException
                && failures == 1
                && !credential.isEmpty()
                && link.renewed(credential).join()) {
            // The credential was renewed while the stream was open.
            return;
        }
        if (!failure.streamPasses() || !opened && failures >= link.retry.attempts()) {
            // A server that never answered may not be there at all.
            closed = true;
            failure.fillInStackTrace();
            throw failure;
        }
        link.reconnect(failure);
        Duration pause =
                link.retry.pauseAfter(failures, failure.retryAfter(), ThreadLocalRandom.current().nextDouble());
        LinkedBlockingQueue<Boolean> over = new LinkedBlockingQueue<>();
        link.pauses.after(pause, () -> over.add(true));
        while (!closed && over.poll(100, TimeUnit.MILLISECONDS) == null) {
            // Waits for the end of the pause, or of the watch.
        }
    }

    /** One stream of the server. It asks for a message when the last one was taken. */
    private final class Stream extends ClientCall.Listener<WatchSecretsResponse> {
        final BlockingQueue<Object> steps = new LinkedBlockingQueue<>();
        final String credential;
        final ClientCall<WatchSecretsRequest, WatchSecretsResponse> call;
        volatile Metadata trailers = new Metadata();

        Stream(String credential) {
            this.credential = credential;
            this.call = link.newCall(SecretServiceGrpc.getWatchSecretsMethod(), CallOptions.DEFAULT, credential);
        }

        void start(WatchSecretsRequest sent) {
            call.start(this, new Metadata());
            call.sendMessage(sent);
            call.halfClose();
            call.request(1);
        }

        void end() {
            call.cancel("the watch was closed", null);
        }

        @Override
        public void onMessage(WatchSecretsResponse message) {
            steps.add(message);
        }

        @Override
        public void onClose(Status status, Metadata given) {
            trailers = given;
            steps.add(status);
        }
    }

    /** What was returned, so that nothing is returned twice and a snapshot comes whole. */
    private static final class Progress {
        private boolean inSnapshot;
        private final List<Event> snapshot = new ArrayList<>();
        // The revision of the last event, and the ids of the secrets of which an event of it was returned.
        private long revision;
        private final Set<String> told = new HashSet<>();

        Progress(boolean inSnapshot) {
            this.inSnapshot = inSnapshot;
        }

        void beginStream() {
            if (inSnapshot) {
                // A snapshot that broke begins again.
                snapshot.clear();
                revision = 0;
                told.clear();
            }
        }

        /** Returns what is new. */
        List<Event> event(Event event) {
            boolean old = event.type() != EventType.SNAPSHOT && wasTold(event);
            if (inSnapshot && !old) {
                snapshot.add(event);
            }
            return inSnapshot || old || event.type() == EventType.SNAPSHOT ? List.of() : List.of(event);
        }

        /** Returns the complete snapshot, if this ends one; null: the watch cannot continue from here. */
        List<Event> bookmark(long at, boolean synced) {
            if (!inSnapshot) {
                return List.of();
            }
            if (!synced) {
                return null;
            }
            inSnapshot = false;
            List<Event> complete = new ArrayList<>(snapshot);
            complete.add(new Event(EventType.SYNCED, null, "", at, at, null));
            snapshot.clear();
            return complete;
        }

        private boolean wasTold(Event event) {
            String id = event.secret().id();
            if (event.revision() < revision || event.revision() == revision && told.contains(id)) {
                return true;
            }
            if (event.revision() > revision) {
                revision = event.revision();
                told.clear();
            }
            told.add(id);
            return false;
        }
    }
}
