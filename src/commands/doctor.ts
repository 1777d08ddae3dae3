import type { Command } from "commander";
import { addDatabaseOption, readSettings, say } from "../command.ts";
import { count, type Level, levels } from "../finding.ts";

interface Options {
  readonly databaseUrl?: string;
  readonly json?: true;
}

const levelWidth = Math.max(...levels.map(({ length }) => length));

const run = async (options: Options): Promise<void> => {
  const settings = await readSettings(options);
  const { examine } = await import("../doctor.ts");
  const diagnoses = await examine(settings);
  const of = (wanted: Level) => diagnoses.filter(({ level }) => level === wanted).length;
  const healthy = of("problem") === 0;
  if (!healthy) process.exitCode = 1;
  if (options.json === true) return say(JSON.stringify({ healthy, findings: diagnoses }, undefined, 2));
  const checkWidth = Math.max(...diagnoses.map(({ check }) => check.length));
  for (const { level, check, message, remedy } of diagnoses) {
    say(`${level.padEnd(levelWidth)}  ${check.padEnd(checkWidth)}  ${message}`);
    if (remedy !== undefined) say(`${" ".repeat(levelWidth + 2 + checkWidth)}  > ${remedy}`);
  }
  say(
    `\n${healthy ? "Healthy" : "Unhealthy"}: ${count(of("problem"), "problem")}, ${count(of("warning"), "warning")}.`,
  );
};

/** `postrider doctor`: what is wrong with an installation, and what mends it. */
export const addDoctor = (program: Command): void => {
  addDatabaseOption(program.command("doctor"))
    .summary("find what is wrong, and what mends it")
    .description(
      "Looks the server, the schema, the workers and the destinations over, and changes nothing. Each finding is ok, a warning\n" +
        "or a problem, with the SQL or the command that mends it. Exits with 1 if there is a problem. Run it with the\n" +
        "environment of the workers, so that it sees their POSTRIDER_KEYS.",
    )
    .option("--json", "for machines")
    .addHelpText("after", "\nExample:\n  $ DATABASE_URL=postgres://owner@db.internal/shop postrider doctor")
    .action(run);
};
