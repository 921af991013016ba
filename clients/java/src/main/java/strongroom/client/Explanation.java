package strongroom.client;

/**
 * The decision on a right, and its reason.
 *
 * @param allowed whether the principal has the right
 * @param bindingId the id of the binding that decides; empty: no binding gives the right
 * @param text the reason in words
 * @param remedy the command that would give the right; empty: the principal has it
 */
public record Explanation(boolean allowed, String bindingId, String text, String remedy) {}
