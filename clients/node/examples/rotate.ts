// Rotates a password without an outage: stage the new one, set it where it is used, then make it the current one.
import { Strongroom } from "strongroom-client";

await using client = Strongroom.fromEnv();
await client.secrets.create("db_password", { generate: { kind: "password", length: 40 } });

const staged = await client.secrets.stage("db_password", {
  generate: { kind: "password", length: 40 },
  returnValue: true,
});
try {
  await setInDatabase(staged.value?.text() ?? "");
  await client.secrets.promote("db_password", staged.newVersion, { etag: staged.etag, gracePeriodMs: 24 * 3_600_000 });
} catch (error) {
  // The pending version is abandoned. The current one has not changed.
  await client.secrets.destroyVersion("db_password", staged.newVersion);
  throw error;
}
const { versions } = await client.secrets.versions("db_password");
console.log(versions.map(({ number, state, current }) => `${number} ${state}${current ? " current" : ""}`).join(", "));

async function setInDatabase(_password: string): Promise<void> {
  // ALTER ROLE … PASSWORD …
}
