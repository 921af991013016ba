package strongroom.client;

/**
 * A field that is not valid.
 *
 * @param field the name of the field, or a place in a document, such as {@code document/steps/0/expression}
 * @param description how to correct it
 */
public record Violation(String field, String description) {}
