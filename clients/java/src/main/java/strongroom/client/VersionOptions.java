package strongroom.client;

/** The options of {@link StrongroomClient#disableVersion}, {@code enableVersion} and {@code destroyVersion}. */
public final class VersionOptions extends ChangeOptions<VersionOptions> {
    String etag = "";

    VersionOptions() {}

    /**
     * Makes the change only if the secret still has this {@link Secret#etag()}.
     *
     * @param etag the etag
     * @return this
     */
    public VersionOptions etag(String etag) {
        this.etag = etag;
        return this;
    }

    @Override
    VersionOptions self() {
        return this;
    }
}
