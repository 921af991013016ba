// How the server generates a value: the argument `generate` of `create` and `rotate`, and the `generator` of a rotation policy.
import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalid } from "./errors.js";
import {
  BytesEncoding,
  CharacterClass,
  type GeneratorSchema,
  KeyPairAlgorithm,
  type Generator as WireGenerator,
} from "./gen/strongroom/v1/secret_pb.js";

/** Random characters, each with the same probability. */
export interface PasswordGenerator {
  readonly kind: "password";
  /** The number of characters, 8 to 4,096. Undefined: 32. */
  readonly length?: number | undefined;
  /** The characters to choose from. Undefined: the ASCII letters and digits. */
  readonly alphabet?: string | undefined;
  /** The classes of which the password has at least one character each. */
  readonly required?: readonly ("lower" | "upper" | "digit" | "symbol")[] | undefined;
}

/** Random bytes, 16 to 4,096. `base64url` and `hex` give text, `raw` gives bytes. */
export interface BytesGenerator {
  readonly kind: "bytes";
  /** The number of random bytes, 16 to 4,096. Undefined: 32. */
  readonly length?: number | undefined;
  /** How they become a value. Undefined: `base64url`. */
  readonly encoding?: "base64url" | "hex" | "raw" | undefined;
}

/** A random UUID as text. */
export interface UuidGenerator {
  readonly kind: "uuid";
}

/** Random words of a public list. */
export interface PassphraseGenerator {
  readonly kind: "passphrase";
  /** The number of words, 4 to 64. Undefined: 8. */
  readonly words?: number | undefined;
  /** The text between two words. Undefined: a hyphen. */
  readonly separator?: string | undefined;
}

/** A pair of keys: the value is the private key, and the metadata `public_key` has the public one, both in PEM. */
export interface KeyPairGenerator {
  readonly kind: "key_pair";
  /** The kind of keys. */
  readonly algorithm: "ed25519" | "ecdsa-p256";
}

/** How the server generates a value, for example `{ kind: "password", length: 40 }`. */
export type Generator = PasswordGenerator | BytesGenerator | UuidGenerator | PassphraseGenerator | KeyPairGenerator;

const CLASSES = {
  lower: CharacterClass.LOWER,
  upper: CharacterClass.UPPER,
  digit: CharacterClass.DIGIT,
  symbol: CharacterClass.SYMBOL,
};
const ENCODINGS = { base64url: BytesEncoding.BASE64URL, hex: BytesEncoding.HEX, raw: BytesEncoding.RAW };
const ALGORITHMS = { ed25519: KeyPairAlgorithm.ED25519, "ecdsa-p256": KeyPairAlgorithm.ECDSA_P256 };

/** Returns the generator of a request. */
export function wireGenerator(generator: Generator): MessageInitShape<typeof GeneratorSchema> {
  switch (generator.kind) {
    case "password": {
      const required = (generator.required ?? []).map((name) => choice("generate.required", CLASSES, name));
      return {
        kind: {
          case: "password",
          value: { ...optional("length", generator.length), alphabet: generator.alphabet ?? "", required },
        },
      };
    }
    case "bytes": {
      const encoding = choice("generate.encoding", ENCODINGS, generator.encoding ?? "base64url");
      return { kind: { case: "bytes", value: { ...optional("length", generator.length), encoding } } };
    }
    case "uuid":
      return { kind: { case: "uuid", value: {} } };
    case "passphrase":
      return {
        kind: {
          case: "passphrase",
          value: { ...optional("words", generator.words), ...optional("separator", generator.separator) },
        },
      };
    case "key_pair":
      return {
        kind: { case: "keyPair", value: { algorithm: choice("generate.algorithm", ALGORITHMS, generator.algorithm) } },
      };
    default:
      throw invalid("generate.kind", "must be password, bytes, uuid, passphrase or key_pair.");
  }
}

/** Returns the generator of a reply. Undefined: there is none, or this release does not know it. */
export function generatorOf(wire: WireGenerator | undefined): Generator | undefined {
  switch (wire?.kind.case) {
    case "password": {
      const { length, alphabet, required } = wire.kind.value;
      return {
        kind: "password",
        length,
        alphabet: alphabet || undefined,
        required: required.flatMap((one) => names(CLASSES, one)),
      };
    }
    case "bytes": {
      const { length, encoding } = wire.kind.value;
      return { kind: "bytes", length, encoding: names(ENCODINGS, encoding)[0] };
    }
    case "uuid":
      return { kind: "uuid" };
    case "passphrase": {
      const { words, separator } = wire.kind.value;
      return { kind: "passphrase", words, separator };
    }
    case "keyPair": {
      const algorithm = names(ALGORITHMS, wire.kind.value.algorithm)[0];
      return algorithm === undefined ? undefined : { kind: "key_pair", algorithm };
    }
    case undefined:
      return undefined;
  }
}

function choice<T extends Record<string, number>, K extends keyof T & string>(
  field: string,
  choices: T,
  name: K,
): T[K] {
  if (!Object.hasOwn(choices, name)) {
    throw invalid(field, `must be one of: ${Object.keys(choices).join(", ")}.`);
  }
  return choices[name];
}

function names<T extends Record<string, number>>(choices: T, value: number): (keyof T & string)[] {
  return Object.keys(choices).filter((name) => choices[name] === value);
}

/** Returns an object with the field, where it has a value. */
export function optional<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: V });
}
