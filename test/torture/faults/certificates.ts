/** Receivers whose certificate is not theirs, is too old, or is nobody's. */
import type { Fault, Sink } from "../stage.ts";
import { last, pickWebhook } from "./support.ts";

const isHttps = ({ url }: Sink): boolean => url.startsWith("https:");

const certificates = ["expired", "other_host", "unknown_authority"] as const;

export const certificateFaults: readonly Fault[] = certificates.map((certificate) => ({
  name: `certificate_${certificate}`,
  lane: "edge",
  strike: async (stage, random) => {
    const { name } = pickWebhook(stage, random, isHttps);
    try {
      await stage.sinks.present(name, certificate);
      await last(random, 500, 2_000);
    } finally {
      await stage.sinks.present(name, "good");
    }
  },
}));
