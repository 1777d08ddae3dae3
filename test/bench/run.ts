/**
 * `npm run bench [-- drain producers idle --smoke]`: figures as ratios within one run, because machines are shared and
 * noisy. The server is an embedded one with durable settings, or the one at DATABASE_URL.
 */
import { parseArgs } from "node:util";
import { testServer } from "../support/server.ts";
import { measureDrain } from "./drain.ts";
import { measureIdle } from "./idle.ts";
import { measureProducers } from "./producers.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { smoke: { type: "boolean", default: false } },
});
const { smoke } = values;
const scenarios = {
  producers: (url: string) => measureProducers(url, smoke ? { seconds: 1, rounds: 1 } : { seconds: 5, rounds: 3 }),
  drain: (url: string) => measureDrain(url, smoke ? { events: 2_000, rounds: 1 } : { events: 100_000, rounds: 5 }),
  idle: (url: string) => measureIdle(url, { idleSeconds: smoke ? 1 : 60 }),
};
type Scenario = keyof typeof scenarios;
const chosen = positionals.length > 0 ? positionals : Object.keys(scenarios);

await using server = process.env.DATABASE_URL === undefined ? await testServer({ durable: true }) : undefined;
const url = server?.url ?? process.env.DATABASE_URL ?? "";
for (const name of chosen) {
  if (!(name in scenarios)) throw new Error(`unknown scenario ${name}: ${Object.keys(scenarios).join(", ")}`);
  const figures = await scenarios[name as Scenario](url);
  console.log(
    name,
    JSON.stringify(figures, (_key, value) => (typeof value === "number" ? Number(value.toPrecision(4)) : value)),
  );
}
