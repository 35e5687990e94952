/** TLS server certificates of the CA that `init` makes for the intake, made by OpenSSL: what an ACME client would put in place. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * In `intake`, the directory of client-ca.pem, as `<name>.pem` and `<name>.key`, for this machine's loopback names. Returns its serial as hex.
 * @param dates notBefore and notAfter as `YYYYMMDDHHMMSSZ`; absent: valid now, for two days.
 */
export function serverCertificate(
  intake: string,
  name: string,
  serial: string,
  dates?: readonly [string, string],
): string {
  const openssl = (...args: readonly string[]): void => void execFileSync('openssl', args, { cwd: intake, stdio: 'pipe' }); // prettier-ignore
  writeFileSync(
    join(intake, `${name}.cnf`),
    [
      '[req]\ndistinguished_name=dn\n[dn]\n',
      `[ca]\ndefault_ca=own\n[own]\ndatabase=${name}.index\nserial=${name}.serial\nnew_certs_dir=.\n`,
      'certificate=client-ca.pem\nprivate_key=client-ca.key\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n',
      '[ext]\nsubjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\nextendedKeyUsage=serverAuth\n',
    ].join(''),
  );
  writeFileSync(join(intake, `${name}.index`), '');
  writeFileSync(join(intake, `${name}.serial`), `${serial}\n`);
  openssl('req', '-config', `${name}.cnf`, '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=intake', '-keyout', `${name}.key`, '-out', `${name}.csr`); // prettier-ignore
  const validity = dates === undefined ? ['-days', '2'] : ['-startdate', dates[0], '-enddate', dates[1]];
  openssl('ca', '-batch', '-config', `${name}.cnf`, '-notext', '-in', `${name}.csr`, '-extensions', 'ext', ...validity, '-out', `${name}.pem`); // prettier-ignore
  return serial;
}
