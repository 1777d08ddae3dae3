/** The reliability figures of the README, from the scoreboard of a run: `node test/torture/readme.ts` prints them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Scoreboard } from "./scoreboard.ts";

/** The scoreboard that the README speaks of. */
export const scoreboardFile = join(import.meta.dirname, "scoreboard.json");

const promises = {
  loss: "acknowledged events lost",
  limbo: "deliveries without a way forward",
  phantom: "arrivals of what was never committed",
  duplicates: "repetitions that no attempt explains",
  evidence: "arrivals without an attempt",
  tenants: "events at another tenant's destination",
  forbidden: "connections to forbidden addresses and wrong certificates",
  secrets: "secrets in a log, table, view or error",
  liveness: "deliveries that did not go on after healing",
  bytes: "changed bodies and wrong signatures",
  order: "events of a key out of order",
};

/** The table of the README, a line each. */
export const reliabilityTable = (board: Scoreboard): string => {
  const { violations, duplicates_by_cause: causes = {}, recovery_seconds: recovery } = board;
  const explained = Object.entries(causes).map(([cause, count]) => `${count} beside ${cause}`);
  const rows = [
    ["events committed", board.events],
    ["arrivals", board.arrivals],
    ["faults, kinds of them", `${board.faults}, ${board.fault_kinds}`],
    ["crash points, statements, crashes", `${board.crash_points}, ${board.crash_statements}, ${board.crashes}`],
    ...Object.entries(promises).map(([check, words]) => [words, violations[check]]),
    ["repetitions that are explained", explained.length > 0 ? explained.join("; ") : 0],
    ["from a fault's end to an arrival, seconds (p50, p99)", `${recovery?.p50}, ${recovery?.p99}`],
    ["seed", board.seed],
  ];
  return ["| what | count |", "|---|---|", ...rows.map(([what, count]) => `| ${what} | ${count} |`)].join("\n");
};

if (import.meta.main) console.log(reliabilityTable(JSON.parse(await readFile(scoreboardFile, "utf8"))));
