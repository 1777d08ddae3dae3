/** A deploy that is taken back: a worker of a next version joins, the database writes its jobs, and both leave again. */
import { within } from "../../chaos/support/ledger.ts";
import { writeNewerJobs } from "../../support/newer.ts";
import type { Random } from "../random.ts";
import type { Edit, Fault, Stage } from "../stage.ts";
import { last, visit } from "./support.ts";

/** Reads jobs of version 2 beside those of version 1, and takes both tasks. */
const nextVersion: readonly Edit[] = [
  { file: "tasks/deliver.js", from: "v: z.literal(jobVersion)", to: "v: z.literal([1, 2])" },
  { file: "tasks/deliver.js", from: "min(jobVersion + 1)", to: "min(jobVersion + 2)" },
  {
    file: "preset.js",
    from: "tasks[taskIdentifier] = holder.deliver;",
    to: "tasks[taskIdentifier] = tasks[taskIdentifier + '_v2'] = holder.deliver;",
  },
];

const definitionOf = async ({ admin }: Stage): Promise<string> => {
  const [row] = await admin.query<{ definition: string }>(
    "select pg_get_functiondef('outbox.deliver_job(json, timestamptz, integer)'::regprocedure) as definition",
  );
  return row?.definition ?? "";
};

const doneMsMax = 45_000;

const newerJobs = "graphile_worker._private_jobs where payload ->> 'v' = '2'";

/** Nobody who stays could do what is left: the next version does it before it goes. */
const untilDone = async ({ admin }: Stage): Promise<void> => {
  const [{ writing }] = (await admin.query<{ writing: string }>("select pg_current_xact_id()::text as writing")) as [
    { writing: string },
  ];
  await within(doneMsMax, "the jobs of the next version are done", async () => {
    const left = await admin.query(
      `select from ${newerJobs}
       union all
       select where pg_snapshot_xmin(pg_current_snapshot()) <= $1::xid8
       limit 1`,
      [writing],
    );
    return left.length === 0;
  });
};

const deployAndTakeBack = async (stage: Stage, random: Random): Promise<void> => {
  const { admin } = stage;
  const present = await definitionOf(stage);
  try {
    await visit(stage, { edits: nextVersion }, async () => {
      try {
        await writeNewerJobs(admin);
        await last(random, 1_000, 2_500);
      } finally {
        await admin.query(present);
      }
      await untilDone(stage);
    });
  } finally {
    await admin.query(`delete from ${newerJobs}`);
  }
};

export const versionFaults: readonly Fault[] = [
  { name: "next_version_comes_and_goes", lane: "fleet", strike: deployAndTakeBack },
];
