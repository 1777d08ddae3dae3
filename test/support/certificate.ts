/** Certificates for servers of tests, made by openssl. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Why tests that need certificates are left out, or false. */
export const withoutOpenssl =
  spawnSync("openssl", ["version"]).status === 0 ? false : "needs openssl to make certificates";

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** A self-signed certificate for an alternative name such as `DNS:a.test` or `IP:127.0.0.1`. */
export const createCertificate = (name: string): Certificate => {
  const folder = mkdtempSync(join(tmpdir(), "certificate-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const shape = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  const subject = ["-subj", "/CN=test", "-addext", `subjectAltName=${name}`];
  execFileSync("openssl", ["req", "-x509", ...shape, ...subject, "-keyout", key, "-out", cert], { stdio: "pipe" });
  const made = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  rmSync(folder, { recursive: true });
  return made;
};
