/** Finds the destination types in `destinations/`, adds the user's own, answers by name. */
import { readdir } from "node:fs/promises";
import { z } from "zod";
import type { DestinationType } from "./destination.ts";
import { PostriderError } from "./errors.ts";

const folder = new URL("./destinations/", import.meta.url);
const sourceFile = /^[a-z][a-z0-9_]*\.(ts|js)$/;

/** Destination types by name. */
export interface Registry {
  /** @throws PostriderError POSTRIDER_DESTINATION_TYPE_UNKNOWN */
  readonly get: (type: string) => DestinationType;
}

const isDestinationType = (value: unknown): value is DestinationType =>
  typeof value === "object" && value !== null && "type" in value && ("deliver" in value || "deliverBatch" in value);

/** The types that come with Postrider: each file of `destinations/` exports one as `destination`. */
export const builtInTypes = async (): Promise<readonly DestinationType[]> => {
  const files = (await readdir(folder)).filter((name) => sourceFile.test(name)).sort();
  const modules = await Promise.all(files.map((name) => import(new URL(name, folder).href)));
  return modules.map(({ destination }: { destination?: unknown }, index) => {
    if (isDestinationType(destination)) return destination;
    throw new PostriderError(
      "POSTRIDER_DESTINATION_TYPE_INVALID",
      `destinations/${files[index]} exports no destination`,
    );
  });
};

/** A registry of the built-in types and the user's own; of two with one name the user's wins. */
export const createRegistry = async (own: readonly DestinationType[] = []): Promise<Registry> => {
  const types = new Map([...(await builtInTypes()), ...own].map((destination) => [destination.type, destination]));
  return {
    get: (type) => {
      const found = types.get(type);
      if (found !== undefined) return found;
      throw new PostriderError(
        "POSTRIDER_DESTINATION_TYPE_UNKNOWN",
        `this worker knows no destination type "${type}": it knows ${[...types.keys()].join(", ")}`,
      );
    },
  };
};

/** A destination type as SQL keeps it: its schemas as JSON Schema, what a person may write (before defaults). */
export const describeType = (destination: DestinationType) => ({
  name: destination.type,
  label: destination.label,
  configSchema: z.toJSONSchema(destination.config, { io: "input" }),
  secretsSchema: z.toJSONSchema(destination.secrets, { io: "input" }),
});
