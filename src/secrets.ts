/**
 * Sealing of destination secrets: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce. The seal is bound to tenant,
 * destination, name and version, so a row that is copied elsewhere does not open. Keys come from the environment and are
 * never in the database.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { PostriderError } from "./errors.ts";

/** A key and the id under which sealed rows name it. */
export interface SealingKey {
  readonly id: string;
  readonly key: Buffer;
}

/** What a seal is bound to. */
export interface SealedPlace {
  readonly tenantId: string;
  readonly destinationId: string;
  readonly name: string;
  readonly version: number;
}

const nonceBytes = 12;
const tagBytes = 16;
const boundTo = (place: SealedPlace) =>
  Buffer.from(JSON.stringify([place.tenantId, place.destinationId, place.name, place.version]));

/**
 * Parses POSTRIDER_KEYS: `id:base64,id:base64`, 32 bytes each. The first seals, all open.
 * @throws Error that says which key is wrong
 */
export const parseKeys = (text: string): readonly SealingKey[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean)
    .map((part) => {
      const [, id, encoded] = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/=_-]+)$/.exec(part) ?? [];
      const key = Buffer.from(encoded ?? "", "base64");
      if (id === undefined || key.length !== 32) {
        throw new Error(
          "must be a list of id:key, where key is 32 bytes in base64, such as k1:$(openssl rand -base64 32)",
        );
      }
      return Object.freeze({ id, key });
    });

/** Seals a value with the first key: base64 of nonce, ciphertext and tag. */
export const seal = (value: string, place: SealedPlace, { key }: SealingKey): string => {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(boundTo(place));
  return Buffer.concat([nonce, cipher.update(value, "utf8"), cipher.final(), cipher.getAuthTag()]).toString("base64");
};

/**
 * Opens what `seal` made.
 * @throws PostriderError POSTRIDER_SECRET_UNAVAILABLE when the key is missing or the seal belongs to another place
 */
export const open = (sealed: string, keyId: string, place: SealedPlace, keys: readonly SealingKey[]): string => {
  const key = keys.find(({ id }) => id === keyId)?.key;
  if (key === undefined) {
    throw new PostriderError(
      "POSTRIDER_SECRET_UNAVAILABLE",
      `secret ${place.name} is sealed with key "${keyId}", which POSTRIDER_KEYS of this worker does not have`,
    );
  }
  const bytes = Buffer.from(sealed, "base64");
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, nonceBytes))
      .setAAD(boundTo(place))
      .setAuthTag(bytes.subarray(-tagBytes));
    return decipher.update(bytes.subarray(nonceBytes, -tagBytes), undefined, "utf8") + decipher.final("utf8");
  } catch (cause) {
    throw new PostriderError(
      "POSTRIDER_SECRET_UNAVAILABLE",
      `secret ${place.name} does not open with key "${keyId}": the key changed, or the row was copied from elsewhere; give the destination its secret again`,
      { cause },
    );
  }
};
