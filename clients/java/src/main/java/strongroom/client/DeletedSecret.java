package strongroom.client;

import java.time.Instant;

/**
 * What a deletion leaves.
 *
 * @param id the id for {@link StrongroomClient#undelete}
 * @param deletedAt when the secret was deleted
 * @param purgeAt until when the secret can be brought back
 */
public record DeletedSecret(String id, Instant deletedAt, Instant purgeAt) {}
