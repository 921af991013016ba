package strongroom.client;

import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Timestamp;
import com.google.protobuf.Value;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Makes the objects of this package from messages, and the other way round. */
final class Models {
    private Models() {}

    static Secret secretOf(strongroom.v1.Secret sent, int valueVersion) {
        SecretValue value = SecretValue.from(sent.getValue());
        return new Secret(
                sent.getNamespace(),
                sent.getName(),
                sent.getId(),
                value,
                value.isRedacted() ? 0 : valueVersion,
                sent.getDescription(),
                Map.copyOf(sent.getMetadataMap()),
                sent.getVersion(),
                sent.getPendingVersion(),
                sent.getEtag(),
                sent.getRevision(),
                sent.hasCreatedAt() ? timeOf(sent.getCreatedAt()) : null,
                sent.hasUpdatedAt() ? timeOf(sent.getUpdatedAt()) : null,
                sent.hasRotatedAt() ? timeOf(sent.getRotatedAt()) : null,
                sent.hasExpiresAt() ? timeOf(sent.getExpiresAt()) : null,
                sent.hasNextRotationAt() ? timeOf(sent.getNextRotationAt()) : null,
                sent.hasDeletedAt() ? timeOf(sent.getDeletedAt()) : null,
                sent.hasPurgeAt() ? timeOf(sent.getPurgeAt()) : null,
                sent.hasRotationPolicy() ? policyOf(sent.getRotationPolicy()) : null,
                sent.hasRotationClaim() ? claimOf(sent.getRotationClaim()) : null,
                sent.hasRotationFailure() ? failureOf(sent.getRotationFailure()) : null);
    }

    static Namespace namespaceOf(strongroom.v1.Namespace sent) {
        return new Namespace(sent.getName(), sent.getSecrets(), sent.getDeletedSecrets());
    }

    static SecretVersion versionOf(strongroom.v1.SecretVersion sent) {
        List<Consumer> consumers = sent.getConsumersList().stream()
                .map(consumer -> new Consumer(
                        consumer.getPrincipal(),
                        consumer.getConsumer(),
                        consumer.hasLastReadAt() ? timeOf(consumer.getLastReadAt()) : null,
                        consumer.hasAcknowledgedAt() ? timeOf(consumer.getAcknowledgedAt()) : null))
                .toList();
        return new SecretVersion(
                sent.getNumber(),
                VersionState.of(sent.getState()),
                sent.getCurrent(),
                sent.hasCreatedAt() ? timeOf(sent.getCreatedAt()) : null,
                sent.hasStateChangedAt() ? timeOf(sent.getStateChangedAt()) : null,
                sent.hasLastReadAt() ? timeOf(sent.getLastReadAt()) : null,
                sent.hasRetiresAt() ? timeOf(sent.getRetiresAt()) : null,
                consumers);
    }

    static DestroyedVersion destroyedOf(strongroom.v1.DestroyVersionResponse sent) {
        strongroom.v1.DestructionReceipt receipt = sent.getReceipt();
        return new DestroyedVersion(
                versionOf(sent.getVersion()),
                new DestructionReceipt(
                        receipt.getNamespace(),
                        receipt.getName(),
                        receipt.getSecretId(),
                        receipt.getVersion(),
                        timeOf(receipt.getDestroyedAt()),
                        receipt.getDataKeySha256(),
                        receipt.getStatement().toByteArray(),
                        receipt.getSignature().toByteArray(),
                        receipt.getPublicKey().toByteArray(),
                        receipt.getKeyId()));
    }

    static BatchItem itemOf(strongroom.v1.BatchGetSecretsItem sent) {
        if (sent.hasError()) {
            StrongroomException error = StrongroomException.Details.of(sent.getError()).exception();
            return new BatchItem(sent.getName(), null, error);
        }
        return new BatchItem(sent.getName(), secretOf(sent.getSecret(), sent.getSecret().getVersion()), null);
    }

    static Event eventOf(strongroom.v1.SecretEvent sent) {
        return new Event(
                EventType.of(sent.getType()),
                secretOf(sent.getSecret(), 0),
                sent.getFormerName(),
                sent.getRevision(),
                sent.getResumeRevision(),
                sent.hasOccurredAt() ? timeOf(sent.getOccurredAt()) : null);
    }

    static Identity identityOf(strongroom.v1.WhoAmIResponse sent) {
        return new Identity(
                sent.getPrincipal(),
                sent.getHomeNamespace(),
                sent.getRightsList().stream().map(Right::of).toList(),
                List.copyOf(sent.getGroupsList()),
                sent.getApiKey().getName());
    }

    static ResolvedDocument resolvedOf(strongroom.v1.ResolveReferencesResponse sent) {
        return new ResolvedDocument(
                sent.hasDocument() ? mapOf(sent.getDocument()) : null,
                sent.getCredentialsList().stream()
                        .map(each -> new ResolvedCredential(
                                each.getPath(), each.getSecretName(), SecretValue.from(each.getValue())))
                        .toList(),
                sent.getReferencesList().stream()
                        .map(each -> new SecretReference(
                                each.getName(), List.copyOf(each.getPathsList()), each.getExists(), each.getReadable()))
                        .toList(),
                sent.getRevision());
    }

    static strongroom.v1.RotationPolicy protoOf(RotationPolicy policy) {
        var proto = strongroom.v1.RotationPolicy.newBuilder()
                .setWindow(policy.window())
                .setPaused(policy.paused())
                .setRetireWhenUnread(policy.retireWhenUnread());
        if (policy.interval() != null) {
            proto.setInterval(protoOf(policy.interval()));
        }
        if (policy.generator() != null) {
            proto.setGenerator(policy.generator().proto());
        }
        if (policy.gracePeriod() != null) {
            proto.setGracePeriod(protoOf(policy.gracePeriod()));
        }
        return proto.build();
    }

    private static RotationPolicy policyOf(strongroom.v1.RotationPolicy sent) {
        return new RotationPolicy(
                sent.hasInterval() ? durationOf(sent.getInterval()) : null,
                sent.hasGenerator() ? Generator.from(sent.getGenerator()) : null,
                sent.hasGracePeriod() ? durationOf(sent.getGracePeriod()) : null,
                sent.getWindow(),
                sent.getPaused(),
                sent.getRetireWhenUnread());
    }

    private static RotationClaim claimOf(strongroom.v1.RotationClaim sent) {
        return new RotationClaim(sent.getPrincipal(), timeOf(sent.getLeaseExpiresAt()));
    }

    private static RotationFailure failureOf(strongroom.v1.RotationFailure sent) {
        return new RotationFailure(
                sent.getAttempts(), timeOf(sent.getFailedAt()), sent.getError(), timeOf(sent.getRetryAt()));
    }

    static Instant timeOf(Timestamp sent) {
        return Instant.ofEpochSecond(sent.getSeconds(), sent.getNanos());
    }

    static Timestamp timestampOf(Instant time) {
        return Timestamp.newBuilder()
                .setSeconds(time.getEpochSecond())
                .setNanos(time.getNano())
                .build();
    }

    static Duration durationOf(com.google.protobuf.Duration sent) {
        return Duration.ofSeconds(sent.getSeconds(), sent.getNanos());
    }

    static com.google.protobuf.Duration protoOf(Duration duration) {
        // A Duration of Java has nanoseconds that are not negative; a protobuf one has both of one sign.
        long seconds = duration.getSeconds();
        int nanos = duration.getNano();
        if (seconds < 0 && nanos > 0) {
            seconds++;
            nanos -= 1_000_000_000;
        }
        return com.google.protobuf.Duration.newBuilder()
                .setSeconds(seconds)
                .setNanos(nanos)
                .build();
    }

    /** Makes a document of maps, lists, texts, numbers, booleans and null. No error shows a part of it. */
    static Struct structOf(String what, Map<String, ?> fields) {
        return structOf(what, fields, 0);
    }

    private static Struct structOf(String what, Map<?, ?> fields, int depth) {
        Struct.Builder struct = Struct.newBuilder();
        fields.forEach((key, value) -> {
            if (!(key instanceof String name)) {
                throw unsuitable(what);
            }
            struct.putFields(name, valueOf(what, value, depth + 1));
        });
        return struct.build();
    }

    private static Value valueOf(String what, Object value, int depth) {
        // The server takes documents that are nested 32 deep.
        if (depth > 100) {
            throw new ConfigurationException("The " + what + " is nested too deeply: the server takes 32 levels.");
        }
        Value.Builder made = Value.newBuilder();
        if (value == null) {
            made.setNullValue(NullValue.NULL_VALUE);
        } else if (value instanceof String text) {
            made.setStringValue(text);
        } else if (value instanceof Number number) {
            made.setNumberValue(number.doubleValue());
        } else if (value instanceof Boolean bool) {
            made.setBoolValue(bool);
        } else if (value instanceof Map<?, ?> map) {
            made.setStructValue(structOf(what, map, depth));
        } else if (value instanceof Iterable<?> items) {
            ListValue.Builder list = ListValue.newBuilder();
            items.forEach(item -> list.addValues(valueOf(what, item, depth + 1)));
            made.setListValue(list);
        } else {
            throw unsuitable(what);
        }
        return made.build();
    }

    private static ConfigurationException unsuitable(String what) {
        return new ConfigurationException("The " + what + " has something that JSON cannot hold: use maps with texts as keys, "
                + "lists, texts, numbers, booleans and null.");
    }

    private static Map<String, Object> mapOf(Struct struct) {
        Map<String, Object> map = new LinkedHashMap<>();
        struct.getFieldsMap().forEach((key, value) -> map.put(key, objectOf(value)));
        return map;
    }

    private static Object objectOf(Value value) {
        return switch (value.getKindCase()) {
            case STRING_VALUE -> value.getStringValue();
            case NUMBER_VALUE -> value.getNumberValue();
            case BOOL_VALUE -> value.getBoolValue();
            case STRUCT_VALUE -> mapOf(value.getStructValue());
            case LIST_VALUE -> {
                List<Object> list = new ArrayList<>();
                value.getListValue().getValuesList().forEach(item -> list.add(objectOf(item)));
                yield list;
            }
            case NULL_VALUE, KIND_NOT_SET -> null;
        };
    }
}
