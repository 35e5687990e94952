/** A CA and its delegated responder, made by the openssl command: an authority that shares no code with ours. */
import { execFileSync } from 'node:child_process';
import { createHash, createPrivateKey, sign, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate } from '@peculiar/asn1-x509';
import { ResponseTemplate } from '../../src/core/ocsp/response.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';

export interface Authority {
  readonly dir: string;
  /** Runs openssl in `dir`; stdout and stderr together. @throws when it exits with another code than 0 */
  openssl(...args: string[]): string;
  write(name: string, octets: Uint8Array): string;
  read(name: string): Buffer;
  readonly ca: Member;
  readonly responder: Member;
  readonly hashes: ReturnType<typeof issuerHashes>;
  /** Delegated. */
  readonly template: ResponseTemplate;
  /** Signed by the CA itself. */
  readonly direct: ResponseTemplate;
  remove(): void;
}

export interface Member {
  readonly der: Buffer;
  readonly pem: string;
  readonly key: KeyObject;
  readonly subject: Buffer;
  /** SHA-1 of the BIT STRING value. */
  readonly keyHash: Buffer;
}

export function makeAuthority(algorithm: 'ec' | 'rsa' = 'ec'): Authority {
  const dir = mkdtempSync(join(tmpdir(), 'certstatus-test-'));
  const openssl = (...args: string[]): string =>
    execFileSync('openssl', args, { cwd: dir, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const newKey = algorithm === 'ec' ? ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] : ['rsa:2048'];
  writeFileSync(join(dir, 'config'), '[req]\ndistinguished_name=dn\n[dn]\n');
  const request = ['req', '-config', 'config', '-newkey', ...newKey, '-nodes', '-sha256'];
  openssl(...request, '-x509', '-days', '30', '-subj', '/C=JP/O=Test/CN=Test CA', '-keyout', 'ca.key', '-out', 'ca.pem',
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'subjectKeyIdentifier=hash', '-addext', 'keyUsage=critical,keyCertSign,cRLSign,digitalSignature'); // prettier-ignore
  openssl(...request, '-subj', '/C=JP/O=Test/CN=Test Responder', '-keyout', 'responder.key', '-out', 'responder.csr');
  writeFileSync(
    join(dir, 'extensions'),
    'keyUsage=critical,digitalSignature\nextendedKeyUsage=OCSPSigning\nnoCheck=ignored\nauthorityKeyIdentifier=keyid\n',
  );
  openssl('x509', '-req', '-in', 'responder.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '20', '-sha256',
    '-set_serial', '0x1001', '-extfile', 'extensions', '-out', 'responder.pem'); // prettier-ignore

  const ca = member(dir, 'ca');
  const responder = member(dir, 'responder');
  const hashes = issuerHashes(ca.der);
  return {
    dir,
    openssl,
    write: (name, octets) => (writeFileSync(join(dir, name), octets), name),
    read: (name) => readFileSync(join(dir, name)),
    ca,
    responder,
    hashes,
    template: new ResponseTemplate({
      issuer: hashes,
      responderKeyHash: responder.keyHash,
      responderCertificate: responder.der,
      algorithm: algorithmFor(responder.key, 'key'),
    }),
    direct: new ResponseTemplate({
      issuer: hashes,
      responderKeyHash: ca.keyHash,
      responderCertificate: undefined,
      algorithm: algorithmFor(ca.key, 'key'),
    }),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

export function signWith(member: Member, octets: Uint8Array): Buffer {
  return sign('sha256', octets, member.key);
}

/** The four hashes of a CertID's issuer, from the CA certificate as another library reads it (O-20). */
export function issuerHashes(caDer: Uint8Array) {
  const { subject, key } = read(caDer);
  const of = (hash: string) => ({
    name: createHash(hash).update(subject).digest(),
    key: createHash(hash).update(key).digest(),
  });
  return { sha1: of('sha1'), sha256: of('sha256') };
}

function member(dir: string, name: string): Member {
  const pem = readFileSync(join(dir, `${name}.pem`), 'utf8');
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const { subject, key } = read(der);
  return {
    der,
    pem,
    key: createPrivateKey(readFileSync(join(dir, `${name}.key`))),
    subject,
    keyHash: createHash('sha1').update(key).digest(),
  };
}

function read(der: Uint8Array): { subject: Buffer; key: Buffer } {
  const { tbsCertificate } = AsnConvert.parse(der, Certificate);
  return {
    subject: Buffer.from(AsnConvert.serialize(tbsCertificate.subject)),
    key: Buffer.from(tbsCertificate.subjectPublicKeyInfo.subjectPublicKey),
  };
}
