/** Defects in claiming and recording. */
import {
  claimsUnanswered,
  databaseAway,
  doubledJobs,
  firstOfLaneFails,
  lanesFail,
  marketDay,
  zombie,
} from "../drills.ts";
import type { Mutant } from "../mutant.ts";

const claimDeliveries = "outbox.claim_deliveries(uuid,uuid[],uuid[])";
const recordDelivered = "outbox.record_delivered(uuid,uuid[],uuid[],integer[],integer[],jsonb,integer[])";

export const claimMutants: readonly Mutant[] = [
  {
    name: "claims_what_was_delivered",
    breaks: "A second job for a delivery sends it again.",
    expects: "duplicates",
    drill: doubledJobs,
    sql: [
      {
        name: claimDeliveries,
        replace: [
          { from: "set attempt_count =", to: "set status = 'pending', finished_at = null, attempt_count =" },
          { from: "and d.status = 'pending'", to: "and d.status in ('pending', 'delivered')" },
        ],
      },
    ],
  },
  {
    name: "claims_what_is_claimed",
    breaks: "A worker sends what another one is sending.",
    expects: "evidence",
    drill: doubledJobs,
    sql: [{ name: claimDeliveries, replace: [{ from: "and d.claimed_by is null", to: "" }] }],
  },
  {
    name: "fence_down",
    breaks: "The late answer of a worker that was given up decides over what its heir has done.",
    expects: "duplicates",
    drill: zombie,
    sql: [
      {
        name: "outbox.record_failed(uuid,outbox.given_attempt[])",
        replace: [
          { from: "and d.attempt_count = a.number", to: "" },
          { from: "and d.claimed_by = record_failed.worker_id", to: "" },
        ],
      },
      {
        name: "outbox.record_attempts(uuid,json)",
        replace: [
          {
            from: "(r.given).response\n  from unnest(v_recorded) as r;",
            to: "(r.given).response\n  from unnest(v_recorded) as r on conflict do nothing;",
          },
        ],
      },
    ],
  },
  {
    name: "delivered_forgotten",
    breaks: "The attempt is recorded as delivered, and the delivery is tried again all the same.",
    expects: "duplicates",
    drill: marketDay,
    sql: [
      {
        name: recordDelivered,
        replace: [
          {
            from: "set status = 'delivered', error_code = null, next_attempt_at = null, job_at = null, finished_at = now(),",
            to: `set status = case when d.attempt_count = 1 then 'pending' else 'delivered' end::outbox.delivery_status,
      error_code = null, job_at = null, next_attempt_at = case when d.attempt_count = 1 then now() end,
      finished_at = case when d.attempt_count > 1 then now() end,`,
          },
        ],
      },
    ],
  },
  {
    name: "delivered_without_attempt",
    breaks: "A delivery becomes delivered, and no attempt is kept of it.",
    expects: "evidence",
    drill: marketDay,
    sql: [
      {
        name: recordDelivered,
        replace: [
          {
            from: "v_responses[u.response_number]\n    from updated as u",
            to: "v_responses[u.response_number]\n    from updated as u where false",
          },
        ],
      },
    ],
  },
  {
    name: "claims_without_answer_kept",
    breaks: "A claim whose answer was lost is not undone.",
    expects: "liveness",
    drill: claimsUnanswered,
    sql: [
      {
        name: "outbox.unclaim_deliveries(uuid,uuid[],uuid[])",
        replace: [{ from: "and d.claimed_by = unclaim_deliveries.worker_id", to: "and false" }],
      },
    ],
  },
  {
    name: "records_given_up",
    breaks: "What cannot be recorded at once is not recorded.",
    expects: "liveness",
    drill: databaseAway,
    edits: [{ file: "round-trips.js", from: "if (!isTransient(error) || hasToGo())", to: "if (true)" }],
  },
  {
    name: "lane_without_head",
    breaks: "A delivery of a lane is claimed although others are before it.",
    expects: "order",
    drill: firstOfLaneFails,
    sql: [
      {
        name: claimDeliveries,
        replace: [
          { from: "and (d.lane_seq is null or outbox.leads_lane(d.subscription_id, d.key, d.lane_seq))", to: "" },
        ],
      },
    ],
  },
  {
    name: "lane_goes_on_after_failure",
    breaks: "The next of a lane is sent although the one before was not delivered.",
    expects: "order",
    drill: lanesFail,
    edits: [
      {
        file: "lane.js",
        from: 'outcome.kind === "delivered" && mayGoOn(answered.claimedBy)',
        to: "mayGoOn(answered.claimedBy)",
      },
    ],
  },
];
