package strongroom.client;

import strongroom.v1.BytesGenerator;
import strongroom.v1.KeyPairGenerator;
import strongroom.v1.PassphraseGenerator;
import strongroom.v1.PasswordGenerator;
import strongroom.v1.UuidGenerator;

/** How the server generates a value. In all generators, a length of 0 means the server's default. */
public final class Generator implements Source {
    static final Generator BY_POLICY = new Generator(strongroom.v1.Generator.getDefaultInstance());

    private final strongroom.v1.Generator settings;

    private Generator(strongroom.v1.Generator settings) {
        this.settings = settings;
    }

    /** A class of characters that a password must have. */
    public enum CharacterClass {
        /** Letters in lower case. */
        LOWER,
        /** Letters in upper case. */
        UPPER,
        /** Digits. */
        DIGIT,
        /** Punctuation. */
        SYMBOL
    }

    /** How random bytes become a value. */
    public enum BytesEncoding {
        /** Text, without padding. */
        BASE64URL,
        /** Text, in lower case. */
        HEX,
        /** The bytes themselves. */
        RAW
    }

    /** A kind of key pairs. */
    public enum KeyPairAlgorithm {
        /** Ed25519 (RFC 8032). */
        ED25519,
        /** ECDSA over P-256. */
        ECDSA_P256
    }

    /**
     * Generates letters and digits.
     *
     * @param length 8 to 4,096 characters; 0: 32
     * @param required the password has at least one character of each of these
     * @return the generator
     */
    public static Generator password(int length, CharacterClass... required) {
        var password = lengthOf(length);
        for (CharacterClass each : required) {
            password.addRequired(strongroom.v1.CharacterClass.valueOf("CHARACTER_CLASS_" + each.name()));
        }
        return new Generator(strongroom.v1.Generator.newBuilder().setPassword(password).build());
    }

    /**
     * Generates characters of an alphabet.
     *
     * @param alphabet 2 or more different printable ASCII characters, no space
     * @param length the number of characters; 0: 32
     * @return the generator
     */
    public static Generator passwordOf(String alphabet, int length) {
        var password = lengthOf(length).setAlphabet(alphabet);
        return new Generator(strongroom.v1.Generator.newBuilder().setPassword(password).build());
    }

    /**
     * Generates random bytes.
     *
     * @param length 16 to 4,096 bytes; 0: 32
     * @param encoding how they become a value
     * @return the generator
     */
    public static Generator bytes(int length, BytesEncoding encoding) {
        var bytes = BytesGenerator.newBuilder()
                .setEncoding(strongroom.v1.BytesEncoding.valueOf("BYTES_ENCODING_" + encoding.name()));
        if (length != 0) {
            bytes.setLength(length);
        }
        return new Generator(strongroom.v1.Generator.newBuilder().setBytes(bytes).build());
    }

    /**
     * Generates a random UUID.
     *
     * @return the generator
     */
    public static Generator uuid() {
        var uuid = UuidGenerator.getDefaultInstance();
        return new Generator(strongroom.v1.Generator.newBuilder().setUuid(uuid).build());
    }

    /**
     * Generates words of a public list with hyphens between them.
     *
     * @param words 4 to 64 words; 0: 8
     * @return the generator
     */
    public static Generator passphrase(int words) {
        var passphrase = PassphraseGenerator.newBuilder();
        if (words != 0) {
            passphrase.setWords(words);
        }
        return new Generator(strongroom.v1.Generator.newBuilder().setPassphrase(passphrase).build());
    }

    /**
     * Generates a private key, in PEM. The public key goes into the metadata {@code public_key}.
     *
     * @param algorithm the kind of the key
     * @return the generator
     */
    public static Generator keyPair(KeyPairAlgorithm algorithm) {
        var pair = KeyPairGenerator.newBuilder()
                .setAlgorithm(strongroom.v1.KeyPairAlgorithm.valueOf("KEY_PAIR_ALGORITHM_" + algorithm.name()));
        return new Generator(strongroom.v1.Generator.newBuilder().setKeyPair(pair).build());
    }

    /** Names the kind of the generator. */
    @Override
    public String toString() {
        return "Generator(" + settings.getKindCase() + ")";
    }

    static Generator from(strongroom.v1.Generator sent) {
        return new Generator(sent);
    }

    strongroom.v1.Generator proto() {
        return settings;
    }

    private static PasswordGenerator.Builder lengthOf(int length) {
        var password = PasswordGenerator.newBuilder();
        if (length != 0) {
            password.setLength(length);
        }
        return password;
    }
}
