/**
 * Checks AWS Signature Version 4 as the services do, made from its description alone
 * (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { ReceivedRequest } from "./receiver.ts";

/** Who may sign, and for what. */
export interface SigningScope {
  readonly region: string;
  readonly service: string;
  /** Secret access keys by access key ID. */
  readonly keys: Readonly<Record<string, string>>;
  /** Session tokens by access key ID, where there must be one. */
  readonly sessionTokens?: Readonly<Record<string, string>>;
}

export const region = "eu-west-1";
/** Access keys as destinations are given them. */
export const accessKeys = {
  access_key_id: ["AKIDEXAMPLE"],
  secret_access_key: ["wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"],
};

/** The scope in which {@link accessKeys} are good. */
export const scopeOf = (service: string): SigningScope => ({
  region,
  service,
  keys: { [accessKeys.access_key_id[0] ?? ""]: accessKeys.secret_access_key[0] ?? "" },
});

const pattern =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/;
const skewMaxMs = 300_000;
const neverUnsigned = ["host", "x-amz-date"];

const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

const timeOf = (date: string): number =>
  Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));

/** Requests of these services go to a plain path without a query. */
const canonicalRequest = ({ method, path, headers, rawBody }: ReceivedRequest, signed: readonly string[]): string =>
  [
    method,
    path,
    "",
    ...signed.map((name) => `${name}:${String(headers[name] ?? "").trim()}`),
    "",
    signed.join(";"),
    sha256(rawBody),
  ].join("\n");

/**
 * @returns what the service calls the mistake, or undefined when the signature is right
 */
export function signatureProblem(request: ReceivedRequest, scope: SigningScope): string | undefined {
  const parts = pattern.exec(request.headers.authorization ?? "");
  if (parts === null) return "MissingAuthenticationTokenException";
  const [, keyId = "", day = "", region = "", service = "", names = "", signature = ""] = parts;
  const secret = scope.keys[keyId];
  const token = request.headers["x-amz-security-token"];
  if (secret === undefined || token !== scope.sessionTokens?.[keyId]) return "UnrecognizedClientException";
  const signed = names.split(";");
  const date = String(request.headers["x-amz-date"]);
  const mustBeSigned = Object.keys(request.headers).filter((name) => name.startsWith("x-amz-"));
  if (region !== scope.region || service !== scope.service || !date.startsWith(day)) return "InvalidSignatureException";
  if (![...neverUnsigned, ...mustBeSigned].every((name) => signed.includes(name))) return "InvalidSignatureException";
  if (!(Math.abs(Date.now() - timeOf(date)) < skewMaxMs)) return "RequestTimeTooSkewedException";
  const toSign = ["AWS4-HMAC-SHA256", date, `${day}/${region}/${service}/aws4_request`];
  const key = [day, region, service, "aws4_request"].reduce<string | Buffer>(hmac, `AWS4${secret}`);
  const expected = hmac(key, [...toSign, sha256(canonicalRequest(request, signed))].join("\n"));
  return timingSafeEqual(expected, Buffer.from(signature, "hex")) ? undefined : "InvalidSignatureException";
}
