package strongroom.client;

import strongroom.v1.UndeleteSecretRequest;

/** The options of {@link StrongroomClient#undelete}. */
public final class UndeleteOptions extends ChangeOptions<UndeleteOptions> {
    final UndeleteSecretRequest.Builder request = UndeleteSecretRequest.newBuilder();

    UndeleteOptions() {}

    /**
     * Renames the secret.
     *
     * @param newName the new name
     * @return this
     */
    public UndeleteOptions newName(String newName) {
        request.setNewName(newName);
        return this;
    }

    @Override
    UndeleteOptions self() {
        return this;
    }
}
