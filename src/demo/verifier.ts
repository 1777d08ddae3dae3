/** How a receiver checks a signature: with the reference library of Standard Webhooks, where that is installed. */
import { createHmac, timingSafeEqual } from "node:crypto";

/** Whether a request was signed with the secret. */
export interface Verifier {
  /** Who verifies, for people. */
  readonly name: string;
  readonly verify: (secret: string, headers: Readonly<Record<string, string>>, body: string) => boolean;
}

/** Section "Signature scheme" of the specification: `v1` is the HMAC-SHA256 of `id.timestamp.body`. */
export const verifyWithNode: Verifier["verify"] = (secret, headers, body) => {
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const expected = Buffer.from(`v1,${createHmac("sha256", key).update(signed).digest("base64")}`);
  return (headers["webhook-signature"] ?? "").split(" ").some((signature) => {
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
};

/** The library in a clone; a few lines of node:crypto where only the published package is. */
export const createVerifier = async (): Promise<Verifier> => {
  const library = await import("standardwebhooks").catch(() => undefined);
  if (library === undefined) return { name: "node:crypto", verify: verifyWithNode };
  return {
    name: "the standardwebhooks library",
    verify: (secret, headers, body) => {
      try {
        new library.Webhook(secret).verify(body, headers);
        return true;
      } catch {
        return false;
      }
    },
  };
};
