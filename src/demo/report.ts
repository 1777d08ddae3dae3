/** What the demo prints at its end: the tables as psql would show them, and how to look around. */
import type { ClientBase } from "pg";
import { say, table } from "../command.ts";
import { countRows, listAttempts, listDeliveries, listEvents } from "../queries/demo.ts";

const eventsShown = 4;
const payloadCharactersMax = 44;

const cut = (text: string): string =>
  text.length > payloadCharactersMax ? `${text.slice(0, payloadCharactersMax)}...` : text;

/** The first events, with their deliveries and attempts. */
export const showTables = async (client: ClientBase): Promise<void> => {
  const count = await countRows(client);
  const events = await listEvents(client, eventsShown);
  const ids = events.map(({ id }) => id);
  const shown = events.map(({ id: _id, payload, ...event }) => ({ ...event, payload: cut(payload) }));
  const deliveries = await listDeliveries(client, ids);
  const attempts = await listAttempts(client, ids);
  say(`\noutbox.events: ${count.events} rows, the first ${events.length}\n\n${table(shown)}`);
  say(`\noutbox.deliveries: ${count.deliveries} rows, those of these events\n\n${table(deliveries)}`);
  say(`\noutbox.attempts: ${count.attempts} rows, those of these events\n\n${table(attempts)}\n`);
};

const hints = `
    select * from outbox.events;
    select * from outbox.deliveries;
    select * from outbox.attempts;
    select * from outbox.destination_status;
    select * from outbox.event_timeline((select id from outbox.events limit 1));
    select * from outbox.explain_match((select id from outbox.events limit 1));`;

/** How to look around with psql. */
export const showHints = (
  { url, dataDir }: { readonly url: string; readonly dataDir: string },
  keep: boolean,
): void => {
  if (keep) {
    say(`\nThe database is kept. Start it again, and look around in another terminal:\n`);
    say(`  npx postrider dev --data ${dataDir} --port ${new URL(url).port}`);
    say(`  psql ${url}\n${hints}`);
    return;
  }
  say(
    `\nTo look around with psql, keep this database (npm run demo -- --keep, or npx postrider demo --keep), or start one`,
  );
  say(`of your own with npx postrider dev. Then:\n${hints}`);
};
