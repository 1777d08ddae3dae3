/**
 * What waits to be claimed, in flows that take turns: a flood stands before nobody but itself, and whoever answers slowly
 * holds no more than a share of the places. It knows nothing of time but ticks, so that a process that stood still does not
 * take all its flows for slow.
 */
import { Fifo } from "./fifo.ts";

/** Places that one flow may hold for each place that is free: a single flow gets three quarters of all, and some stay free for the next. */
const placesForEachFree = 3;
/** A flow at its share waits until it is down to this part of it (which has grown by what became free): then it is claimed for in a large batch. */
const resumeShare = 1 / 5;
/** A flow with more waiting is heavy: a job brings 100. */
const lightMax = 100;
/** A flow that waits at its share for so many ticks is slow; where jobs run out, one that got no answer for so few is too. */
const slowTicks = 10;
const hastyTicks = 2;
/** What a slow flow has given away comes back at its own pace, after 2 seconds to 10 minutes. */
const delayTicksMin = 40;
const delayTicksMax = 12_000;
/** A flow's pace is measured over the last minute or two. */
const paceTicks = 1_200;

/** A tick, in milliseconds. */
export const tickMs = 50;

/**
 * Light flows have little waiting. Heavy ones have more than a job brings, until they are through, or their last claim brought
 * nothing: the database may have to hold back each of theirs. Both are taken from apart, so that the light wait for no heavy ones.
 */
export type Weight = "light" | "heavy";

/** Flows that take turns, and how many items wait in them. */
interface Rota<T> {
  readonly flows: Fifo<Flow<T>>;
  ready: number;
}

/** Items that came together, most likely with one job. */
interface Group<T> {
  readonly items: readonly T[];
  taken: number;
}

interface Flow<T> {
  readonly groups: Fifo<Group<T>>;
  weight: Weight;
  /** Its last claim brought nothing. */
  vain: boolean;
  waiting: number;
  underWay: number;
  /** Since which tick it waits at its share. */
  parkedAt: number | undefined;
  /** How many had ended then. */
  endedBefore: number;
  /** It waited for long when it last did. */
  slow: boolean;
  /** What ended since, for its pace. */
  ended: number;
  since: number;
  /** When what it gave away last comes back. */
  backAt: number;
}

/** What a slow flow gives away, and when it wants it back. */
export interface Surplus<T> {
  readonly items: readonly T[];
  readonly delaysMs: readonly number[];
}

/** A queue of flows that take turns, within their shares of places that all of them use. */
export class FairQueue<T> {
  readonly #flows = new Map<string, Flow<T>>();
  readonly #turns: Readonly<Record<Weight, Rota<T>>> = {
    light: { flows: new Fifo(), ready: 0 },
    heavy: { flows: new Fifo(), ready: 0 },
  };
  readonly #parked = new Set<Flow<T>>();
  #now = 0;
  #size = 0;
  #limited = true;

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** How many wait whose flow is not at its share. */
  ready(weight: Weight): number {
    return this.#turns[weight].ready;
  }

  /** Puts items that came together behind those of their flow. */
  add(name: string, items: readonly T[]): void {
    let flow = this.#flows.get(name);
    if (flow === undefined) {
      flow = {
        groups: new Fifo(),
        weight: "light",
        vain: false,
        waiting: 0,
        underWay: 0,
        parkedAt: undefined,
        endedBefore: 0,
        slow: false,
        ended: 0,
        since: this.#now,
        backAt: 0,
      };
      this.#flows.set(name, flow);
    }
    flow.groups.push({ items, taken: 0 });
    if (flow.parkedAt === undefined) {
      const turns = this.#turns[flow.weight];
      if (flow.waiting === 0) turns.flows.push(flow);
      turns.ready += items.length;
    }
    flow.waiting += items.length;
    this.#size += items.length;
    this.#weigh(flow);
  }

  /**
   * The next item of the flow whose turn it is, if there is one within its share. It is under way until `ended`.
   * @param free how many places are free, the one that it takes included
   */
  shift(free: number, weight: Weight): T | undefined {
    const turns = this.#turns[weight];
    for (let flow = turns.flows.shift(); flow !== undefined; flow = turns.flows.shift()) {
      if (this.#limited && flow.underWay >= shareOf(free)) {
        flow.parkedAt = this.#now;
        flow.endedBefore = flow.ended;
        this.#parked.add(flow);
        turns.ready -= flow.waiting;
        continue;
      }
      const group = flow.groups.first as Group<T>;
      const item = group.items[group.taken++] as T;
      if (group.taken === group.items.length) flow.groups.shift();
      flow.underWay += 1;
      flow.waiting -= 1;
      this.#size -= 1;
      turns.ready -= 1;
      if (flow.waiting > 0) turns.flows.push(flow);
      else this.#weigh(flow);
      return item;
    }
    return undefined;
  }

  /**
   * One that was taken out of this flow has ended: it holds no place any more.
   * @param free how many places are free now
   */
  ended(name: string, free: number): void {
    const flow = this.#flows.get(name) as Flow<T>;
    flow.underWay -= 1;
    flow.ended += 1;
    if (flow.parkedAt !== undefined && flow.underWay <= shareOf(free) * resumeShare) this.#resume(flow);
    if (flow.underWay === 0 && flow.waiting === 0) this.#flows.delete(name);
  }

  /** Whether the last claim of a flow, of which something is under way, brought nothing. */
  claimed(name: string, inVain: boolean): void {
    const flow = this.#flows.get(name) as Flow<T>;
    flow.vain = inVain;
    this.#weigh(flow);
  }

  /** Time passes: to be called each {@link tickMs}. */
  tick(): void {
    this.#now += 1;
  }

  /**
   * Takes out what slow flows have waiting beyond a reserve: what came together comes out together, the newest first.
   * @param groupsMax how many groups all slow flows may keep waiting, in equal parts
   * @param isHasty flows without an answer count as slow sooner
   */
  shed(groupsMax: number, isHasty = false): readonly Surplus<T>[] {
    for (const flow of this.#parked) flow.slow ||= this.#waited(flow) >= slowTicks;
    const slow = [...this.#parked].filter((flow) => flow.slow || (isHasty && this.#isSilent(flow)));
    const reserve = Math.floor(groupsMax / slow.length);
    return slow.flatMap((flow) => this.#shedOf(flow, reserve));
  }

  /** No flow is held to its share any more. */
  unlimit(): void {
    this.#limited = false;
    for (const flow of this.#parked) this.#resume(flow);
  }

  #shedOf(flow: Flow<T>, reserve: number): Surplus<T>[] {
    const shed: Surplus<T>[] = [];
    while (flow.groups.length > reserve) {
      const { items, taken } = flow.groups.pop() as Group<T>;
      const left = items.slice(taken);
      flow.waiting -= left.length;
      this.#size -= left.length;
      shed.push({ items: left, delaysMs: left.map(() => this.#delayOf(flow) * tickMs) });
    }
    return shed;
  }

  /** In how many ticks one more comes back, when what is under way counts as nearly through: its pace is not known sooner. */
  #delayOf(flow: Flow<T>): number {
    const elapsed = Math.max(this.#now - flow.since, 1);
    const pace = (flow.ended + flow.underWay) / elapsed;
    flow.backAt = Math.max(flow.backAt, this.#now + delayTicksMin) + 1 / pace;
    if (elapsed > 2 * paceTicks) {
      flow.since = this.#now - elapsed / 2;
      flow.ended /= 2;
    }
    return Math.round(Math.min(flow.backAt - this.#now, delayTicksMax));
  }

  #waited({ parkedAt = this.#now }: Flow<T>): number {
    return this.#now - parkedAt;
  }

  #isSilent(flow: Flow<T>): boolean {
    return flow.ended === flow.endedBefore && this.#waited(flow) >= hastyTicks;
  }

  #resume(flow: Flow<T>): void {
    flow.slow = this.#waited(flow) >= slowTicks;
    flow.parkedAt = undefined;
    this.#parked.delete(flow);
    this.#enter(flow);
  }

  #weigh(flow: Flow<T>): void {
    const isHeavy = flow.vain || flow.waiting > (flow.weight === "heavy" ? 0 : lightMax);
    const weight = isHeavy ? "heavy" : "light";
    if (weight === flow.weight) return;
    if (flow.parkedAt === undefined && flow.waiting > 0) {
      const turns = this.#turns[flow.weight];
      turns.flows.remove(flow);
      turns.ready -= flow.waiting;
    }
    flow.weight = weight;
    this.#enter(flow);
  }

  /** Its turn will come, if something waits and it is not at its share. */
  #enter(flow: Flow<T>): void {
    if (flow.parkedAt !== undefined || flow.waiting === 0) return;
    const turns = this.#turns[flow.weight];
    turns.flows.push(flow);
    turns.ready += flow.waiting;
  }
}

const shareOf = (free: number): number => Math.max(1, placesForEachFree * free);
