/** EventBridge's PutEvents on the loopback address: signatures, limits, and a failure for each entry that deserves one. */
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { Arrivals } from "./arrivals.ts";
import type { EventRules } from "./event_rules.ts";
import { type ReceivedRequest, type Receiver, type Reply, startReceiver } from "./receiver.ts";
import { type SigningScope, signatureProblem } from "./sigv4.ts";

/** An entry as it is on the wire; the time in seconds. */
export interface EventEntry {
  readonly EventBusName?: string;
  readonly Source?: string;
  readonly DetailType?: string;
  readonly Detail?: string;
  readonly Time?: number;
  readonly Resources?: readonly string[];
  readonly TraceHeader?: string;
}

export interface EventBridge extends AsyncDisposable {
  readonly receiver: Receiver;
  readonly events: Arrivals<EventEntry>;
  readonly openConnections: () => number;
  /** What is answered instead, for whole requests. */
  readonly intercept: (next: (entries: readonly EventEntry[], request: ReceivedRequest) => Reply) => void;
  /** An error code for entries that fail. */
  readonly failEntries: (next: (entry: EventEntry) => string | undefined) => void;
}

const contentType = "application/x-amz-json-1.1";
const bytesMax = 262_144;

const answer = (status: number, body: object): Reply => ({
  status,
  headers: { "content-type": contentType, "x-amzn-requestid": "request-1" },
  body: JSON.stringify(body),
});

/** An error in the words of the JSON protocol. */
export const eventsError = (status: number, type: string, message = "no"): Reply =>
  answer(status, { __type: type, message });

const sizeOf = ({ Time, Source = "", DetailType = "", Detail = "", Resources = [] }: EventEntry): number =>
  [Source, DetailType, Detail, ...Resources].reduce(
    (bytes, text) => bytes + Buffer.byteLength(text),
    Time === undefined ? 0 : 14,
  );

const isObject = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
};

const entryProblem = ({ Source = "", DetailType = "", Detail = "" }: EventEntry): string | undefined => {
  if (Source === "" || DetailType === "" || Detail === "") return "InvalidArgument";
  if (Source.startsWith("aws.")) return "NotAuthorizedForSource";
  return isObject(Detail) ? undefined : "MalformedDetail";
};

/** What is answered to a request that has no events, or is not to be believed. */
const answerWithoutEvents = (request: ReceivedRequest, scope: SigningScope, rules: EventRules | undefined): Reply => {
  const problem = signatureProblem(request, scope);
  if (problem !== undefined) return eventsError(problem.startsWith("Invalid") ? 403 : 400, problem);
  const { "x-amz-target": target, "content-type": type } = request.headers;
  const operation = String(target).replace(/^AWSEvents\./, "");
  if (operation === "PutEvents" && type === contentType) return undefined;
  const isManaged = rules?.manage(operation, JSON.parse(request.rawBody.toString())) ?? false;
  return isManaged ? answer(200, {}) : eventsError(400, "UnknownOperationException");
};

/** Starts EventBridge. The address takes any bus; what its events are brought to is for the rules to say, if there are any. */
export async function startEventBridge(scope: SigningScope, rules?: EventRules): Promise<EventBridge> {
  const sockets = new Set<Socket>();
  const events = new Arrivals<EventEntry>();
  let intercept: Parameters<EventBridge["intercept"]>[0] = () => undefined;
  let failing: Parameters<EventBridge["failEntries"]>[0] = () => undefined;
  const put = (entry: EventEntry): object => {
    const ErrorCode = failing(entry) ?? entryProblem(entry);
    if (ErrorCode !== undefined) return { ErrorCode, ErrorMessage: "no" };
    events.add(entry);
    rules?.route(entry);
    return { EventId: randomUUID() };
  };
  const receiver = await startReceiver({
    respond: (request, { socket }) => {
      if (socket !== null && !sockets.has(socket)) {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
      }
      const answered = answerWithoutEvents(request, scope, rules);
      if (answered !== undefined) return answered;
      const { Entries } = JSON.parse(request.rawBody.toString()) as { readonly Entries: readonly EventEntry[] };
      const instead = intercept(Entries, request);
      if (instead !== undefined) return instead;
      const bytes = Entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
      if (Entries.length < 1 || Entries.length > 10 || bytes > bytesMax) return eventsError(400, "ValidationException");
      const results = Entries.map(put);
      return answer(200, { FailedEntryCount: results.filter((one) => "ErrorCode" in one).length, Entries: results });
    },
  });
  return {
    receiver,
    events,
    openConnections: () => sockets.size,
    intercept: (next) => {
      intercept = next;
    },
    failEntries: (next) => {
      failing = next;
    },
    [Symbol.asyncDispose]: async () => {
      events.close();
      await receiver.close();
    },
  };
}
