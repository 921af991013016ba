package strongroom.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.rpc.BadRequest;
import com.google.rpc.ResourceInfo;
import io.grpc.Status;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import strongroom.v1.CreateSecretResponse;
import strongroom.v1.ListNamespacesRequest;
import strongroom.v1.ListNamespacesResponse;
import strongroom.v1.ListSecretsResponse;

class CallsTest {
    private final Fake fake = new Fake();
    private final StrongroomClient client = fake.client();

    @AfterEach
    void close() {
        client.close();
        fake.close();
    }

    @Test
    void anErrorHasWhatTheServerSays() {
        fake.create = request -> {
            throw Fake.refusal(
                    Code.INVALID_ARGUMENT, Reason.VALIDATION_FAILED, Fake.retryIn(Duration.ofSeconds(2)),
                    ResourceInfo.newBuilder().setResourceName("team/a").build(),
                    BadRequest.newBuilder()
                            .addFieldViolations(BadRequest.FieldViolation.newBuilder().setField("name").setDescription("Begin."))
                            .build());
        };
        var failure = assertThrows(
                ValidationException.class,
                () -> client.create("1a", SecretValue.of("hidden-value"), options -> options.requestId("id-1")));
        assertEquals("A sentence that says what to do. (request request-1)", failure.getMessage());
        assertEquals(Reason.VALIDATION_FAILED, failure.reason());
        assertEquals(Code.INVALID_ARGUMENT, failure.code());
        assertEquals("request-1", failure.requestId());
        assertEquals("id-1", failure.sentRequestId());
        assertEquals("team/a", failure.resource());
        assertEquals(Duration.ofSeconds(2), failure.retryAfter());
        assertEquals(List.of(new Violation("name", "Begin.")), failure.violations());
    }

    @Test
    void eachCodeHasOneClass() {
        Map<Code, String> names = Map.of(
                Code.ABORTED, "Conflict",
                Code.OUT_OF_RANGE, "RevisionCompacted",
                Code.DATA_LOSS, "Integrity",
                Code.UNKNOWN, "Internal",
                Code.RESOURCE_EXHAUSTED, "LimitExceeded",
                Code.UNIMPLEMENTED, "NotServed",
                Code.DEADLINE_EXCEEDED, "DeadlineExceeded",
                Code.CANCELLED, "Canceled");
        names.forEach((code, name) -> {
            var sent = com.google.rpc.Status.newBuilder().setCode(code.value()).build();
            StrongroomException failure = StrongroomException.Details.of(sent).exception();
            assertEquals(name + "Exception", failure.getClass().getSimpleName());
            assertTrue(failure.getMessage().contains("without a message"));
        });
    }

    @Test
    void allAttemptsOfAChangeCarryOneRequestId() {
        List<String> ids = new ArrayList<>();
        fake.create = request -> {
            ids.add(request.getRequestId());
            if (ids.size() < 3) {
                throw Fake.refusal(Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE);
            }
            return CreateSecretResponse.newBuilder().setSecret(Fake.secret("a", "")).build();
        };
        client.create("a", SecretValue.of("value-1"));
        client.create("a", SecretValue.of("value-1"));
        assertEquals(4, ids.size());
        assertEquals(ids.get(0), ids.get(2));
        assertEquals(36, ids.get(0).length());
        assertTrue(!ids.get(2).equals(ids.get(3)));
    }

    @Test
    void theClientWaitsAsLongAsTheServerAsks() {
        AtomicInteger calls = new AtomicInteger();
        fake.get = request -> {
            if (calls.incrementAndGet() == 1) {
                throw Fake.refusal(Code.RESOURCE_EXHAUSTED, Reason.TOO_MANY_REQUESTS, Fake.retryIn(Duration.ofSeconds(7)));
            }
            return Fake.found("a", "value-1", 1);
        };
        assertEquals("value-1", client.get("a").value().text());
        Duration pause = fake.pauses.remove();
        assertTrue(pause.compareTo(Duration.ofMillis(7050)) >= 0 && pause.compareTo(Duration.ofMillis(7100)) <= 0);
    }

    @Test
    void pausesDoubleUpToTheLongest() {
        RetryPolicy policy = RetryPolicy.DEFAULT;
        assertEquals(Duration.ofMillis(50), policy.pauseAfter(1, Duration.ZERO, 0));
        assertEquals(Duration.ofMillis(400), policy.pauseAfter(3, Duration.ZERO, 1));
        assertEquals(Duration.ofSeconds(5), policy.pauseAfter(1000, Duration.ZERO, 1));
        assertThrows(ConfigurationException.class, () -> new RetryPolicy(0, Duration.ZERO, Duration.ZERO));
    }

    @Test
    void noAttemptBeginsAfterTheDeadline() {
        AtomicInteger calls = new AtomicInteger();
        fake.get = request -> {
            calls.incrementAndGet();
            throw Fake.refusal(Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE, Fake.retryIn(Duration.ofHours(1)));
        };
        assertThrows(UnavailableException.class, () -> client.get("a", options -> options.timeout(Duration.ofMinutes(1))));
        assertEquals(1, calls.get());
        assertTrue(fake.pauses.isEmpty());
    }

    @Test
    void onlyWhatCanSucceedLaterIsAttemptedAgain() {
        attempts(5, Fake.refusal(Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE));
        attempts(5, Fake.refusal(Code.RESOURCE_EXHAUSTED, Reason.TOO_MANY_REQUESTS));
        attempts(5, Fake.refusal(Code.ABORTED, Reason.CONTENDED));
        attempts(1, Fake.refusal(Code.ABORTED, Reason.ETAG_MISMATCH));
        attempts(1, Fake.refusal(Code.RESOURCE_EXHAUSTED, Reason.QUOTA_EXCEEDED, Fake.retryIn(Duration.ofSeconds(1))));
        attempts(1, Fake.refusal(Code.RESOURCE_EXHAUSTED, Reason.MESSAGE_TOO_LARGE));
        attempts(1, Fake.refusal(Code.UNAUTHENTICATED, Reason.CREDENTIAL_INVALID));
        attempts(1, Fake.refusal(Code.INTERNAL, Reason.INTERNAL));
    }

    private void attempts(int expected, RuntimeException refusal) {
        AtomicInteger calls = new AtomicInteger();
        fake.get = request -> {
            calls.incrementAndGet();
            throw refusal;
        };
        assertThrows(StrongroomException.class, () -> client.get("a"));
        assertEquals(expected, calls.get(), Status.fromThrowable(refusal).toString());
    }

    @Test
    void aCallWithoutARequestIdIsMadeOnce() {
        AtomicInteger calls = new AtomicInteger();
        fake.claim = request -> {
            calls.incrementAndGet();
            throw Fake.refusal(Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE);
        };
        assertThrows(UnavailableException.class, client::claimRotation);
        assertEquals(1, calls.get());
    }

    @Test
    void aRefusedTokenIsRenewedOnce() {
        AtomicInteger made = new AtomicInteger();
        fake.get = request -> {
            if (!fake.credentials.contains("Bearer token-2")) {
                throw Fake.refusal(Code.UNAUTHENTICATED, Reason.CREDENTIAL_EXPIRED);
            }
            return Fake.found("a", "value-1", 1);
        };
        try (StrongroomClient renewing =
                fake.builder().tokenSource(() -> new Token("token-" + made.incrementAndGet(), null)).build()) {
            assertEquals("value-1", renewing.get("a").value().text());
        }
        assertEquals("[Bearer token-1, Bearer token-2]", fake.credentials.toString());
    }

    @Test
    void aTokenSourceThatFailsIsNamed() {
        try (StrongroomClient failing = fake.builder()
                .tokenSource(() -> {
                    throw new IllegalStateException("the provider is away");
                })
                .build()) {
            var failure = assertThrows(ConfigurationException.class, () -> failing.get("a"));
            assertEquals("the provider is away", failure.getCause().getMessage());
        }
    }

    @Test
    void aListReadsAllPages() {
        fake.list = request -> request.getPageToken().isEmpty()
                ? ListSecretsResponse.newBuilder().addItems(Fake.secret("a", "")).setNextPageToken("next").build()
                : ListSecretsResponse.newBuilder().addItems(Fake.secret("b", "")).build();
        assertEquals(List.of("a", "b"), client.list().stream().map(Secret::name).toList());
    }

    @Test
    void aListOfNamespacesReadsAllPages() {
        List<ListNamespacesRequest> asked = new ArrayList<>();
        fake.namespaces = request -> {
            asked.add(request);
            return switch (request.getPageToken()) {
                case "" -> namespaces("one", "team");
                case "one" -> namespaces("two");
                default -> namespaces("", "team/a", "team/b");
            };
        };
        NamespaceList list = client.listNamespaces(options -> options.below("team").pageSize(2));
        List<Namespace> expected =
                List.of(new Namespace("team", 2, 1), new Namespace("team/a", 2, 1), new Namespace("team/b", 2, 1));
        assertEquals(expected, list.stream().toList());
        assertEquals(List.of("", "one", "two"), asked.stream().map(ListNamespacesRequest::getPageToken).toList());
        assertTrue(asked.stream().allMatch(request -> request.getBelow().equals("team") && request.getLimit() == 2));
        List<Namespace> again = new ArrayList<>();
        list.forEach(again::add);
        assertEquals(expected, again);
        NamespacePage page = client.async().listNamespacesPage(options -> options.pageToken("two")).join();
        assertEquals(new NamespacePage(expected.subList(1, 3), "", 4), page);
    }

    private static ListNamespacesResponse namespaces(String nextPageToken, String... names) {
        var reply = ListNamespacesResponse.newBuilder().setNextPageToken(nextPageToken).setRevision(4);
        for (String name : names) {
            reply.addItemsBuilder().setName(name).setSecrets(2).setDeletedSecrets(1);
        }
        return reply.build();
    }

    @Test
    void aFutureFailsWithTheException() {
        fake.get = request -> {
            throw Fake.refusal(Code.NOT_FOUND, Reason.SECRET_NOT_FOUND);
        };
        var failure = assertThrows(CompletionException.class, () -> client.async().get("a").join());
        assertInstanceOf(NotFoundException.class, failure.getCause());
    }

    @Test
    void aCanceledFutureMakesNoFurtherAttempt() throws InterruptedException {
        AtomicInteger calls = new AtomicInteger();
        List<Runnable> next = new ArrayList<>();
        CountDownLatch paused = new CountDownLatch(1);
        fake.get = request -> {
            calls.incrementAndGet();
            throw Fake.refusal(Code.UNAVAILABLE, Reason.STORE_UNAVAILABLE);
        };
        ClientBuilder builder = fake.builder().apiKey(Fake.KEY);
        builder.pauses = (length, then) -> {
            next.add(then);
            paused.countDown();
        };
        try (StrongroomClient pausing = builder.build()) {
            var call = pausing.async().get("a");
            paused.await();
            call.cancel(true);
            next.get(0).run();
            assertEquals(1, calls.get());
        }
    }

    @Test
    void aDeadlineEndsACall() throws InterruptedException {
        CountDownLatch over = new CountDownLatch(1);
        fake.get = request -> {
            try {
                over.await();
            } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
            }
            return Fake.found("a", "value-1", 1);
        };
        var failure = assertThrows(
                DeadlineExceededException.class, () -> client.get("a", options -> options.timeout(Duration.ofMillis(100))));
        assertTrue(failure.getMessage().contains("did not answer in time"), failure.getMessage());
        over.countDown();
    }

    @Test
    void aCallAfterCloseSaysSo() {
        client.close();
        client.close();
        assertThrows(ClientClosedException.class, () -> client.in("other").get("a"));
        assertThrows(ClientClosedException.class, () -> client.watch().next());
    }

    @Test
    void aServerWithoutTheCallIsOlder() {
        var failure = assertThrows(NotServedException.class, client::whoAmI);
        assertTrue(failure.getMessage().contains("does not serve WhoAmI: it is of an older release"), failure.getMessage());
    }
}
