// Turns the options of reads into fields of requests.
import { invalid } from "./errors.js";
import { Consistency, View } from "./gen/strongroom/v1/secret_pb.js";
import type { Fresh, GetOptions } from "./secret-options.js";

/** Returns what parts of a secret a request asks for. */
export function viewOf(view: GetOptions["view"]): View {
  switch (view) {
    case undefined:
    case "full":
      return View.FULL;
    case "metadata":
      return View.METADATA;
    default:
      throw invalid("view", "must be full or metadata.");
  }
}

/** Returns how new an answer a request asks for. */
export function consistencyOf(consistency: Fresh["consistency"]): Consistency {
  switch (consistency) {
    case undefined:
      return Consistency.UNSPECIFIED;
    case "linearizable":
      return Consistency.LINEARIZABLE;
    case "cached":
      return Consistency.CACHED;
    default:
      throw invalid("consistency", "must be linearizable or cached.");
  }
}
