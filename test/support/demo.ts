/**
 * `npm run demo`: the demo of the package; with `--all`, one order to a destination of every type instead, on servers that
 * only the tests have: RabbitMQ itself where it is installed, Postgres, and emulators of the others.
 */
import { say, table } from "../../src/command.ts";
import { testDatabase } from "./database.ts";
import { type Arrival, openEveryPlace, type Place } from "./every_type.ts";
import { brokerMissing } from "./rabbitmq.ts";
import { openServer } from "./server.ts";
import { startTestWorker } from "./worker.ts";

const order = '{"order": "A-1001", "total": 12.50, "currency": "EUR"}';
const arrivalMsMax = 30_000;
const bodyCharactersMax = 100;

/** On one line, as what is laid out for people is not. */
const shorten = (text: string): string => {
  const line = text.trim().replaceAll(/\s+/g, " ");
  return line.length > bodyCharactersMax ? `${line.slice(0, bodyCharactersMax)}...` : line;
};

const showArrivals = (arrivals: readonly (readonly [place: Place, got: readonly Arrival[]])[]): void => {
  const rows = arrivals.map(([{ type, server }, [first]]) => ({
    type,
    server,
    "event id": first?.id ?? "nothing arrived",
    topic: first?.topic ?? "",
    body: shorten(first?.body ?? ""),
  }));
  say(`\nWhat each received:\n\n${table(rows)}\n`);
};

/** Types whose other end is a person: the payload is laid out in lines. */
const forPeople = ["slack", "email"];
const withoutSpace = (text: string): string => text.replaceAll(/\s/g, "");

/** Whether a place got this event once, and its payload as it was inserted. */
const isRight = ({ type }: Place, got: readonly Arrival[], eventId: string): boolean => {
  const [first] = got;
  if (first === undefined || got.length > 1 || first.id !== eventId) return false;
  return forPeople.includes(type) ? withoutSpace(first.body).includes(withoutSpace(order)) : first.body.includes(order);
};

const playAll = async (): Promise<boolean> => {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await openServer(undefined));
  // What the databases of tests are made on.
  Object.assign(process.env, { POSTRIDER_TEST_SERVER: server.url, POSTRIDER_TEST_RUN: server.run });
  const without = brokerMissing === undefined ? [] : ["rabbitmq"];
  if (brokerMissing !== undefined) say(`rabbitmq is left out. ${brokerMissing}`);
  say("Starting a Postgres, a worker, and a server for each destination type.");
  const db = stack.use(await testDatabase());
  const places = await openEveryPlace(without);
  for (const place of places) stack.use(place);
  stack.use(await startTestWorker(db));
  for (const { type, config, secrets } of places) {
    await db.query("select outbox.create_destination($1, $2, secrets => $3, name => $1)", [type, config, secrets]);
  }
  const { id } = await db.one<{ id: string }>(
    "insert into outbox.events (topic, key, payload) values ('order.paid', 'A-1001', $1) returning id",
    [order],
  );
  say(`\nOne transaction committed one event, order.paid, with ${order}.`);

  const late = AbortSignal.timeout(arrivalMsMax);
  const pending = "select count(*)::int as n from outbox.deliveries where status = 'pending'";
  await Promise.race([
    db.until(pending, [], ({ n }) => n === 0),
    new Promise((resolve) => late.addEventListener("abort", resolve)),
  ]);
  const arrivals = await Promise.all(places.map(async (place) => [place, await place.arrived()] as const));
  showArrivals(arrivals);
  const attempts = await db.query(
    `select t.type as "to", a.number as attempt, a.outcome::text as outcome, a.code, a.duration_ms as ms
     from outbox.attempts as a join outbox.destinations as t on t.id = a.destination_id order by t.type, a.number`,
  );
  say(`outbox.attempts:\n\n${table(attempts)}\n`);
  const wrong = arrivals.filter(([place, got]) => !isRight(place, got, id)).map(([{ type }]) => type);
  say(
    wrong.length === 0
      ? `All ${places.length} received it, once, with the payload byte for byte; for people it is laid out in lines.`
      : `Not as promised: ${wrong.join(", ")}. Please report it with this output.`,
  );
  return wrong.length === 0;
};

if (process.argv.includes("--all")) {
  if (!(await playAll())) process.exitCode = 1;
} else {
  process.argv.splice(2, 0, "demo");
  await import("../../src/cli.ts");
}
