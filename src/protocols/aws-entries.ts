/** Entries of batch requests: how many travel together, and how none fails for the sake of its neighbours. */
import type { Outcome } from "../destination.ts";

/** A message as an entry of a request, and its size as the service counts it. */
export interface Sized<Entry> {
  readonly entry: Entry;
  readonly bytes: number;
}

interface Requests<Entry> {
  /** Requests follow one another, because the order of the messages counts; none follows one that is to be retried. */
  readonly ordered: boolean;
  /** @returns an outcome for each entry, or one for the request as a whole */
  readonly send: (entries: readonly Entry[]) => Promise<readonly Outcome[] | Outcome>;
}

/** How entries are sent. */
export interface SendOptions<Entry> extends Requests<Entry> {
  /** Of all entries of one request together. */
  readonly bytesMax: number;
}

const isOutcome = (value: object): value is Outcome => "kind" in value;
const isOne = (answer: readonly Outcome[] | Outcome): answer is Outcome => !Array.isArray(answer);

/** Neighbours in as few requests as their sizes allow. */
const packed = <T extends { readonly bytes: number }>(items: readonly T[], bytesMax: number): readonly T[][] => {
  const groups: T[][] = [];
  let room = 0;
  for (const item of items) {
    const group = groups.at(-1);
    if (group === undefined || item.bytes > room) {
      groups.push([item]);
      room = bytesMax - item.bytes;
    } else {
      group.push(item);
      room -= item.bytes;
    }
  }
  return groups;
};

/** A refusal of a whole request may be about one of its entries: then each is sent alone. */
const isAboutContent = (outcome: Outcome): boolean =>
  outcome.kind === "dead" && /^(rejected|too_large)$/.test(outcome.code);

/** Groups one after another. Where order counts, what follows a retry is not sent, but retried as well: it would overtake. */
const inTurn = async <Entry>(
  groups: readonly (readonly Entry[])[],
  options: Requests<Entry>,
): Promise<readonly Outcome[]> => {
  const outcomes: Outcome[] = [];
  for (const group of groups) {
    const failed = options.ordered ? outcomes.find(({ kind }) => kind === "retry") : undefined;
    outcomes.push(...(failed === undefined ? await sendGroup(group, options) : group.map(() => failed)));
  }
  return outcomes;
};

const sendGroup = async <Entry>(entries: readonly Entry[], options: Requests<Entry>): Promise<readonly Outcome[]> => {
  const answer = await options.send(entries);
  if (!isOne(answer)) return answer;
  if (entries.length === 1 || !isAboutContent(answer)) return entries.map(() => answer);
  return inTurn(
    entries.map((entry) => [entry]),
    options,
  );
};

/**
 * Sends messages in as few requests as their sizes allow.
 *
 * @param prepared an entry for each message, or its outcome if it cannot be sent
 * @returns an outcome for each message, in their order
 */
export const sendEntries = async <Entry>(
  prepared: readonly (Sized<Entry> | Outcome)[],
  options: SendOptions<Entry>,
): Promise<readonly Outcome[]> => {
  const sized = prepared.filter((each): each is Sized<Entry> => !isOutcome(each));
  const groups = packed(sized, options.bytesMax).map((group) => group.map(({ entry }) => entry));
  const outcomes = options.ordered
    ? await inTurn(groups, options)
    : (await Promise.all(groups.map((group) => sendGroup(group, options)))).flat();
  const answered = outcomes[Symbol.iterator]();
  return prepared.map((each) => (isOutcome(each) ? each : (answered.next().value as Outcome)));
};
