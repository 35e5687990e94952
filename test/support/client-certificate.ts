/** Client certificates of the CA that `init` makes for the intake: one for each person or system of a test. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Credentials } from './service.ts';

/** In `intake`, the directory of client-ca.pem, as `<name>.pem` and `<name>.key`. */
export function clientCertificate(intake: string, name: string): Credentials {
  const openssl = (...args: string[]): Buffer =>
    execFileSync('openssl', args, { cwd: intake, stdio: ['ignore', 'pipe', 'pipe'] });
  writeFileSync(join(intake, 'empty.cnf'), '[req]\ndistinguished_name=dn\n[dn]\n');
  openssl(
    'req',
    '-config',
    'empty.cnf',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    `/CN=${name}`,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.csr`,
  );
  writeFileSync(join(intake, 'client.ext'), 'extendedKeyUsage=clientAuth\n');
  openssl(
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    '-CA',
    'client-ca.pem',
    '-CAkey',
    'client-ca.key',
    '-days',
    '2',
    '-set_serial',
    `0x${randomBytes(8).toString('hex')}`,
    '-extfile',
    'client.ext',
    '-out',
    `${name}.pem`,
  );
  return { cert: readFileSync(join(intake, `${name}.pem`)), key: readFileSync(join(intake, `${name}.key`)) };
}
