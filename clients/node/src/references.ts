// The call that replaces the references to secrets in a document.
import { inspect } from "node:util";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { Caller, CallOptions } from "./caller.js";
import { invalid } from "./errors.js";
import type { ResolveReferencesResponse } from "./gen/strongroom/v1/reference_pb.js";
import type { DocumentCredential, Reference, ResolvedDocument } from "./models.js";
import { consistencyOf } from "./reading.js";
import { present } from "./replies.js";
import type { Fresh } from "./secret-options.js";
import { valueFrom } from "./value.js";

/** The options of `resolve`. */
export interface ResolveOptions extends CallOptions, Fresh {
  /** The namespace of the secrets. Undefined: that of the client. */
  readonly namespace?: string | undefined;
  /** What expressions see as `input` and `_`. Undefined: the `input` beside the expression counts. */
  readonly input?: JsonValue | undefined;
  /** What expressions see under `inputs`. */
  readonly inputs?: JsonObject | undefined;
  /** Read no value, and only list the secrets that the document names. */
  readonly validateOnly?: boolean | undefined;
}

/** Replaces the references to secrets in a document. */
export async function resolve(
  caller: Caller,
  document: JsonObject,
  options: ResolveOptions,
): Promise<ResolvedDocument> {
  check("document", document);
  const inputs = { ...options.inputs, ...(options.input === undefined ? {} : { input: options.input }) };
  check("inputs", inputs);
  const request = {
    namespace: options.namespace ?? caller.settings.namespace,
    document,
    inputs,
    validateOnly: options.validateOnly ?? false,
    consistency: consistencyOf(options.consistency),
  };
  const reply = await caller.call(
    { method: "ResolveReferences", send: (stubs, call) => stubs.references.resolveReferences(request, call) },
    options,
  );
  return new Resolved(reply, document);
}

/** The result. The document is not an own property, so that nothing prints or serializes it by accident. */
class Resolved implements ResolvedDocument {
  readonly #document: JsonObject;
  readonly credentials: readonly DocumentCredential[];
  readonly references: readonly Reference[];
  readonly revision: bigint;

  constructor(reply: ResolveReferencesResponse, given: JsonObject) {
    this.#document = inOrderOf(given, reply.document ?? {}) as JsonObject;
    this.credentials = reply.credentials.map(({ path, secretName, value }) => ({
      path,
      secretName,
      value: present(valueFrom(value)),
    }));
    this.references = reply.references.map(({ name, paths, exists, readable }) => ({ name, paths, exists, readable }));
    this.revision = reply.revision;
  }

  get document(): JsonObject {
    return this.#document;
  }

  toJSON(): unknown {
    const { credentials, references, revision } = this;
    return { document: "[resolved document]", credentials, references, revision: revision.toString() };
  }

  [inspect.custom](): unknown {
    return this.toJSON();
  }
}

/** Gives the keys of the resolved document the order of the given one: the wire has no order. */
function inOrderOf(given: JsonValue, resolved: JsonValue): JsonValue {
  if (Array.isArray(given) && Array.isArray(resolved)) {
    return resolved.map((item, index) => inOrderOf(given[index] ?? null, item));
  }
  if (!isObject(given) || !isObject(resolved)) {
    return resolved;
  }
  const keys = [
    ...Object.keys(given).filter((key) => Object.hasOwn(resolved, key)),
    ...Object.keys(resolved).filter((key) => !Object.hasOwn(given, key)),
  ];
  return Object.fromEntries(keys.map((key) => [key, inOrderOf(given[key] ?? null, resolved[key] ?? null)]));
}

/** Refuses what JSON cannot hold, and names its place but not its content. */
function check(path: string, value: unknown, depth = 0): void {
  if (value === null || typeof value === "string" || typeof value === "boolean") {
    return;
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
      throw invalid(path, "is a number that JSON cannot hold exactly: pass it as text.");
    }
    return;
  }
  if (depth > 64) {
    throw invalid(path, "is nested too deeply.");
  }
  if (Array.isArray(value)) {
    value.forEach((item, index) => {
      check(`${path}/${index}`, item, depth + 1);
    });
  } else if (isObject(value)) {
    for (const [key, item] of Object.entries(value)) {
      check(`${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, item, depth + 1);
    }
  } else {
    throw invalid(path, "must be what JSON can hold: an object, array, string, number, boolean or null.");
  }
}

function isObject(value: unknown): value is Record<string, JsonValue> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return false;
  }
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
