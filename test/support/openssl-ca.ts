/**
 * A CA kept by the real `openssl ca`, in a directory of its own: the files that operators bring along, written by the
 * program that they use. One key and one request serve all certificates, and one `openssl ca` run signs a thousand of
 * them, so 10,000 certificates take a few seconds.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface OpensslCaOptions {
  /** Subject of the CA, in OpenSSL's notation. */
  readonly subject?: string;
  readonly key?: 'P-256' | 'RSA-2048';
  /** Where the responder will listen: goes into each certificate's AIA. */
  readonly ocspUrl?: string;
  /** Where the CRL will be: goes into each certificate's CRL distribution points. */
  readonly crlUrl?: string;
}

export interface IssueOptions {
  readonly count?: number;
  readonly subject?: string;
  /** Hex serial of the first certificate, counting up from there; random when absent. */
  readonly serial?: string;
  /** YYYYMMDDHHMMSSZ. */
  readonly notBefore?: string;
  /** YYYYMMDDHHMMSSZ. */
  readonly notAfter?: string;
  readonly kind?: 'leaf' | 'precertificate' | 'responder' | 'client' | 'subca';
  /** Other URLs than the CA's own, for these certificates. */
  readonly urls?: Pick<OpensslCaOptions, 'ocspUrl' | 'crlUrl'>;
}

export interface ResponderOptions {
  readonly key?: 'P-256' | 'RSA-2048';
  /** YYYYMMDDHHMMSSZ, default 60 days from now. */
  readonly notAfter?: string;
}

export interface IssuedFile {
  /** As OpenSSL writes it: upper-case hex. */
  readonly serial: string;
  /** PEM. */
  readonly file: string;
}

export class OpensslCa {
  readonly directory = mkdtempSync(join(tmpdir(), 'certstatus-openssl-ca-'));
  readonly certificateFile = join(this.directory, 'ca.pem');
  readonly keyFile = join(this.directory, 'ca.key');
  readonly indexFile = join(this.directory, 'index.txt');
  /** The key of every certificate that is no responder's. */
  readonly leafKeyFile = join(this.directory, 'leaf.key');

  constructor(options: OpensslCaOptions = {}) {
    mkdirSync(join(this.directory, 'new'));
    writeFileSync(join(this.directory, 'ca.cnf'), configuration(options));
    writeFileSync(this.indexFile, '');
    writeFileSync(join(this.directory, 'serial'), '01\n');
    writeFileSync(join(this.directory, 'crlnumber'), '01\n');
    const [subject, key] = [options.subject ?? '/C=JP/O=certstatus tests/CN=Test CA', options.key ?? 'P-256'];
    this.#run(
      'req',
      '-x509',
      ...newKey(key),
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
      '-days',
      '3650',
      '-subj',
      subject,
      '-config',
      'ca.cnf',
      '-extensions',
      'ca_extensions',
    );
    this.#run(
      'req',
      '-new',
      ...newKey('P-256'),
      '-keyout',
      'leaf.key',
      '-out',
      'leaf.csr',
      '-subj',
      '/CN=leaf',
      '-config',
      'ca.cnf',
    );
  }

  /** Certificates in the order of issue; each is in a file named after its serial. */
  issue(options: IssueOptions = {}): readonly IssuedFile[] {
    const { count = 1, subject, serial, notBefore, notAfter, kind = 'leaf', urls } = options;
    if (urls !== undefined) writeFileSync(join(this.directory, 'other.cnf'), configuration(urls));
    return this.#issueFrom(
      'leaf.csr',
      count,
      [
        ...(subject === undefined ? [] : ['-utf8', '-subj', subject]),
        ...(serial === undefined ? ['-rand_serial'] : []),
        ...(notBefore === undefined ? [] : ['-startdate', notBefore]),
        ...(notAfter === undefined ? [] : ['-enddate', notAfter]),
        ...(urls === undefined ? [] : ['-extfile', 'other.cnf']),
        ...['-extensions', kind],
      ],
      serial,
    );
  }

  /** A delegated responder certificate with a key of its own (RFC 6960 §4.2.2.2). @param notBefore YYYYMMDDHHMMSSZ, default now */
  issueResponder(
    notBefore?: string,
    { key = 'P-256', notAfter }: ResponderOptions = {},
  ): IssuedFile & { readonly keyFile: string } {
    this.#run(
      'req',
      '-new',
      ...newKey(key),
      '-keyout',
      'responder.key',
      '-out',
      'responder.csr',
      '-subj',
      '/C=JP/O=certstatus tests/CN=Test OCSP responder',
      '-config',
      'ca.cnf',
    );
    const issued = this.issueResponderFrom('responder.csr', notBefore, notAfter);
    return { ...issued, keyFile: join(this.directory, 'responder.key') };
  }

  /** The same from somebody else's certification request, a file in this directory. */
  issueResponderFrom(request: string, notBefore?: string, notAfter?: string): IssuedFile {
    const start = notBefore === undefined ? [] : ['-startdate', notBefore];
    const end = notAfter === undefined ? ['-days', '60'] : ['-enddate', notAfter];
    const args = ['-rand_serial', ...start, ...end, '-extensions', 'responder'];
    return this.#issueFrom(request, 1, args, undefined)[0] as IssuedFile;
  }

  /** @param how e.g. `-crl_reason superseded`, in words. */
  revoke(certificate: IssuedFile, ...how: readonly string[]): void {
    this.#run('ca', '-config', 'ca.cnf', '-revoke', certificate.file, ...how);
  }

  /** Makes E of the V rows that are past notAfter. */
  updateDatabase(): void {
    this.#run('ca', '-config', 'ca.cnf', '-updatedb');
  }

  /** Signs a CRL of the revoked rows. */
  generateCrl(): { readonly pem: string; readonly der: string } {
    this.#run('ca', '-config', 'ca.cnf', '-gencrl', '-out', 'crl.pem');
    this.#run('crl', '-in', 'crl.pem', '-outform', 'DER', '-out', 'crl.der');
    return { pem: join(this.directory, 'crl.pem'), der: join(this.directory, 'crl.der') };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #issueFrom(
    request: string,
    count: number,
    args: readonly string[],
    serial: string | undefined,
  ): readonly IssuedFile[] {
    if (serial !== undefined) writeFileSync(join(this.directory, 'serial'), `${serial}\n`);
    const before = this.#serials().length;
    for (let left = count; left > 0; left -= BATCH) {
      const requests = Array.from({ length: Math.min(left, BATCH) }, () => request);
      this.#run('ca', '-config', 'ca.cnf', '-batch', '-notext', '-out', 'out.pem', ...args, '-infiles', ...requests);
    }
    return this.#serials()
      .slice(before)
      .map((issued) => ({ serial: issued, file: join(this.directory, 'new', `${issued}.pem`) }));
  }

  #serials(): readonly string[] {
    const lines = readFileSync(this.indexFile, 'latin1').split('\n');
    return lines.filter((line) => line !== '').map((line) => line.split('\t')[3] as string);
  }

  #run(...args: readonly string[]): void {
    const logFile = join(this.directory, 'openssl.log');
    // `openssl ca` describes each certificate on stderr: megabytes that only a failure needs.
    const log = openSync(logFile, 'w');
    const { status, error } = spawnSync('openssl', args, { cwd: this.directory, stdio: ['ignore', 'ignore', log] });
    closeSync(log);
    if (error !== undefined) throw error;
    if (status !== 0)
      throw new Error(`openssl ${args.slice(0, 12).join(' ')}: ${readFileSync(logFile, 'utf8').slice(-2000)}`);
  }
}

/** One random serial begins each run and the next ones count up from it, so smaller runs spread the serials. */
const BATCH = 1000;

function newKey(key: 'P-256' | 'RSA-2048'): readonly string[] {
  return key === 'P-256'
    ? ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    : ['-newkey', 'rsa:2048', '-nodes'];
}

function configuration({ ocspUrl, crlUrl }: OpensslCaOptions): string {
  const urls = [
    ...(ocspUrl === undefined ? [] : [`authorityInfoAccess = OCSP;URI:${ocspUrl}`]),
    ...(crlUrl === undefined ? [] : [`crlDistributionPoints = URI:${crlUrl}`]),
  ].join('\n');
  const leaf = `basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
authorityKeyIdentifier = keyid
${urls}`;
  return `[ca]
default_ca = default
[default]
database = index.txt
new_certs_dir = new
certificate = ca.pem
private_key = ca.key
serial = serial
crlnumber = crlnumber
default_md = sha256
default_days = 90
default_crl_days = 4
unique_subject = no
policy = policy
crl_extensions = crl_extensions
[policy]
countryName = optional
organizationName = optional
commonName = supplied
[ca_extensions]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[crl_extensions]
authorityKeyIdentifier = keyid
[leaf]
${leaf}
[precertificate]
${leaf}
1.3.6.1.4.1.11129.2.4.3 = critical, DER:0500
[subca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
authorityKeyIdentifier = keyid
${urls}
[client]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
[responder]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[req]
distinguished_name = distinguished_name
[distinguished_name]
`;
}
