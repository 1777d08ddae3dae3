/** Which sink wants which event: the harness' own reading of what subscriptions promise. */
import type { IntendedEvent, Sink } from "../stage.ts";

/** Every pattern that wants this topic: `*`, each prefix with `.*`, and the topic itself. */
export const candidatesOf = (topic: string): readonly string[] => {
  const words = topic.split(".");
  const prefixes = words.slice(1).map((_, n) => `${words.slice(0, n + 1).join(".")}.*`);
  return ["*", ...prefixes, topic];
};

/** Whether the tenant of the sink is that of the event. */
export const isOfTenant = (sink: Pick<Sink, "tenant">, { tenant }: IntendedEvent): boolean => sink.tenant === tenant;

/** Whether the event is to arrive at the sink. */
export const wants = (sink: Pick<Sink, "tenant" | "topics" | "amountMin">, event: IntendedEvent): boolean => {
  if (!isOfTenant(sink, event) || event.amount < (sink.amountMin ?? Number.NEGATIVE_INFINITY)) return false;
  const candidates = candidatesOf(event.topic);
  return sink.topics.some((topic) => candidates.includes(topic));
};
