package strongroom.client;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Clock;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.function.Supplier;

/** Has the API key or the token to send. The texts are in no print. */
interface Credential {
    /** The text to send. Empty: none, since the client certificate is the credential. */
    CompletableFuture<String> current();

    /** The server does not accept this text. */
    void refused(String text);

    /** Removes the space around an API key or a token. No error shows it. */
    static String check(String text) {
        String stripped = text.strip();
        if (stripped.isEmpty()) {
            throw new ConfigurationException("The API key or token is empty. A key begins with srk_.");
        }
        if (!stripped.chars().allMatch(letter -> letter > ' ' && letter <= '~')) {
            throw new ConfigurationException(
                    "The API key or token has a space or another character that cannot be part of one. Copy it again.");
        }
        return stripped;
    }

    /** Always sends the same text. */
    static Credential fixed(String text) {
        CompletableFuture<String> always = CompletableFuture.completedFuture(text);
        return new Credential() {
            @Override
            public CompletableFuture<String> current() {
                return always;
            }

            @Override
            public void refused(String refused) {
                // There is no other one.
            }
        };
    }

    /** A file that holds an API key or a token. It is read again when it changes. */
    final class OfFile implements Credential {
        private final Path path;
        // The file as it was when the text was read; null: it was not read.
        private State state;
        private String text;

        private record State(Object key, Object modified, long size) {}

        OfFile(Path path) {
            this.path = path;
        }

        @Override
        public synchronized CompletableFuture<String> current() {
            // The look at the file comes first: a change between the two is noticed the next time.
            State now = look();
            if (state != null && state.equals(now)) {
                return CompletableFuture.completedFuture(text);
            }
            try {
                text = read();
                state = now;
            } catch (ConfigurationException failure) {
                if (state == null) {
                    return CompletableFuture.failedFuture(failure);
                }
                // The file may be about to be replaced. The last text works for as long as the server accepts it.
            }
            return CompletableFuture.completedFuture(text);
        }

        /** Reads the file again, also when its size and its time are as they were. */
        @Override
        public synchronized void refused(String refused) {
            if (refused.equals(text)) {
                try {
                    text = read();
                } catch (ConfigurationException failure) {
                    // The last text stays: the server has just refused it, and says so.
                }
            }
        }

        private State look() {
            try {
                BasicFileAttributes found = Files.readAttributes(path, BasicFileAttributes.class);
                return new State(found.fileKey(), found.lastModifiedTime(), found.size());
            } catch (IOException failure) {
                return null;
            }
        }

        private String read() {
            String content;
            try {
                content = new String(Files.readAllBytes(path), StandardCharsets.UTF_8);
            } catch (IOException failure) {
                throw new ConfigurationException("The file of the API key or token cannot be read: " + failure
                        + ". Check the path and the permissions.");
            }
            try {
                return check(content);
            } catch (ConfigurationException failure) {
                throw new ConfigurationException("The file " + path
                        + " does not hold an API key or a token: it must hold nothing else.");
            }
        }
    }

    /** Asks a source of tokens, and keeps its token while it works. */
    final class OfSource implements Credential {
        private static final Duration RENEW_BEFORE = Duration.ofSeconds(30);

        private final Supplier<Token> source;
        private final Executor executor;
        private final Clock clock;
        private Token kept;
        // The request to the source that is under way; null: none is.
        private CompletableFuture<String> asking;

        OfSource(Supplier<Token> source, Executor executor, Clock clock) {
            this.source = source;
            this.executor = executor;
            this.clock = clock;
        }

        @Override
        public synchronized CompletableFuture<String> current() {
            if (kept != null && works(RENEW_BEFORE)) {
                return CompletableFuture.completedFuture(kept.text().text());
            }
            if (asking == null) {
                CompletableFuture<String> begun = CompletableFuture.supplyAsync(this::ask, executor);
                asking = begun;
                begun.whenComplete((text, failure) -> ended(begun));
                return begun;
            }
            return asking;
        }

        @Override
        public synchronized void refused(String text) {
            if (kept != null && kept.text().text().equals(text)) {
                kept = null;
            }
        }

        private String ask() {
            try {
                Token token = source.get();
                String text = check(token.text().text());
                synchronized (this) {
                    kept = new Token(text, token.expiresAt());
                }
                return text;
            } catch (RuntimeException failure) {
                synchronized (this) {
                    if (kept != null && works(Duration.ZERO)) {
                        return kept.text().text();
                    }
                }
                throw new CompletionException(
                        failure instanceof ConfigurationException
                                ? failure
                                : new ConfigurationException("The token source failed: see the cause.", failure));
            }
        }

        private synchronized void ended(CompletableFuture<String> request) {
            if (asking == request) {
                asking = null;
            }
        }

        private boolean works(Duration margin) {
            return kept.expiresAt() == null || clock.instant().plus(margin).isBefore(kept.expiresAt());
        }
    }
}
