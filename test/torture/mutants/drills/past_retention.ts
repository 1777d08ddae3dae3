import type { Admin } from "../../stage.ts";
import type { Drill } from "../mutant.ts";
import { insertEvents, until } from "../story.ts";

/** Makes everything three days older: ids, which are times, and what names them. */
const age = async ({ query }: Admin): Promise<void> => {
  const older = "interval '3 days'";
  const aged = (id: string): string =>
    `(left(replace(outbox.uuid_at(outbox.time_of(${id}) - ${older})::text, '-', ''), 12) || right(replace(${id}::text, '-', ''), 20))::uuid`;
  await query(`
    do $$
    declare
      v_parent text;
    begin
      foreach v_parent in array array['events', 'deliveries', 'attempts'] loop
        perform outbox.create_partition(v_parent, ((now() - ${older}) at time zone 'UTC')::date);
      end loop;
      set local session_replication_role = replica;
      update outbox.events as e
      set id = ${aged("e.id")}, created_at = e.created_at - ${older}, occurred_at = e.occurred_at - ${older};
      update outbox.deliveries as d set event_id = ${aged("d.event_id")}, created_at = d.created_at - ${older};
      delete from graphile_worker._private_jobs;
    end
    $$`);
};

/** What was not delivered is past the retention: it is still to be delivered. */
export const pastRetention: Drill = {
  name: "past_retention",
  play: async ({ stage, startWorker }) => {
    const { admin, sinks } = stage;
    await sinks.add({ name: "acme", tenant: "acme", topics: ["order.*"] });
    await insertEvents(stage, 5, { tenant: "acme" });
    await age(admin);
    await until(admin, "not exists (select from outbox.prune('1 day') where reason like 'in use%')");
    await startWorker();
    await admin.query("select outbox.wake(array[event_id], array[subscription_id]) from outbox.deliveries");
  },
};
