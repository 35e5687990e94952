/**
 * The demonstration: a CA, its responder certificate, three subscriber certificates (valid, revoked, expired), TLS material for the intake and
 * a configuration that uses them. Three pieces, each made whole or not at all and never touched again, so that a run that was cut short is
 * completed by the next one. Its CA key lies in a file: nobody else should ever trust this CA.
 */
import { createHash, generateKeyPair, type KeyObject, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseDocument } from 'yaml';
import { certificatesFromFile, type Extension, readCertificate } from '../core/certificate-reader.ts';
import { accessUrls, crlDistributionPoints } from '../core/certificate-extensions.ts';
import * as write from '../core/certificate-writer.ts';
import type { Reason } from '../core/reason.ts';
import type { Serial } from '../core/serial.ts';
import { DAY, type EpochMs, HOUR, parseRfc3339, rfc3339, SECOND, wholeSecond } from '../core/time.ts';
import { type DirectoryDraft, makeDirectory, writeFileDurably } from './durable-files.ts';
import { deployFile } from './deploy-file.ts';

export interface DemoPorts {
  readonly public: number;
  readonly origin: number | 'off';
  readonly intake: number;
  readonly admin: number;
}

/** What a caller needs to record the three certificates and to print commands. Paths are below the data directory. */
export interface Demo {
  readonly issuerId: 'demo';
  /** False when everything was there already. */
  readonly created: boolean;
  readonly configFile: string;
  readonly caCertificate: string;
  /** As the sample certificates name them: with the public port of the run that made them. */
  readonly ocspUrl: string;
  readonly caIssuersUrl: string;
  readonly crlUrl: string;
  readonly samples: {
    readonly valid: Sample;
    readonly revoked: Sample & { readonly revocation: SampleRevocation };
    readonly expired: Sample;
  };
}

export interface Sample {
  readonly certificate: string;
  readonly key: string;
  readonly serial: Serial;
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
}

export interface SampleRevocation {
  readonly revokedAt: EpochMs;
  readonly reason: Reason;
}

/** Makes what is missing below `dataDir` and says what is there. A second run finds everything as it was. */
export async function createDemo(dataDir: string, ports: DemoPorts, nowMs: EpochMs): Promise<Demo> {
  const issuerDirectory = join(dataDir, 'issuers', 'demo');
  const madeIssuer = await makeOnce(issuerDirectory, () => demoIssuer(ports, wholeSecond(nowMs)));
  const madeIntake = await createIntakeMaterial(dataDir, nowMs);
  const configFile = join(dataDir, 'certstatus.yaml');
  const madeConfig = !existsSync(configFile);
  if (madeConfig) writeFileDurably(configFile, exampleConfig(ports));
  return {
    issuerId: 'demo',
    created: madeIssuer || madeIntake || madeConfig,
    configFile,
    ...readDemo(issuerDirectory),
  };
}

/**
 * `<data>/intake`: a private CA, a server certificate for this machine's loopback names and a client certificate `operator`.
 * False when the directory is there already.
 */
export function createIntakeMaterial(dataDir: string, nowMs: EpochMs): Promise<boolean> {
  return makeOnce(join(dataDir, 'intake'), () => intakeMaterial(wholeSecond(nowMs)));
}

/** deploy/certstatus.example.yaml with these ports, comments and all: what `certstatus init` writes. */
export function exampleConfig(ports: DemoPorts): string {
  const document = parseDocument(readFileSync(deployFile('certstatus.example.yaml'), 'utf8'));
  for (const listener of ['public', 'intake', 'admin'] as const)
    document.setIn(['listen', listener, 'port'], ports[listener]);
  if (ports.origin === 'off') document.setIn(['listen', 'origin'], 'off');
  else document.setIn(['listen', 'origin', 'port'], ports.origin);
  return document.toString({ lineWidth: 0 });
}

type Fill = (draft: DirectoryDraft) => void;

async function makeOnce(directory: string, prepare: () => Promise<Fill>): Promise<boolean> {
  if (existsSync(directory)) return false;
  const fill = await prepare();
  try {
    makeDirectory(directory, fill);
    return true;
  } catch (error) {
    // Another process was first: what it made is as good.
    if (['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

const CA_NAME = demoName('certstatus demo CA');

async function demoIssuer(ports: DemoPorts, now: EpochMs): Promise<Fill> {
  const [ca, responder, valid, revoked, expired] = await Promise.all([rsaKey(), ecKey(), ecKey(), ecKey(), ecKey()]);
  const host = `http://127.0.0.1:${ports.public}`;
  const issue = (
    cn: string,
    key: Key,
    notBefore: EpochMs,
    notAfter: EpochMs,
    extensions: readonly Extension[],
  ): Buffer =>
    write.writeCertificate(
      {
        serial: randomSerial(),
        issuerDer: CA_NAME,
        subjectDer: demoName(cn),
        notBefore,
        notAfter,
        spkiDer: key.spkiDer,
        extensions,
      },
      ca.privateKey,
    );
  const keyIds = (key: Key): readonly Extension[] => [
    write.authorityKeyIdentifierExtension(ca.keyId),
    write.subjectKeyIdentifierExtension(key.keyId),
  ];
  // CT-6.3.2-b: no more than 120 months.
  const caCertificate = issue('certstatus demo CA', ca, now - 365 * DAY, now + 9 * 365 * DAY - SECOND, [
    write.basicConstraints(true, 0),
    write.keyUsageExtension('keyCertSign', 'cRLSign'),
    write.subjectKeyIdentifierExtension(ca.keyId),
  ]);
  // 004 App. B in its order (CT-B-OCSP-8 to 13); 90 days, both ends counted (T-21).
  const responderCertificate = issue(
    'certstatus demo CA OCSP Responder',
    responder,
    now - HOUR,
    now - HOUR + 90 * DAY - SECOND,
    [
      write.basicConstraints(false),
      write.ocspNoCheck(),
      write.keyUsageExtension('digitalSignature'),
      write.extKeyUsage('OCSPSigning'),
      ...keyIds(responder),
    ],
  );
  const subscriber = (name: string, key: Key, notBefore: EpochMs, notAfter: EpochMs): Buffer =>
    issue(`${name}.demo.test`, key, notBefore, notAfter, [
      write.basicConstraints(false),
      write.keyUsageExtension('digitalSignature'),
      write.extKeyUsage('serverAuth'),
      write.subjectAltName([`${name}.demo.test`, 'localhost']),
      ...keyIds(key),
      write.crlDistributionPoint(`${host}/SureServer/demo/cdp.crl`),
      write.authorityInfoAccess({ ocsp: `${host}/OcspServer`, caIssuers: `${host}/SureServer/demo/demo.crt` }),
    ]);
  return (draft) => {
    draft.write('issuer.yaml', ISSUER_YAML);
    draft.write('ca.pem', write.pem('CERTIFICATE', caCertificate));
    draft.write('ca.key', ca.pem, 0o600);
    draft.write('responder.pem', write.pem('CERTIFICATE', responderCertificate));
    draft.write('responder.key', responder.pem, 0o600);
    const samples = [
      ['valid', valid, now - DAY, now + 89 * DAY - SECOND],
      ['revoked', revoked, now - DAY, now + 89 * DAY - SECOND],
      ['expired', expired, now - 120 * DAY, now - 30 * DAY - SECOND],
    ] as const;
    for (const [name, key, notBefore, notAfter] of samples) {
      draft.write(`samples/${name}.pem`, write.pem('CERTIFICATE', subscriber(name, key, notBefore, notAfter)));
      draft.write(`samples/${name}.key`, key.pem, 0o600);
    }
    const revocation = { revokedAt: rfc3339(now - HOUR), reason: 'superseded' };
    draft.write('samples/revocation.json', `${JSON.stringify(revocation)}\n`);
  };
}

const ISSUER_YAML = `# The demonstration CA. Its keys lie beside this file: for a real CA they belong in an HSM.
preset: demo
caCertificates: [ca.pem]
responders:
  - certificate: responder.pem
    key: responder.key
crl:
  key: ca.key
# Timing and URLs come from the preset; any of them can be set here, for example:
# ocsp: { validity: 4d, refreshAfter: 1d, maxAge: 1m }
`;

async function intakeMaterial(now: EpochMs): Promise<Fill> {
  const [ca, server, operator] = await Promise.all([ecKey(), ecKey(), ecKey()]);
  const caName = demoName('certstatus intake CA');
  const issue = (cn: string, key: Key, days: number, extensions: readonly Extension[]): string =>
    write.pem(
      'CERTIFICATE',
      write.writeCertificate(
        {
          serial: randomSerial(),
          issuerDer: caName,
          subjectDer: demoName(cn),
          notBefore: now - HOUR,
          notAfter: now - HOUR + days * DAY - SECOND,
          spkiDer: key.spkiDer,
          extensions: [
            ...extensions,
            write.subjectKeyIdentifierExtension(key.keyId),
            write.authorityKeyIdentifierExtension(ca.keyId),
          ],
        },
        ca.privateKey,
      ),
    );
  const leaf = (cn: string, key: Key, ...more: readonly Extension[]): string =>
    issue(cn, key, 397, [write.basicConstraints(false), write.keyUsageExtension('digitalSignature'), ...more]);
  const loopback = [Buffer.of(127, 0, 0, 1), Buffer.concat([Buffer.alloc(15), Buffer.of(1)])];
  const certificates = {
    'client-ca': issue('certstatus intake CA', ca, 3650, [
      write.basicConstraints(true, 0),
      write.keyUsageExtension('keyCertSign', 'cRLSign'),
    ]),
    server: leaf('localhost', server, write.extKeyUsage('serverAuth'), write.subjectAltName(['localhost'], loopback)),
    operator: leaf('operator', operator, write.extKeyUsage('clientAuth')),
  };
  return (draft) => {
    for (const [name, certificate] of Object.entries(certificates)) draft.write(`${name}.pem`, certificate);
    for (const [name, key] of Object.entries({ 'client-ca': ca, server, operator }))
      draft.write(`${name}.key`, key.pem, 0o600);
  };
}

function readDemo(directory: string): Pick<Demo, 'caCertificate' | 'ocspUrl' | 'caIssuersUrl' | 'crlUrl' | 'samples'> {
  const fields = (name: string): ReturnType<typeof readCertificate> => {
    const file = join(directory, 'samples', `${name}.pem`);
    return readCertificate(certificatesFromFile(readFileSync(file), file)[0] as Buffer, file);
  };
  const sample = (name: string): Sample => {
    const { serial, notBefore, notAfter } = fields(name);
    const base = join(directory, 'samples', name);
    return { certificate: `${base}.pem`, key: `${base}.key`, serial, notBefore, notAfter };
  };
  const revocationFile = join(directory, 'samples', 'revocation.json');
  const { revokedAt, reason } = JSON.parse(readFileSync(revocationFile, 'utf8')) as {
    revokedAt: string;
    reason: Reason;
  };
  const valid = fields('valid');
  const urls = accessUrls(valid);
  return {
    caCertificate: join(directory, 'ca.pem'),
    ocspUrl: urls.ocsp[0] as string,
    caIssuersUrl: urls.caIssuers[0] as string,
    crlUrl: crlDistributionPoints(valid)[0] as string,
    samples: {
      valid: sample('valid'),
      revoked: { ...sample('revoked'), revocation: { revokedAt: parseRfc3339(revokedAt, revocationFile), reason } },
      expired: sample('expired'),
    },
  };
}

interface Key {
  readonly privateKey: KeyObject;
  readonly spkiDer: Buffer;
  /** SHA-1 of the subjectPublicKey bits (RFC 5280 §4.2.1.2, method 1). */
  readonly keyId: Buffer;
  /** PKCS#8. */
  readonly pem: string;
}

const generate = promisify(generateKeyPair);
const rsaKey = async (): Promise<Key> => keyOf(await generate('rsa', { modulusLength: 2048 }));
const ecKey = async (): Promise<Key> => keyOf(await generate('ec', { namedCurve: 'P-256' }));

function keyOf({ publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject }): Key {
  const spkiDer = publicKey.export({ type: 'spki', format: 'der' });
  // RSA: the bits are the PKCS#1 key. P-256: the last 65 octets are the uncompressed point.
  const bits =
    publicKey.asymmetricKeyType === 'rsa' ? publicKey.export({ type: 'pkcs1', format: 'der' }) : spkiDer.subarray(-65);
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  return { privateKey, spkiDer, keyId: createHash('sha1').update(bits).digest(), pem };
}

function demoName(cn: string): Buffer {
  return write.writeName([
    ['C', 'JP'],
    ['O', 'certstatus demo'],
    ['CN', cn],
  ]);
}

const randomSerial = (): Serial => write.serialFromRandom(randomBytes(16));
