/**
 * The storm: producers insert and workers deliver while faults strike, three at a time; the promises are checked all the
 * while. Then everything is healed, and must come to rest.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Checker } from "./checks/checks.ts";
import { openProbe, type Probe } from "./probe.ts";
import type { Profile } from "./profiles.ts";
import type { Random } from "./random.ts";
import type { Fault, Stage, Violation } from "./stage.ts";

export interface StormOptions {
  readonly stage: Stage;
  readonly checker: Checker;
  readonly faults: readonly Fault[];
  readonly profile: Profile;
  readonly log: (line: string) => void;
  /** Called when nothing strikes any more, and what is left is delivered. */
  readonly onCalm: () => void;
}

/** What a storm was. */
export interface StormReport {
  readonly seconds: number;
  readonly faults: Readonly<Record<string, number>>;
  /** Kinds that could not strike here, and why. */
  readonly missing: Readonly<Record<string, string>>;
  /** From the moment a fault of Postgres or the workers was healed to the arrival of an event that was committed then, milliseconds. */
  readonly recoveriesMs: readonly number[];
  /** From the end of the last fault until everything was delivered. */
  readonly restSeconds: number;
  readonly violations: readonly Violation[];
  /** Faults that could not be done or healed: defects of the harness. */
  readonly broken: readonly string[];
}

const lanes = ["database", "fleet", "edge"] as const;
const workers = 3;
const checkEveryMs = 3_000;
/** A job that was lost is found by the reconciler, in a minute when nothing else happens. */
const recoveryLimitMs = 90_000;
const restLimitMs = 150_000;
/** After this many times its seconds the storm ends, whatever is missing. */
const patience = 1.6;

const tenants = ["acme", "globex", "initech"];

/** The sinks of the storm: all ways an event may go. */
const openSinks = async ({ sinks, broker }: Stage): Promise<void> => {
  for (const tenant of tenants) {
    await sinks.add({ name: `${tenant}-all`, tenant, topics: ["order.*"], https: true });
    await sinks.add({ name: `${tenant}-large`, tenant, topics: ["order.paid"], amountMin: 500 });
    await sinks.add({ name: `${tenant}-ordered`, tenant, topics: ["order.paid"], ordered: true });
  }
  if (broker !== undefined)
    await sinks.add({ name: "acme-queue", type: "rabbitmq", tenant: "acme", topics: ["order.*"] });
};

/** Each kind once, in any order, then by weight. */
const createDeck = (faults: readonly Fault[], random: Random) => {
  const fresh = faults.toSorted(() => random.next() - 0.5);
  return (): Fault => fresh.pop() ?? random.weighted(faults, ({ weight = 1 }) => weight);
};

interface Weather {
  readonly faults: Record<string, number>;
  readonly recoveriesMs: number[];
  readonly broken: string[];
  readonly violations: Violation[];
  readonly isOver: () => boolean;
}

const strike = async (fault: Fault, { stage, log }: StormOptions, probe: Probe, weather: Weather): Promise<void> => {
  const startedAt = performance.now();
  try {
    await fault.strike(stage, stage.random);
    weather.faults[fault.name] = (weather.faults[fault.name] ?? 0) + 1;
  } catch (error) {
    weather.broken.push(`${fault.name}: ${error instanceof Error ? error.stack : error}`);
    log(`${fault.name} is broken: ${error}`);
    return;
  }
  const healedAt = performance.now();
  if (fault.lane === "edge") {
    log(`${fault.name} ${Math.round(healedAt - startedAt)} ms`);
    return;
  }
  const recoveryMs = await probe.arrivesAfterMs(recoveryLimitMs).catch((error: unknown) => {
    weather.violations.push({ check: "liveness", what: `after ${fault.name}: ${error}` });
    log(`VIOLATION of liveness after ${fault.name}: ${error}`);
    return recoveryLimitMs;
  });
  weather.recoveriesMs.push(recoveryMs);
  log(`${fault.name} ${Math.round(healedAt - startedAt)} ms, back after ${Math.round(recoveryMs)} ms`);
};

const watch = async ({ checker, log }: StormOptions, weather: Weather): Promise<void> => {
  while (!weather.isOver()) {
    await pause(checkEveryMs);
    const found = await checker.running();
    weather.violations.push(...found);
    for (const { check, what } of found) log(`VIOLATION of ${check}: ${what}`);
  }
};

/** What is not delivered, or not even fanned out: each event of the storm is for somebody. */
const unfinishedSql = `
  select from outbox.deliveries where status in ('pending', 'held')
  union all
  select from outbox.events as e
  where e.topic like 'order.%' and not exists (select from outbox.deliveries as d where d.event_id = e.id)
  limit 1`;

/** A forbidden address is final. All names are mended now, so a person redrives what a slow worker still saw go astray. */
const redriveBlockedSql = `
  select r.id from (select 1 where exists (select from outbox.deliveries where status = 'dead' and error_code = 'blocked_address')) as b
  cross join lateral (
    select event_id as id from outbox.redrive(error_code => 'blocked_address', statuses => '{dead}', max => 100000)
  ) as r`;

/** Waits until nothing is left to deliver; @returns the seconds. */
const rest = async ({ admin, line, producerLine }: Stage): Promise<number> => {
  const startedAt = performance.now();
  await Promise.all([line.heal(), producerLine.heal()]);
  const unfinished = async (): Promise<boolean> =>
    (await admin.query(redriveBlockedSql)).length > 0 || (await admin.query(unfinishedSql)).length > 0;
  while ((await unfinished()) && performance.now() - startedAt < restLimitMs) await pause(100);
  return (performance.now() - startedAt) / 1000;
};

/** Plays a storm on a stage that has no sinks yet. */
export const playStorm = async (options: StormOptions): Promise<StormReport> => {
  const { stage, checker, faults, profile, log } = options;
  const missing: Record<string, string> = {};
  for (const { name, missing: why } of faults) {
    const reason = why?.(stage);
    if (reason !== undefined) missing[name] = reason;
  }
  const possible = faults.filter(({ name }) => missing[name] === undefined);
  await openSinks(stage);
  await using probe = await openProbe(stage);
  await Promise.all(Array.from({ length: workers }, () => stage.fleet.start()));
  await probe.arrivesAfterMs(recoveryLimitMs);

  const startedAt = performance.now();
  const seconds = (): number => (performance.now() - startedAt) / 1000;
  const struck = (): number => Object.values(weather.faults).reduce((sum, n) => sum + n, 0);
  const isDone = (): boolean =>
    seconds() > profile.stormSeconds && struck() >= profile.faults && stage.producers.acknowledged() >= profile.events;
  const weather: Weather = {
    faults: {},
    recoveriesMs: [],
    broken: [],
    violations: [],
    isOver: () => weather.violations.length > 0 || isDone() || seconds() > patience * profile.stormSeconds,
  };
  await stage.producers.start({
    processes: 3,
    tenants,
    eventsPerSecond: profile.eventsPerSecond,
    eventsMax: Number.POSITIVE_INFINITY,
    styles: ["single", "single", "rows", "copy", "deferred", "savepoint", "rollback", "long"],
  });
  const blow = async (lane: Fault["lane"]): Promise<void> => {
    const ofLane = possible.filter((fault) => fault.lane === lane);
    if (ofLane.length === 0) return;
    const next = createDeck(ofLane, stage.random);
    while (!weather.isOver()) await strike(next(), options, probe, weather);
  };
  await Promise.all([...lanes.map(blow), watch(options, weather)]);

  log(
    `the storm is over after ${Math.round(seconds())} s: ${struck()} faults, ${stage.producers.acknowledged()} events`,
  );
  await stage.producers.stop();
  options.onCalm();
  const restSeconds = await rest(stage);
  const violations = [...weather.violations.filter(({ check }) => check === "liveness"), ...(await checker.atRest())];
  await stage.fleet.stop();
  return {
    seconds: seconds(),
    faults: weather.faults,
    missing,
    recoveriesMs: weather.recoveriesMs,
    restSeconds,
    violations,
    broken: weather.broken,
  };
};
