import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { parseAddresses } from "../src/address.js";
import { ConfigurationError, Strongroom } from "../src/index.js";
import { optionsFromEnv, settingsFrom } from "../src/settings.js";
import { KEY } from "./fake.js";

const urls = (server: string | string[], hasTls = false) => parseAddresses(server, hasTls).map(({ url }) => url);

test("an address without a scheme is plaintext only on this machine", () => {
  assert.deepEqual(urls("localhost:1"), ["http://localhost:1"]);
  assert.deepEqual(urls("127.0.0.1"), ["http://127.0.0.1:50051"]);
  assert.deepEqual(urls("[::1]:2"), ["http://[::1]:2"]);
  assert.deepEqual(urls("localhost:1", true), ["https://localhost:1"]);
  assert.deepEqual(urls("secrets.example"), ["https://secrets.example:50051"]);
  assert.deepEqual(urls("127.0.0.1.example:3"), ["https://127.0.0.1.example:3"]);
  assert.deepEqual(urls("HTTPS://a:1/, b:2"), ["https://a:1", "https://b:2"]);
  assert.deepEqual(urls(["https://a", "https://b"]), ["https://a:50051", "https://b:50051"]);
});

test("what is not an address is refused with its form", () => {
  for (const wrong of ["", "ftp://a:1", "a:0", "a:65536", "a:b", "user@a:1", "a:1/path", "::1:5", "[zz]:1", "a:1,"]) {
    assert.throws(() => urls(wrong), /must be HOST:PORT, http:\/\/HOST:PORT/, wrong);
  }
  assert.throws(() => urls([]), /at least one address/);
});

test("a credential is not sent in plaintext to another machine", () => {
  const options = { server: "http://secrets.example:50051", apiKey: KEY };
  assert.throws(() => settingsFrom(options), /is plaintext, and others on the network could read/);
  assert.ok(settingsFrom({ ...options, insecurePlaintext: true }));
});

test("settings that do not fit together are refused", () => {
  const refused = (options: object, message: RegExp) =>
    assert.throws(
      () => new Strongroom({ apiKey: KEY, ...options }),
      (error: Error) => {
        assert.match(error.message, message);
        return error instanceof ConfigurationError && !error.message.includes(KEY);
      },
    );
  refused({ apiKeyFile: "f" }, /apiKeyFile cannot be used together with apiKey/);
  refused({ server: "http://127.0.0.1:1", caFile: "f" }, /caFile cannot be used with an http:\/\/ server/);
  refused({ server: "https://a", caFile: "/does/not/exist" }, /cannot be read from \/does\/not\/exist \(ENOENT\)/);
  refused({ server: "https://a", ca: "nonsense" }, /holds no certificate in PEM/);
  refused({ apiKey: `${KEY} with a space` }, /printable ASCII/);
  refused({ timeoutMs: 0 }, /timeoutMs must be a number of milliseconds/);
  refused({ retry: { attempts: Number.NaN } }, /retry.attempts must be a number/);
  assert.throws(() => new Strongroom({}), /apiKey is missing/);
  assert.throws(() => new Strongroom({ apiKey: " " }), /apiKey is empty/);
});

test("the environment gives what the arguments do not, and an empty variable is absent", () => {
  const environment = {
    STRONGROOM_SERVER: "https://a",
    STRONGROOM_API_KEY: "",
    STRONGROOM_API_KEY_FILE: "/key",
    STRONGROOM_NAMESPACE: "team",
    STRONGROOM_CA_CERT: "",
  };
  const options = optionsFromEnv(environment, {});
  assert.deepEqual(
    { ...options },
    { server: "https://a", namespace: "team", apiKey: undefined, apiKeyFile: "/key", caFile: undefined },
  );
  const given = optionsFromEnv({ ...environment, STRONGROOM_API_KEY: "env" }, { token: "jwt", namespace: "mine" });
  assert.equal(given.token, "jwt");
  assert.equal(given.apiKey, undefined);
  assert.equal(given.namespace, "mine");
  assert.throws(() => optionsFromEnv({ STRONGROOM_CLIENT_CERT: "c" }, {}), /STRONGROOM_CLIENT_KEY go together/);
});

test("nothing shows the credential of a client", async () => {
  await using client = new Strongroom({ server: "127.0.0.1:1", apiKey: KEY, namespace: "team" });
  const shown =
    inspect(client, { depth: 20, showHidden: true }) + inspect(client.secrets, { depth: 20, showHidden: true });
  assert.ok(!shown.includes(KEY) && !JSON.stringify(client).includes(KEY), shown);
  assert.match(shown, /http:\/\/127\.0\.0\.1:1.*team/);
});
