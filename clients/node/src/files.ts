// Files that are read again when they change: keys, tokens and certificates that something else renews.
import { readFile, stat } from "node:fs/promises";
import { misconfigured } from "./errors.js";

/** How long a file is not looked at again, in milliseconds. */
const UNCHECKED_MS = 1_000;

/** The content of a file, as it was last read. */
export class WatchedFile {
  readonly #setting: string;
  readonly #path: string;
  #content: Buffer | undefined;
  #stamp = "";
  #checkedAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<Buffer> | undefined;

  /** `setting` names the file in errors. */
  constructor(setting: string, path: string) {
    this.#setting = setting;
    this.#path = path;
  }

  /** The content, where it needs no look at the file. Undefined: call `read`. */
  get current(): Buffer | undefined {
    return performance.now() - this.#checkedAt < UNCHECKED_MS ? this.#content : undefined;
  }

  /**
   * Returns the content, and reads the file where it has changed. `now`: also where it was looked at a moment ago.
   *
   * While a file that was read before cannot be read, the former content is returned: it may be about to be replaced.
   */
  async read(now = false): Promise<Buffer> {
    const current = now ? undefined : this.current;
    if (current !== undefined) {
      return current;
    }
    this.#reading ??= this.#readChanged().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readChanged(): Promise<Buffer> {
    try {
      const { mtimeNs, size, ino } = await stat(this.#path, { bigint: true });
      const stamp = `${mtimeNs} ${size} ${ino}`;
      if (this.#content === undefined || stamp !== this.#stamp) {
        this.#content = await readFile(this.#path);
        this.#stamp = stamp;
      }
    } catch (error) {
      if (this.#content === undefined) {
        throw unreadable(this.#setting, this.#path, error);
      }
    }
    this.#checkedAt = performance.now();
    return this.#content;
  }
}

/** Returns the error for a file that cannot be read. */
export function unreadable(setting: string, path: string, error: unknown): Error {
  const cause = error instanceof Error && "code" in error ? String(error.code) : "an error";
  return misconfigured(setting, `cannot be read from ${path} (${cause}): check the path and the permissions.`);
}
