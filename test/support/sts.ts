/** STS's AssumeRole on the loopback address, in the words of the AWS query protocol; the SDK finds it in its environment. */
import { type ReceivedRequest, type Receiver, type Reply, startReceiver } from "./receiver.ts";
import { region, type SigningScope, signatureProblem } from "./sigv4.ts";

/** The worker's own credentials, as its environment holds them. */
const own = { AWS_ACCESS_KEY_ID: "AKIDWORKER", AWS_SECRET_ACCESS_KEY: "the worker's own secret" };
/** Those of the role: what destinations are reached with. */
export const roleScope = (service: string): SigningScope => ({
  region,
  service,
  keys: { ASIDROLE: "the role's secret" },
  sessionTokens: { ASIDROLE: "the+role/s=token" },
});

export interface Sts extends AsyncDisposable {
  readonly receiver: Receiver;
  /** The parameters of each request. */
  readonly requests: () => readonly Readonly<Record<string, string>>[];
  readonly intercept: (next: () => Reply | undefined) => void;
  /** How long the next credentials last; default an hour. */
  readonly expireIn: (seconds: number) => void;
}

const assumed = (seconds: number): Reply => ({
  headers: { "content-type": "text/xml" },
  body: `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIDROLE</AccessKeyId><SecretAccessKey>the role's secret</SecretAccessKey>
<SessionToken>the+role/s=token</SessionToken>
<Expiration>${new Date(Date.now() + seconds * 1_000).toISOString()}</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>`,
});

/** An error in the words of the query protocol. */
export const stsError = (status: number, code: string): Reply => ({
  status,
  headers: { "content-type": "text/xml" },
  body: `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>AKIDWORKER may not</Message></Error></ErrorResponse>`,
});

/** Sets variables of this process's environment (undefined takes one out), and puts back what was there. */
export const withEnvironment = (variables: Readonly<Record<string, string | undefined>>): Disposable => {
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  const set = (values: Readonly<Record<string, string | undefined>>): void => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  set(variables);
  return { [Symbol.dispose]: () => set(before) };
};

const parametersOf = ({ rawBody }: ReceivedRequest): Readonly<Record<string, string>> =>
  Object.fromEntries(new URLSearchParams(rawBody.toString()));

/** Starts STS for a worker that has credentials of its own. */
export async function startSts(): Promise<Sts> {
  const scope = { region, service: "sts", keys: { [own.AWS_ACCESS_KEY_ID]: own.AWS_SECRET_ACCESS_KEY } };
  let intercept: () => Reply | undefined = () => undefined;
  let seconds = 3_600;
  const receiver = await startReceiver({
    respond: (request) => {
      const problem = signatureProblem(request, scope);
      return problem === undefined ? (intercept() ?? assumed(seconds)) : stsError(403, problem);
    },
  });
  const environment = withEnvironment({ ...own, AWS_SESSION_TOKEN: undefined, AWS_ENDPOINT_URL_STS: receiver.url });
  return {
    receiver,
    requests: () => receiver.requests.map(parametersOf),
    intercept: (next) => {
      intercept = next;
    },
    expireIn: (next) => {
      seconds = next;
    },
    [Symbol.asyncDispose]: async () => {
      environment[Symbol.dispose]();
      await receiver.close();
    },
  };
}
