/** A root whose key is never online, with its subordinate CAs and its CRLs: all by the OpenSSL command line. */
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface OfflineRootOptions {
  /** Attributes of the subject, in order. */
  readonly subject: Readonly<Record<string, string>>;
  /** As a preset wants it, hex; the hash of the key when absent. */
  readonly keyId?: string;
  readonly key: 'RSA-4096' | 'RSA-3072' | 'RSA-2048' | 'P-384' | 'P-256' | 'secp256k1';
  /** Default: keyCertSign and cRLSign. */
  readonly keyUsage?: string;
  readonly crlUrl?: string;
}

export interface SubordinateCa {
  /** Upper-case hex, as OpenSSL writes it. */
  readonly serial: string;
  /** PEM. */
  readonly file: string;
}

/** As the CAs of requirements 2.1 sign with such keys. */
const DIGESTS: Readonly<Partial<Record<OfflineRootOptions['key'], string>>> = {
  'RSA-4096': '-sha384',
  'P-384': '-sha384',
};

export class OfflineRoot {
  readonly directory = mkdtempSync(join(tmpdir(), 'certstatus-offline-root-'));
  readonly certificateFile = join(this.directory, 'root.pem');
  readonly keyFile = join(this.directory, 'root.key');
  #count = 0;

  constructor({ subject, keyId = 'hash', key, keyUsage = 'keyCertSign, cRLSign', crlUrl }: OfflineRootOptions) {
    mkdirSync(join(this.directory, 'new'));
    for (const file of ['index.txt', 'crlnumber']) writeFileSync(join(this.directory, file), '');
    const name = Object.entries(subject).map(([type, value]) => `${type} = ${value}`);
    writeFileSync(
      join(this.directory, 'root.cnf'),
      `[req]
prompt = no
string_mask = nombstr
distinguished_name = name
[name]
${name.join('\n')}
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, ${keyUsage}
subjectKeyIdentifier = ${keyId}
[subordinate]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
${crlUrl === undefined ? '' : `crlDistributionPoints = URI:${crlUrl}`}
[ca]
default_ca = default
[default]
database = index.txt
new_certs_dir = new
certificate = root.pem
private_key = root.key
serial = serial
crlnumber = crlnumber
default_md = sha256
default_days = 1000
default_crl_days = 60
unique_subject = no
policy = policy
crl_extensions = crl_extensions
[policy]
countryName = optional
organizationName = optional
commonName = supplied
[crl_extensions]
authorityKeyIdentifier = keyid
`,
    );
    this.generateKey('root.key', key);
    this.run('req', '-x509', '-new', '-key', 'root.key', '-config', 'root.cnf', '-extensions', 'root', '-days', '7300', DIGESTS[key] ?? '-sha256', '-out', 'root.pem'); // prettier-ignore
  }

  /** @returns its path. */
  generateKey(name: string, type: OfflineRootOptions['key']): string {
    const options = type.startsWith('RSA')
      ? ['-algorithm', 'RSA', '-pkeyopt', `rsa_keygen_bits:${type.slice(4)}`]
      : ['-algorithm', 'EC', '-pkeyopt', `ec_paramgen_curve:${type}`];
    this.run('genpkey', ...options, '-out', name);
    return join(this.directory, name);
  }

  issueSubordinate(): SubordinateCa {
    const name = `sub-${++this.#count}`;
    this.run('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/C=JP/O=certstatus tests/CN=${name}`, '-config', 'root.cnf'); // prettier-ignore
    this.run('ca', '-config', 'root.cnf', '-batch', '-notext', '-rand_serial', '-extensions', 'subordinate', '-in', `${name}.csr`, '-out', `${name}.pem`); // prettier-ignore
    const file = join(this.directory, `${name}.pem`);
    return { serial: new X509Certificate(readFileSync(file)).serialNumber, file };
  }

  revoke({ file }: SubordinateCa, reason = 'cessationOfOperation'): void {
    this.run('ca', '-config', 'root.cnf', '-revoke', file, '-crl_reason', reason);
  }

  /** `openssl ca -gencrl`. @returns the file, PEM. @param number decimal. */
  generateCrl(number: bigint, ...how: readonly string[]): string {
    const hex = number.toString(16);
    writeFileSync(join(this.directory, 'crlnumber'), `${hex.padStart(hex.length + (hex.length % 2), '0')}\n`);
    const name = `crl-${number}.pem`;
    this.run('ca', '-config', 'root.cnf', '-gencrl', '-out', name, ...how);
    return join(this.directory, name);
  }

  /** Makes OpenSSL forget that anything was revoked. */
  forgetRevocations(): void {
    writeFileSync(join(this.directory, 'index.txt'), '');
  }

  /** @returns standard output. @throws with OpenSSL's own words. */
  run(...args: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync('openssl', args, { cwd: this.directory, encoding: 'utf8' });
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** What OpenSSL says, whether or not it is content. */
  ask(...args: readonly string[]): { readonly ok: boolean; readonly text: string } {
    const { status, stdout, stderr } = spawnSync('openssl', args, { cwd: this.directory, encoding: 'utf8' });
    return { ok: status === 0, text: stdout + stderr };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
