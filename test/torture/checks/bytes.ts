/** What arrives is what was inserted, byte for byte, and signed with a secret that was valid. */
import type { Arrival } from "./books.ts";

export const changedIn = ({ entry, sink, arrived: { id, event }, nth }: Arrival): readonly string[] => {
  if (event === undefined || nth === 0) return [];
  const { intended } = event;
  const at = `${id} (${intended.mark}) at ${sink.name}`;
  const isSigned = sink.type === "webhook" ? entry.signature === "good" : entry.signature !== "bad";
  return [
    ...(entry.hash === intended.hash ? [] : [`${at}: other bytes, of hash ${entry.hash} and mark "${entry.mark}"`]),
    ...(isSigned ? [] : [`${at}: the signature is ${entry.signature}`]),
  ];
};
