/**
 * A Google service account: who it is and how it shows that to an API without asking anybody for a token. It signs a JWT
 * for the API itself (https://google.aip.dev/auth/4111), so that no address in the account's JSON is ever used.
 */
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { z } from "zod";

/** What is taken out of the JSON; nothing else of it is looked at. */
export interface ServiceAccount {
  readonly email: string;
  readonly key: KeyObject;
  /** Tells Google which of the account's keys signed. */
  readonly keyId: string | undefined;
}

/** Makes the `authorization` header of a request. */
export type Authorize = (now: Date) => string;

const fields = z.object({
  client_email: z.string().min(3).max(320),
  private_key: z.string().min(1),
  private_key_id: z.string().max(128).optional(),
});

const tokenSeconds = 3_600;
/** A token is replaced before anyone can find it expired. */
const renewSeconds = 300;

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
};

const readKey = (pem: string): KeyObject | undefined => {
  try {
    const key = createPrivateKey({ key: pem, format: "pem" });
    return key.asymmetricKeyType === "rsa" ? key : undefined;
  } catch {
    return undefined;
  }
};

/**
 * Reads the JSON that Google gives for a service account.
 * @returns the account, or a sentence about what is wrong that holds nothing of the text
 */
export const readServiceAccount = (text: string): ServiceAccount | string => {
  const json = parseJson(text);
  if (typeof json !== "object" || json === null) return "it is not a JSON object";
  if (!("type" in json) || json.type !== "service_account") {
    return 'its type is not "service_account": create a key of a service account, of type JSON, and give that';
  }
  const { success, data, error } = fields.safeParse(json);
  if (!success) return `its ${error.issues[0]?.path.join(".")} is missing or not usable`;
  const key = readKey(data.private_key);
  if (key === undefined) return "its private_key is not an RSA key in PEM";
  return { email: data.client_email, key, keyId: data.private_key_id };
};

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

const signToken = ({ email, key, keyId }: ServiceAccount, audience: string, issuedAt: number): string => {
  const header = { alg: "RS256", typ: "JWT", ...(keyId !== undefined && { kid: keyId }) };
  const claims = { iss: email, sub: email, aud: audience, iat: issuedAt, exp: issuedAt + tokenSeconds };
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
};

/**
 * Bearer tokens of an account, each used for most of its hour.
 * @param audience the API, such as `https://pubsub.googleapis.com/`
 */
export const createAuthorize = (account: ServiceAccount, audience: string): Authorize => {
  let token = "";
  let issuedAt = Number.NEGATIVE_INFINITY;
  return (now) => {
    const seconds = Math.floor(now.getTime() / 1_000);
    if (Math.abs(seconds - issuedAt) > tokenSeconds - renewSeconds) {
      token = signToken(account, audience, seconds);
      issuedAt = seconds;
    }
    return `Bearer ${token}`;
  };
};
