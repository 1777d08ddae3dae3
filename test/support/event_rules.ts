/** What EventBridge does beside taking events, as far as tests ask for it: buses, and rules that bring events to queues. */
import type { EventEntry } from "./eventbridge.ts";

/** The rules of all buses. */
export interface EventRules {
  /** Does what a request other than PutEvents asks for. @returns whether there is such a request */
  readonly manage: (operation: string, input: RuleRequest) => boolean;
  /** Brings an event to the queues that its bus has for it. */
  readonly route: (entry: EventEntry) => void;
}

/** What the requests of interest have among their fields. */
interface RuleRequest {
  readonly Name?: string;
  readonly Rule?: string;
  readonly EventBusName?: string;
  /** Understood are lists of sources. */
  readonly EventPattern?: string;
  readonly Targets?: readonly { readonly Arn: string }[];
}

interface Rule {
  readonly bus: string;
  readonly sources: readonly string[];
  readonly queues: string[];
}

/** @param put sends a message to the queue of this name */
export const startEventRules = (put: (queue: string, body: string) => void): EventRules => {
  const rules = new Map<string, Rule>();
  const operations: Readonly<Record<string, (input: RuleRequest) => unknown>> = {
    CreateEventBus: () => {},
    DeleteEventBus: () => {},
    PutRule: ({ Name = "", EventBusName: bus = "", EventPattern = "{}" }) =>
      rules.set(Name, { bus, sources: JSON.parse(EventPattern).source, queues: [] }),
    DeleteRule: ({ Name = "" }) => rules.delete(Name),
    PutTargets: ({ Rule = "", Targets = [] }) =>
      rules.get(Rule)?.queues.push(...Targets.map(({ Arn }) => Arn.replace(/^.*:/, ""))),
    RemoveTargets: ({ Rule = "" }) => rules.get(Rule)?.queues.splice(0),
  };
  return {
    manage: (operation, input) => {
      const done = operations[operation];
      done?.(input);
      return done !== undefined;
    },
    route: ({ EventBusName, Source = "", DetailType, Detail = "{}" }) => {
      const body = JSON.stringify({ source: Source, "detail-type": DetailType, detail: JSON.parse(Detail) });
      for (const { bus, sources, queues } of rules.values()) {
        if (bus === EventBusName && sources.includes(Source)) for (const queue of queues) put(queue, body);
      }
    },
  };
};
