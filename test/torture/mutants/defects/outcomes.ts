/** Defects in what an answer, or the lack of one, means. */
import type { Edit } from "../../stage.ts";
import { badAnswers, queueUnbound } from "../drills.ts";
import type { Mutant } from "../mutant.ts";

const delivered = '{ kind: "delivered" }';

/** Failures of this code are taken for success. */
const takenForDelivered = (code: string): Edit => {
  const from = 'export const outcomeOfDialError = (error) => error.code === "blocked_address"';
  const to = from.replace("(error) =>", `(error) => error.code === "${code}" ? ${delivered} :`);
  return { file: "outcome.js", from, to };
};

export const outcomeMutants: readonly Mutant[] = [
  {
    name: "delivered_before_sent",
    breaks: "A delivery is recorded as delivered before the answer is there.",
    expects: "loss",
    drill: badAnswers,
    edits: [
      {
        file: "sender.js",
        from: "outcome = await type.deliver(sending.delivery, context);",
        to: `outcome = ${delivered}; type.deliver(sending.delivery, context).catch(() => undefined);`,
      },
    ],
  },
  {
    name: "status_500_taken_for_delivered",
    breaks: "Any HTTP status is a success.",
    expects: "loss",
    drill: badAnswers,
    edits: [{ file: "outcome.js", from: "if (status >= 200 && status < 300)", to: "if (status >= 200)" }],
  },
  {
    name: "timeout_taken_for_delivered",
    breaks: "A deadline that passes is a success.",
    expects: "loss",
    drill: badAnswers,
    edits: [takenForDelivered("timeout")],
  },
  {
    name: "reset_taken_for_delivered",
    breaks: "A connection that breaks before the answer is a success.",
    expects: "loss",
    drill: badAnswers,
    edits: [takenForDelivered("reset")],
  },
  {
    name: "garbage_taken_for_delivered",
    breaks: "An answer that is no HTTP is a success.",
    expects: "loss",
    drill: badAnswers,
    edits: [takenForDelivered("protocol")],
  },
  {
    name: "schedule_of_one_attempt",
    breaks: "The schedule is used up after the first failure.",
    expects: "loss",
    drill: badAnswers,
    sql: [
      {
        name: "outbox.retry_delay(jsonb,integer,interval,double precision)",
        replace: [{ from: "when delay.seconds is null then null", to: "when true then null" }],
      },
    ],
  },
  {
    name: "deadline_off",
    breaks: "An attempt waits for its answer for ever.",
    expects: "liveness",
    drill: badAnswers,
    edits: [{ file: "sender.js", from: "setTimeout(expire, policy.timeout_seconds * 1_000)", to: "undefined" }],
  },
  {
    name: "mandatory_off",
    breaks: "The broker may throw away a message that no queue wants, and confirm it.",
    expects: "loss",
    drill: queueUnbound,
    edits: [{ file: "protocols/amqp-publisher.js", from: "mandatory: true", to: "mandatory: false" }],
  },
  {
    name: "unroutable_taken_for_delivered",
    breaks: "A message that the broker gives back counts as delivered.",
    expects: "loss",
    drill: queueUnbound,
    edits: [
      {
        file: "destinations/rabbitmq.js",
        from: 'if (confirmation === "acked")',
        to: 'if (confirmation !== "nacked")',
      },
    ],
  },
];
