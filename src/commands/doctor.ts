import type { Command } from "commander";
import { addDatabaseOption, readSettings, say } from "../command.ts";
import { count, type Level, levels } from "../finding.ts";

interface Options {
  readonly databaseUrl?: string;
  readonly json?: true;
  readonly strict?: true;
}

const levelWidth = Math.max(...levels.map(({ length }) => length));

const run = async (options: Options): Promise<void> => {
  const settings = await readSettings(options);
  const { examine } = await import("../doctor.ts");
  const diagnoses = await examine(settings);
  const of = (wanted: Level) => diagnoses.filter(({ level }) => level === wanted).length;
  const healthy = of("problem") === 0;
  if (!healthy || (options.strict === true && of("warning") > 0)) process.exitCode = 1;
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
        "or a problem, with the SQL or the command that mends it. Run it with the environment of the workers, so that it sees\n" +
        "their POSTRIDER_KEYS.\n\n" +
        "Exits with 0 if there is no problem, with 1 if there is one (a database that does not answer is one), with 2 if it was\n" +
        "called wrongly.",
    )
    .option(
      "--json",
      "for machines: an object of healthy and findings, each with check, level, message and maybe remedy",
    )
    .option("--strict", "exit with 1 for a warning too")
    .addHelpText("after", "\nExample:\n  $ DATABASE_URL=postgres://owner@db.internal/shop postrider doctor")
    .action(run);
};
