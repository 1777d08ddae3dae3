/** The statements of producers. Each event has its mark as dedupe key, so that it may be inserted again. */
import { escapeLiteral } from "pg";
import type { Connection } from "./connection.ts";
import type { MadeEvent } from "./making.ts";

export type Insert = (connection: Connection, events: readonly MadeEvent[]) => Promise<void>;

/** One event and a row of the shop's own beside it, as text. */
export const orderStatements = ({ tenant, topic, key, mark, payload }: MadeEvent): string => {
  const values = [tenant, topic, key, mark, payload].map((value) =>
    value === undefined ? "null" : escapeLiteral(value),
  );
  return `insert into outbox.events (tenant_id, topic, key, dedupe_key, payload) values (${values.join(", ")});
    insert into shop.orders (mark) values (${escapeLiteral(mark)});`;
};

/** All in one statement. */
export const insertRows: Insert = async (connection, events) => {
  await connection.query(
    `insert into outbox.events (tenant_id, topic, key, dedupe_key, payload)
     select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]::json[])`,
    [
      events.map(({ tenant }) => tenant),
      events.map(({ topic }) => topic),
      events.map(({ key }) => key ?? null),
      events.map(({ mark }) => mark),
      events.map(({ payload }) => payload),
    ],
  );
};

/** What comes after it in the transaction is fanned out by a worker, later. */
export const defer = "set local outbox.fan_out = 'deferred'";

const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;

export const insertByCopy: Insert = async (connection, events) => {
  const lines = events.map(
    ({ tenant, topic, key, mark, payload }) =>
      `${tenant},${topic},${key === undefined ? "" : quoted(key)},${mark},${quoted(payload)}\n`,
  );
  const sql = "copy outbox.events (tenant_id, topic, key, dedupe_key, payload) from stdin with (format csv)";
  await connection.copy(sql, lines.join(""));
};

/** Orders that an earlier try has committed stay; the events come first, because they wait until it has ended. */
export const insertMissingOrders: Insert = async (connection, events) => {
  await connection.query(
    `insert into shop.orders (mark)
     select m.mark from unnest($1::text[]) as m (mark)
     where not exists (select from shop.orders as o where o.mark = m.mark)`,
    [events.map(({ mark }) => mark)],
  );
};
