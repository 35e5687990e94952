/** A CA as a preset describes it: name, string types, key and key identifier, with what it issues. All by the OpenSSL command line. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OfflineRoot, type OfflineRootOptions } from './offline-root.ts';

export interface Issued {
  readonly file: string;
  /** Upper-case hex, as OpenSSL writes it. */
  readonly serial: string;
  readonly der: Buffer;
}

export class PresetCa extends OfflineRoot {
  readonly #key: OfflineRootOptions['key'];
  #issued = 0;

  constructor(options: OfflineRootOptions) {
    super(options);
    this.#key = options.key;
  }

  /** What the CA is for: a certificate that names these URLs. */
  issueLeaf(ocspUrl: string, crlUrl: string): Issued {
    const extensions = `basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
authorityKeyIdentifier = keyid
authorityInfoAccess = OCSP;URI:${ocspUrl}
crlDistributionPoints = URI:${crlUrl}
`;
    return this.#issue('P-256', '/C=JP/O=certstatus tests/CN=leaf', extensions, 90);
  }

  /** Another CA below it. */
  issueAuthority(): Issued {
    const extensions = `basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
authorityKeyIdentifier = keyid
`;
    return this.#issue('P-256', '/C=JP/O=certstatus tests/CN=subordinate', extensions, 1000);
  }

  /** A delegated responder, with its key. */
  issueResponder(subject: string, key: OfflineRootOptions['key'], days = 90): Issued & { readonly keyFile: string } {
    const extensions = `basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
`;
    const issued = this.#issue(key, subject, extensions, days);
    return { ...issued, keyFile: issued.file.replace(/pem$/, 'key') };
  }

  /** A CRL of what was revoked by hand, with the hash that goes with the key (BR 7.1.3.2.2). */
  signCrl(number: bigint): string {
    return this.generateCrl(number, '-md', this.#digest);
  }

  get #digest(): string {
    return this.#key === 'P-384' || this.#key === 'RSA-4096' ? 'sha384' : 'sha256';
  }

  #issue(key: OfflineRootOptions['key'], subject: string, extensions: string, days: number): Issued {
    const name = `issued-${++this.#issued}`;
    const at = (suffix: string): string => join(this.directory, `${name}.${suffix}`);
    writeFileSync(at('cnf'), `[extensions]\n${extensions}`);
    this.generateKey(`${name}.key`, key);
    this.run('req', '-new', '-key', at('key'), '-out', at('csr'), '-subj', subject, '-config', 'root.cnf');
    // Both ends count (SR-6.3.2-b), so the last second is left out.
    const [start, end] = [0, days * 86_400_000 - 1000].map((ms) => utc(Math.floor(Date.now() / 1000) * 1000 + ms));
    this.run('ca', '-config', 'root.cnf', '-batch', '-notext', '-rand_serial', '-md', this.#digest, '-startdate', start as string, '-enddate', end as string, '-extfile', at('cnf'), '-extensions', 'extensions', '-in', at('csr'), '-out', at('pem')); // prettier-ignore
    const { serialNumber, raw } = new X509Certificate(readFileSync(at('pem')));
    return { file: at('pem'), serial: serialNumber, der: raw };
  }
}

/** YYYYMMDDHHMMSSZ */
function utc(instant: number): string {
  return `${new Date(instant).toISOString().replace(/\D/g, '').slice(0, 14)}Z`;
}
