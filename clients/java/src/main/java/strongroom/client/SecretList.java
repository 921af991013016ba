package strongroom.client;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Consumer;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** The secrets of a namespace, with redacted values. Each loop begins with the first page, and reads a page when it comes to it. */
public final class SecretList implements Iterable<Secret> {
    private final StrongroomClient client;
    private final Consumer<ListOptions> options;

    SecretList(StrongroomClient client, Consumer<ListOptions> options) {
        this.client = client;
        this.options = options;
    }

    /** Returns the secrets of all pages. */
    @Override
    public Iterator<Secret> iterator() {
        return new Pages();
    }

    /**
     * Returns the secrets of all pages.
     *
     * @return a stream that reads a page when it comes to it
     */
    public Stream<Secret> stream() {
        return StreamSupport.stream(spliterator(), false);
    }

    /** Tells that the list was not read. */
    @Override
    public String toString() {
        return "SecretList(" + client + ")";
    }

    private final class Pages implements Iterator<Secret> {
        private Iterator<Secret> page;
        private String next = "";

        @Override
        public boolean hasNext() {
            while (page == null || !page.hasNext() && !next.isEmpty()) {
                String token = next;
                SecretPage read = StrongroomClient.await(client.async().listPage(set -> {
                    options.accept(set);
                    if (!token.isEmpty()) {
                        set.pageToken(token);
                    }
                }));
                page = read.secrets().iterator();
                next = read.nextPageToken();
            }
            return page.hasNext();
        }

        @Override
        public Secret next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            return page.next();
        }
    }
}
