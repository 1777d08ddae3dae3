/** The process of a webhook sink, seen from outside: it is told what holds, dies, and comes back as it was. */
import type { Manner } from "../stage.ts";
import type { CertificateName } from "./authority.ts";
import { type Child, startChild } from "./child.ts";
import type { Circumstances } from "./manners.ts";

/** What never changes. */
export interface SinkPlace extends Circumstances {
  readonly name: string;
  readonly folder: string;
  readonly host: string;
  readonly port: number;
  /** The folder of the certificates, for https. */
  readonly certificates: string | undefined;
}

export interface SinkState {
  readonly manner: Manner;
  readonly certificate: CertificateName;
  readonly secrets: readonly string[];
}

export interface SinkOrder {
  readonly place: SinkPlace;
  readonly state: SinkState;
}

/** Something that receives in a process of its own. */
export interface Receiver extends AsyncDisposable {
  readonly kill: () => Promise<void>;
  readonly start: () => Promise<void>;
}

export interface WebhookSink extends Receiver {
  readonly state: SinkState;
  /** Resolves when it holds; for a sink that is dead when it is back. */
  readonly change: (changes: Partial<SinkState>) => Promise<void>;
}

/** Makes a sink that is still to be started. */
export const createWebhookSink = (place: SinkPlace, secret: string): WebhookSink => {
  let state: SinkState = { manner: "well", certificate: "good", secrets: [secret] };
  let child: Child | undefined;
  const inform = async (): Promise<void> => {
    const told = child;
    await told?.tell({ place, state } satisfies SinkOrder).catch((error: unknown) => {
      if (told === child) throw error;
    });
  };
  const kill = async (): Promise<void> => {
    const dying = child;
    child = undefined;
    await dying?.kill();
  };
  return {
    get state() {
      return state;
    },
    change: async (changes) => {
      state = { ...state, ...changes };
      await inform();
    },
    start: async () => {
      child ??= startChild("sink-process.ts");
      await inform();
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
};
