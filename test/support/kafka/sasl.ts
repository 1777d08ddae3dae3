/** The server's side of SASL PLAIN (RFC 4616) and SCRAM (RFC 5802), for one connection. */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** The answer to a message of the client; undefined refuses it. */
export interface SaslStep {
  readonly answer: string | undefined;
  readonly done: boolean;
}

export type SaslExchange = (message: string) => SaslStep;

const refused: SaslStep = { answer: undefined, done: true };
const iterations = 4096;

const plain =
  ({ username, password }: Credentials): SaslExchange =>
  (message) => {
    const [, user, word] = message.split("\0");
    return user === username && word === password ? { answer: "", done: true } : refused;
  };

const attribute = (message: string, name: string): string =>
  message
    .split(",")
    .find((part) => part.startsWith(`${name}=`))
    ?.slice(2) ?? "";

const scram = ({ username, password }: Credentials, digest: "sha256" | "sha512"): SaslExchange => {
  const salt = randomBytes(16);
  const hmac = (key: Buffer, text: string): Buffer => createHmac(digest, key).update(text).digest();
  const salted = pbkdf2Sync(password, salt, iterations, digest === "sha256" ? 32 : 64, digest);
  let first = "";
  let challenge = "";
  const start = (message: string): SaslStep => {
    first = message.replace(/^n,,/, "");
    if (attribute(first, "n") !== username) return refused;
    const nonce = attribute(first, "r") + randomBytes(12).toString("hex");
    challenge = `r=${nonce},s=${salt.toString("base64")},i=${iterations}`;
    return { answer: challenge, done: false };
  };
  const finish = (message: string): SaslStep => {
    const signed = `${first},${challenge},${message.replace(/,p=.*$/, "")}`;
    const storedKey = createHash(digest).update(hmac(salted, "Client Key")).digest();
    const signature = hmac(storedKey, signed);
    const proof = Buffer.from(message.replace(/^.*,p=/, ""), "base64");
    const clientKey = Buffer.from(proof.map((byte, n) => byte ^ (signature[n] ?? 0)));
    if (!timingSafeEqual(createHash(digest).update(clientKey).digest(), storedKey)) return refused;
    return { answer: `v=${hmac(hmac(salted, "Server Key"), signed).toString("base64")}`, done: true };
  };
  return (message) => (challenge === "" ? start(message) : finish(message));
};

/** The mechanisms by the names of the protocol. */
export const saslMechanisms: Readonly<Record<string, (credentials: Credentials) => SaslExchange>> = {
  PLAIN: plain,
  "SCRAM-SHA-256": (credentials) => scram(credentials, "sha256"),
  "SCRAM-SHA-512": (credentials) => scram(credentials, "sha512"),
};
