/** A destination type of the user's own with a bug: a certain payload takes the whole process down. */
import { z } from "zod";
import { defineDestination } from "../../../src/index.ts";

/** What the payload has that nobody survives. */
export const deadly = '"deadly"';

export const fragile = defineDestination<Record<string, never>, undefined>({
  type: "fragile",
  label: "Falls over a payload",
  config: z.strictObject({}),
  secrets: z.strictObject({}),
  addresses: () => [],
  connect: () => undefined,
  disconnect: () => {},
  deliver: async ({ payload }) => {
    // As the kernel does when memory is out: no handler, no last words.
    if (payload.includes(deadly)) process.kill(process.pid, "SIGKILL");
    return { kind: "delivered" };
  },
});
