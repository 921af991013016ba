package strongroom.client;

import strongroom.v1.Consistency;

/**
 * The options of every read of secrets, versions and namespaces.
 *
 * @param <T> the options of the call
 */
public abstract sealed class ReadOptions<T extends ReadOptions<T>> extends Options<T>
        permits GetOptions, BatchGetOptions, ListOptions, NamespacesOptions, VersionsOptions {
    long minRevision;
    Consistency consistency = Consistency.CONSISTENCY_UNSPECIFIED;

    ReadOptions() {}

    /**
     * Sets the oldest revision to answer from: the {@link Secret#revision()} of an earlier reply. A server that does not reach it
     * within 10 seconds fails with an {@link UnavailableException}.
     *
     * @param minRevision the revision
     * @return this
     */
    public T minRevision(long minRevision) {
        this.minRevision = minRevision;
        return self();
    }

    /**
     * Lets a replica answer from what it has in memory, without asking etcd for newer changes first. The answer can lack the
     * changes of the last seconds: 5 seconds at most, unless the server is configured otherwise ({@code cached_reads_max_age}).
     * Add {@link #minRevision} to see a change of your own. A server that has its store for itself always answers from its newest
     * state. This is not the cache of this client; see {@link StrongroomClient#cached()}.
     *
     * @return this
     */
    public T cachedRead() {
        this.consistency = Consistency.CONSISTENCY_CACHED;
        return self();
    }
}
