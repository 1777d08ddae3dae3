/** After the last fault all that can be delivered is delivered, within the time that the run allows. */
import type { Admin } from "../stage.ts";
import type { Unfinished } from "./unfinished.ts";

/** What is still on its way when its time is over; what waits behind others of its lane is not to blame. */
export const unfinishedAtRest = (unfinished: readonly Unfinished[]): readonly string[] =>
  unfinished.flatMap(({ way, what }) => (way === "none" || way === "behind" ? [] : [what]));

/** Events that no worker has fanned out. */
export const findDeferred = async (admin: Admin): Promise<readonly string[]> => {
  const rows = await admin.query<{ id: string }>("select unnest(q.event_ids) as id from outbox.deferred_events as q");
  return rows.map(({ id }) => `${id} still waits for its deferred fan-out`);
};
