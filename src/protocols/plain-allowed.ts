/** Whether the operator lets connections go without encryption at all: the same switch for every protocol. */
import type { Dialler } from "../outbound.ts";

/** Plain text is allowed where `http:` is. A URL without a host of its own asks nothing else. */
export const isPlainAllowed = (dialler: Dialler): boolean =>
  dialler.checkSyntax(new URL("http://plain.example")).kind === "allowed";
