import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as api from "../src/index.js";
import { FakeServer, until } from "./fake.js";

const folder = mkdtempSync(join(tmpdir(), "strongroom-node-tls-"));
after(() => rmSync(folder, { recursive: true }));
const path = (name: string) => join(folder, name);
const methods = { access: { whoAmI: () => ({ principal: "key:a" }) } };

/** Makes a certificate that signs itself, for these names and days. */
function certificate(name: string, names: string, ...validity: string[]) {
  const [cert, key] = [path(`${name}.pem`), path(`${name}.key`)];
  const given = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key];
  const subject = ["-out", cert, "-subj", `/CN=${name}`, "-addext", `subjectAltName=${names}`, ...validity];
  execFileSync("openssl", [...given, ...subject], { stdio: "pipe" });
  return { cert: readFileSync(cert), key: readFileSync(key), certFile: cert, keyFile: key };
}

const skip = (() => {
  try {
    execFileSync("openssl", ["version"], { stdio: "pipe" });
    return false;
  } catch {
    return process.env.CI === "true" ? false : "openssl is not installed";
  }
})();

test("a server with TLS is checked against the given authority and its name", { skip }, async () => {
  const right = certificate("right", "DNS:localhost,IP:127.0.0.1", "-days", "2");
  const other = certificate("other", "DNS:other.example", "-days", "2");
  await using server = await FakeServer.start(methods, { tls: right });
  const once = { retry: { attempts: 1 } };
  await using good = server.client({ caFile: right.certFile });
  assert.equal((await good.whoami()).principal, "key:a");
  await using text = server.client({ ca: right.cert });
  assert.equal((await text.whoami()).principal, "key:a");
  // What somebody has to change is not tried again.
  await using wrong = server.client({ caFile: other.certFile, retry: { attempts: 9, firstDelayMs: 600_000 } });
  await assert.rejects(wrong.whoami(), /no authority that this client trusts .* Pass the CA certificate .* as caFile/);
  await using system = server.client(once);
  await assert.rejects(system.whoami(), /no authority that this client trusts/);
  await using plain = server.client({ server: `http://${server.address}`, ...once });
  await assert.rejects(plain.whoami(), /if so, use https:\/\//);
  await using mistaken = await FakeServer.start(methods, { tls: other });
  await using misnamed = mistaken.client({ ca: other.cert, ...once });
  await assert.rejects(misnamed.whoami(), /its certificate is for another host/);
});

test("a client certificate is read again when it changes", { skip }, async () => {
  const right = certificate("server", "IP:127.0.0.1", "-days", "2");
  await using server = await FakeServer.start(methods, { tls: right });
  const { certFile, keyFile } = certificate("client", "DNS:client", "-days", "2");
  await using client = server.client({ apiKey: undefined, ca: right.cert, clientCertificate: { certFile, keyFile } });
  await client.whoami();
  assert.equal(server.connections, 1);
  // While one of the two files is replaced, the former pair is used.
  const next = certificate("next", "DNS:client", "-days", "2");
  writeFileSync(keyFile, "nonsense");
  await client.whoami();
  await using other = server.client({ apiKey: undefined, ca: right.cert, clientCertificate: { certFile, keyFile } });
  await assert.rejects(other.whoami(), (error: Error) => {
    return error instanceof api.ConfigurationError && /clientCertificate cannot be used/.test(error.message);
  });
  writeFileSync(certFile, next.cert);
  writeFileSync(keyFile, next.key);
  await until(async () => {
    await client.whoami();
    return server.connections === 2;
  });
});
