// The value of a secret, in a form that nothing shows by accident.
import { timingSafeEqual } from "node:crypto";
import { inspect } from "node:util";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalid } from "./errors.js";
import type { SecretValueSchema, SecretValue as WireValue } from "./gen/strongroom/v1/secret_pb.js";

/** What `toString`, `toJSON` and `util.inspect` show instead of a value. */
const HIDDEN = "[secret value]";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The value of a secret: text or bytes.
 *
 * Printing, logging or serializing it shows `[secret value]`. Only `text()` and `bytes()` return the value. `wipe()`, or the end
 * of a `using` block, overwrites the bytes that the object holds. What `text()` returned is an ordinary string, which JavaScript
 * cannot wipe.
 */
export class SecretValue {
  readonly #bytes: Uint8Array;
  /** Whether the value is `text` or `binary`, as it was stored. */
  readonly kind: "text" | "binary";
  #wiped = false;

  private constructor(kind: "text" | "binary", bytes: Uint8Array) {
    this.kind = kind;
    this.#bytes = bytes;
  }

  /** Makes a value from a string, or from a copy of bytes. */
  static from(value: SecretInput): SecretValue {
    if (typeof value === "string") {
      if (!isWellFormed(value)) {
        throw invalid("value", "is not valid Unicode text: pass bytes, or correct the text.");
      }
      return new SecretValue("text", encoder.encode(value));
    }
    if (value instanceof SecretValue) {
      return new SecretValue(value.kind, value.bytes());
    }
    if (value instanceof Uint8Array) {
      return new SecretValue("binary", Uint8Array.from(value));
    }
    throw new TypeError("value must be a string, a Uint8Array or a SecretValue");
  }

  /** The number of bytes of the value. */
  get size(): number {
    return this.#bytes.length;
  }

  /** Returns the value as text. Throws a `TypeError` when the value is binary: use `bytes()`. */
  text(): string {
    if (this.kind !== "text") {
      throw new TypeError("This value is binary: use bytes().");
    }
    return decoder.decode(this.#readable());
  }

  /** Returns a copy of the value's bytes. The bytes of a text are UTF-8. */
  bytes(): Uint8Array {
    return Uint8Array.from(this.#readable());
  }

  /** Whether both values are the same, of the same kind. The time that it takes does not depend on the bytes. */
  equals(other: SecretValue): boolean {
    const [left, right] = [this.#readable(), other.#readable()];
    return this.kind === other.kind && left.length === right.length && timingSafeEqual(left, right);
  }

  /** Overwrites the value with zeros. `text()` and `bytes()` then throw a `TypeError`. */
  wipe(): void {
    this.#wiped = true;
    this.#bytes.fill(0);
  }

  /** The same as `wipe()`, for a `using` block. */
  [Symbol.dispose](): void {
    this.wipe();
  }

  /** Returns `[secret value]`. */
  toString(): string {
    return HIDDEN;
  }

  /** Returns `[secret value]`. */
  toJSON(): string {
    return HIDDEN;
  }

  /** Returns `[secret value]`. */
  [inspect.custom](): string {
    return HIDDEN;
  }

  #readable(): Uint8Array {
    if (this.#wiped) {
      throw new TypeError("This value was wiped: read the secret again.");
    }
    return this.#bytes;
  }
}

/** A value to store: a string is stored as text, bytes as binary. */
export type SecretInput = string | Uint8Array | SecretValue;

/** Returns the value of a reply. Undefined: the reply does not return it. */
export function valueFrom(wire: WireValue | undefined): SecretValue | undefined {
  switch (wire?.kind.case) {
    case "text":
    case "binary":
      return SecretValue.from(wire.kind.value);
    case "redacted":
    case undefined:
      return undefined;
  }
}

/** Returns the value of a request. */
export function wireValue(input: SecretInput): MessageInitShape<typeof SecretValueSchema> {
  const value = input instanceof SecretValue ? input : SecretValue.from(input);
  return value.kind === "text"
    ? { kind: { case: "text", value: value.text() } }
    : { kind: { case: "binary", value: value.bytes() } };
}

/** Whether each surrogate of the text has its other half, so that the text has an encoding in UTF-8. */
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
