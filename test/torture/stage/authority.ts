/** The stage's own certificate authority, made by openssl, and what it has signed: a good certificate and wrong ones. */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { createCertificate } from "../../support/certificate.ts";
import type { Sinks } from "../stage.ts";

export type CertificateName = Parameters<Sinks["present"]>[1];

export interface Authority {
  /** What a worker must trust (NODE_EXTRA_CA_CERTS). */
  readonly file: string;
  /** Where `<certificate>.key` and `<certificate>.pem` lie. */
  readonly folder: string;
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Makes the authority and the certificates of the domain `torture.test`, in a folder of their own. */
export const createAuthority = async (parent: string): Promise<Authority> => {
  const folder = join(parent, "certificates");
  await mkdir(folder, { recursive: true });
  const openssl = (...args: readonly string[]) => promisify(execFile)("openssl", args, { cwd: folder });
  await openssl("req", "-x509", ...newKey, "-days", "2", "-subj", "/CN=Torture", "-keyout", "ca.key", "-out", "ca.pem");

  const sign = async (name: CertificateName, host: string, days: number): Promise<void> => {
    await openssl("req", ...newKey, "-subj", "/CN=sink", "-keyout", `${name}.key`, "-out", `${name}.csr`);
    await writeFile(join(folder, `${name}.ext`), `subjectAltName=DNS:${host}\n`);
    const authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", String(days)];
    const request = ["-req", "-in", `${name}.csr`, "-days", String(days), "-extfile", `${name}.ext`];
    await openssl("x509", ...request, ...authority, "-out", `${name}.pem`);
  };
  const { key, cert } = createCertificate("DNS:*.torture.test");
  await Promise.all([
    sign("good", "*.torture.test", 1),
    sign("other_host", "*.elsewhere.test", 1),
    sign("expired", "*.torture.test", 0),
    writeFile(join(folder, "unknown_authority.key"), key),
    writeFile(join(folder, "unknown_authority.pem"), cert),
  ]);
  return { folder, file: join(folder, "ca.pem") };
};
