/** Defects in what workers do by the clock: nobody looks after what was left behind. */
import type { Edit } from "../../stage.ts";
import { circuitOpens, farRetries, firstOfLaneFails, marketDay, workerLost } from "../drills.ts";
import type { Mutant } from "../mutant.ts";

/** The duty is done at its time, and does nothing. */
const idle = (from: string): Edit => ({ file: "duties.js", from, to: "run: async () => false" });

export const clockMutants: readonly Mutant[] = [
  {
    name: "wake_and_reconciler_off",
    breaks: "Deliveries are made without a job, and nobody looks for those that have none.",
    expects: "limbo",
    drill: marketDay,
    edits: [idle("run: () => once(reconcile(kysely))")],
    sql: [
      {
        name: "outbox.tg_events__fan_out()",
        replace: [{ from: "perform outbox.wake(v_event_ids, v_subscription_ids);", to: "" }],
      },
    ],
  },
  {
    name: "schedule_due_off",
    breaks: "Retries that were far away get no job when they come near.",
    expects: "limbo",
    drill: farRetries,
    edits: [idle("run: () => untilNone(scheduleDue(kysely))")],
  },
  {
    name: "sweeper_off",
    breaks: "The jobs of a lost worker stay locked.",
    expects: "limbo",
    drill: workerLost,
    edits: [idle("run: () => once(sweepWorkers(kysely))")],
  },
  {
    name: "claims_outlive_their_worker",
    breaks: "What a lost worker had claimed is never taken over.",
    expects: "limbo",
    drill: workerLost,
    sql: [
      {
        name: "outbox.settle_unclaimed(uuid,uuid[],uuid[])",
        replace: [{ from: "and not outbox.is_live(d.claimed_by)", to: "and false" }],
      },
    ],
  },
  {
    name: "held_never_released",
    breaks: "An open circuit sends no probes, and what is held stays so.",
    expects: "limbo",
    drill: circuitOpens,
    edits: [idle("run: () => once(releaseHeld(kysely))")],
  },
  {
    name: "lanes_never_promoted",
    breaks: "Those behind the first of a lane are not put to work when it was delivered.",
    expects: "limbo",
    drill: firstOfLaneFails,
    sql: [
      {
        name: "outbox.promote_lanes(uuid[],text[])",
        replace: [{ from: "where d.event_id = f.event_id", to: "where false and d.event_id = f.event_id" }],
      },
    ],
  },
];
