/** Deliveries that are not finished, and their way forward. */
import type { Admin } from "../stage.ts";

/**
 * What will bring a delivery forward: the worker that has claimed it, a job that names it, its next time (workers make jobs of
 * what comes near), or that its destination holds it back for now. `behind`: others of its lane go first, and answer for it.
 * `none`: nobody would look at it again but the net under everything.
 */
export type Way = "claim" | "job" | "time" | "hold" | "behind" | "none";

export interface Unfinished {
  readonly eventId: string;
  readonly subscriptionId: string;
  readonly way: Way;
  /** Its row in short. */
  readonly what: string;
}

/** Time for what workers do several times a second. */
const promptly = "interval '3 seconds'";
/** After this a new job is made in the place of one that has vanished. */
const vanishedWithin = "interval '75 seconds'";

/** A job that is locked for longer than a minute does not count: its pool may not know that it holds it. */
const namedByJobs = `
  select distinct e.value::uuid as event_id, s.key::uuid as subscription_id
  from graphile_worker._private_jobs as j
  join graphile_worker._private_tasks as t on t.id = j.task_id
  cross join json_each(j.payload -> 'deliveries') as s
  cross join json_array_elements_text(s.value) as e
  where starts_with(t.identifier, 'outbox_deliver')
  and j.attempts < j.max_attempts
  and (j.locked_at is null or j.locked_at > now() - interval '1 minute' and exists (
    select from outbox.workers as w where w.pool_id = j.locked_by and outbox.is_live(w.id)))`;

/** Who was claimed by a worker that is lost is taken over only by a job. */
const wayOfPending = `
  case
    when d.claimed_by is not null and outbox.is_live(d.claimed_by) then 'claim'
    when n.event_id is not null then 'job'
    when d.claimed_by is not null then 'none'
    when d.next_attempt_at > now() - case when d.job_at is null then ${promptly} else ${vanishedWithin} end then 'time'
    else 'none'
  end`;

/** A probe that is under way, a time that is near, or deliveries whose end makes room. */
const wayOfHeld = `
  case
    when d.held_reason in ('lane', 'parked') or t.deleted_at is not null then 'none'
    when t.disabled_at is not null then 'hold'
    when k.destination_id is null then 'none'
    when coalesce(k.next_probe_at, k.ramp_at, now()) > now() - ${promptly} then 'hold'
    when exists (
      select from outbox.deliveries as p
      where p.event_id = k.probe_event_id and p.subscription_id = k.probe_subscription_id and p.status = 'pending') then 'hold'
    when exists (
      select from outbox.slots as s
      join outbox.deliveries as p on p.event_id = s.event_id and p.subscription_id = s.subscription_id
      where s.destination_id = d.destination_id and p.claimed_by is not null) then 'hold'
    else 'none'
  end`;

const query = (condition: string): string => `
  with named as materialized (${namedByJobs})
  select u.event_id as "eventId", u.subscription_id as "subscriptionId", u.way, format(
    '%s for %s: %s%s after %s attempts, last error %s, next %s, claimed by %s, way forward: %s', u.event_id, u.name, u.status,
    ' (' || u.held_reason || ')', u.attempt_count, coalesce(u.error_code, 'none'), coalesce(u.next_attempt_at::text, 'none'),
    coalesce(u.claimed_by::text, 'nobody'), u.way) as what
  from (
    select d.*, t.name, case
      when d.lane_seq is not null and exists (
        select from outbox.deliveries as p
        where p.subscription_id = d.subscription_id and p.key = d.key and p.lane_seq < d.lane_seq) then 'behind'
      when d.status = 'pending' then ${wayOfPending}
      else ${wayOfHeld} end as way
    from outbox.deliveries as d
    left join named as n on n.event_id = d.event_id and n.subscription_id = d.subscription_id
    left join outbox.destinations as t on t.id = d.destination_id
    left join outbox.holds as k on k.destination_id = d.destination_id
    where d.status in ('pending', 'held')
    and ${condition}
  ) as u`;

/** All that is not finished. */
export const readUnfinished = (admin: Admin): Promise<Unfinished[]> => admin.query(query("true"));

/** What has no way forward. What was so ten minutes ago has been found then. */
export const readStuck = (admin: Admin): Promise<Unfinished[]> =>
  admin.query(
    `select * from (${query("d.event_id >= outbox.uuid_at(now() - interval '10 minutes')")}) as u where u.way = 'none'`,
  );
