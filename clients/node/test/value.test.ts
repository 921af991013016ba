import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { SecretValue, ValidationError } from "../src/index.js";

test("nothing shows a value by accident", () => {
  for (const value of [SecretValue.from("hunter2"), SecretValue.from(Buffer.from("hunter2"))]) {
    for (const shown of [
      String(value),
      `${value}`,
      JSON.stringify({ value }),
      inspect({ value }, { showHidden: true, depth: 9 }),
    ]) {
      assert.ok(!shown.includes("hunter2") && shown.includes("[secret value]"), shown);
    }
    assert.deepEqual(Object.keys(value), ["kind"]);
  }
});

test("text and bytes are returned exactly", () => {
  const value = SecretValue.from("\ufeffünïcode\n\0");
  assert.equal(value.text(), "\ufeffünïcode\n\0");
  assert.equal(value.size, Buffer.byteLength("\ufeffünïcode\n\0"));
  const binary = SecretValue.from(Uint8Array.of(0, 255));
  assert.deepEqual(binary.bytes(), Uint8Array.of(0, 255));
  assert.throws(() => binary.text(), /binary: use bytes/);
});

test("a value is a copy, and can be wiped", () => {
  const bytes = Uint8Array.of(1, 2);
  const value = SecretValue.from(bytes);
  bytes.fill(9);
  const copy = SecretValue.from(value);
  {
    using wiped = value;
    assert.deepEqual(wiped.bytes(), Uint8Array.of(1, 2));
  }
  assert.throws(() => value.bytes(), /wiped/);
  assert.deepEqual(copy.bytes(), Uint8Array.of(1, 2));
});

test("values are compared by kind and bytes", () => {
  assert.ok(SecretValue.from("a").equals(SecretValue.from("a")));
  assert.ok(!SecretValue.from("a").equals(SecretValue.from("b")));
  assert.ok(!SecretValue.from("a").equals(SecretValue.from(Buffer.from("a"))));
});

test("what is not a value is refused without showing it", () => {
  assert.throws(
    () => SecretValue.from("hunter2\ud800"),
    (error: Error) => error instanceof ValidationError && !error.message.includes("hunter2"),
  );
  assert.throws(() => SecretValue.from(5 as unknown as string), TypeError);
});
