/** All mutants. */
import { claimMutants } from "./defects/claims.ts";
import { clockMutants } from "./defects/clock.ts";
import { fanOutMutants } from "./defects/fan_out.ts";
import { messageMutants } from "./defects/messages.ts";
import { networkMutants } from "./defects/network.ts";
import { outcomeMutants } from "./defects/outcomes.ts";
import { secretMutants } from "./defects/secrets.ts";
import type { Mutant } from "./mutant.ts";

export type { Mutant } from "./mutant.ts";

export const mutants: readonly Mutant[] = [
  ...fanOutMutants,
  ...claimMutants,
  ...clockMutants,
  ...outcomeMutants,
  ...messageMutants,
  ...networkMutants,
  ...secretMutants,
];
