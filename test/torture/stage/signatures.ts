/** The signatures of Standard Webhooks 1.0.0, checked by code of the stage's own. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

/** Says whether one of the signatures was made with one of the secrets (`whsec_...`). */
export const isSignedWith = (secrets: readonly string[], headers: IncomingHttpHeaders, body: Buffer): boolean => {
  const signatures = String(headers["webhook-signature"])
    .split(" ")
    .flatMap((text) => (text.startsWith("v1,") ? [Buffer.from(text.slice("v1,".length), "base64")] : []));
  return secrets.some((secret) => {
    const mac = createHmac("sha256", Buffer.from(secret.slice("whsec_".length), "base64"))
      .update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`)
      .update(body)
      .digest();
    return signatures.some((signature) => signature.length === mac.length && timingSafeEqual(signature, mac));
  });
};
