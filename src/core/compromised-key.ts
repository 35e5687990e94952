/**
 * Evidence that a private key is in other hands (CT-4.9.12-a): the key itself, or a certification request that it has signed with a
 * common name that the CA has chosen. Nothing here keeps, prints or passes on a private key: what comes out is the public one.
 *
 * A private key file is not believed: its public part may be somebody else's, copied from a certificate, with any private part
 * behind it, and CAs have revoked certificates on the strength of such files. So the key has to sign, and its public part to verify.
 */
import {
  createPrivateKey,
  createPublicKey,
  randomBytes,
  sign,
  verify,
  X509Certificate,
  type KeyObject,
} from 'node:crypto';
import { readName } from './name.ts';
import { DerCursor } from './der/reader.ts';
import { Problem } from './problem.ts';
import { spkiHash } from './spki-hash.ts';

/** A public key, and how it was come by. */
export interface KeyEvidence {
  readonly kind: 'private-key' | 'certification-request' | 'certificate' | 'public-key';
  /** True when whoever handed it in holds the private key. */
  readonly proven: boolean;
  readonly spkiHash: string;
  /** For people: `rsa 2048`, `ec prime256v1`, `ed25519`. */
  readonly key: string;
}

/** RFC 4055, RFC 5758, RFC 8410: the signature algorithms of requests, to the digest; null for those that need none. */
const REQUEST_SIGNATURES: Readonly<Record<string, string | null>> = {
  '2a864886f70d010105': 'sha1',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d0401': 'sha1',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  '2b6570': null,
  '2b6571': null,
};

/**
 * What a file proves. Private key: PEM (PKCS #8, PKCS #1, SEC 1) or DER of one of them. Request: PEM or DER.
 * @param challenge the common name that a request must have (CT-4.9.12-a); a key needs none.
 * @throws Problem `invalid` for a file that is neither, `refused` when it does not prove what it should. No message holds any of it.
 */
export function keyEvidence(file: Uint8Array, challenge: string | undefined, field: string): KeyEvidence {
  const found = readKeyFile(file, field);
  if (found.kind === 'private-key') {
    if (!holdsTogether(found.privateKey, found.publicKey))
      throw new Problem('refused', 'its private part does not sign for its public part: the file proves nothing', {
        field,
        rule: 'CT-4.9.12-a',
      });
  } else if (found.kind === 'certification-request') {
    if (!found.verifies) throw new Problem('refused', 'the request is not signed by its own key', { field, rule: 'RFC 2986 §4.2' }); // prettier-ignore
    if (challenge === undefined)
      throw new Problem('refused', 'a request proves nothing without the common name that the CA has asked for', {
        field: '--challenge',
        rule: 'CT-4.9.12-a',
      });
    if (found.commonNames.length !== 1 || found.commonNames[0] !== challenge)
      throw new Problem('refused', `its common name is not the challenge ${challenge}`, {
        field,
        value: found.commonNames.join(', '),
        rule: 'CT-4.9.12-a',
      });
  } else throw new Problem('refused', 'a certificate or public key proves nothing: everybody has it', { field, rule: 'CT-4.9.12-a' }); // prettier-ignore
  return evidence(found, true);
}

/** The public key of any such file, also of a certificate or a public key, for what needs no proof: selecting by key. @throws Problem `invalid` */
export function keyIn(file: Uint8Array, field: string): KeyEvidence {
  return evidence(readKeyFile(file, field), false);
}

function evidence({ kind, publicKey }: KeyFile, proven: boolean): KeyEvidence {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const { asymmetricKeyType = 'key', asymmetricKeyDetails: about = {} } = publicKey;
  const size = about.namedCurve ?? about.modulusLength;
  return { kind, proven, spkiHash: spkiHash(spki), key: [asymmetricKeyType, size].filter(Boolean).join(' ') };
}

type KeyFile =
  | { readonly kind: 'private-key'; readonly privateKey: KeyObject; readonly publicKey: KeyObject }
  | {
      readonly kind: 'certification-request';
      readonly publicKey: KeyObject;
      readonly verifies: boolean;
      readonly commonNames: readonly string[];
    }
  | { readonly kind: 'certificate' | 'public-key'; readonly publicKey: KeyObject };

function readKeyFile(file: Uint8Array, field: string): KeyFile {
  const text = Buffer.from(file).toString('latin1');
  if (/-----BEGIN (ENCRYPTED|OPENSSH) |Proc-Type: 4,ENCRYPTED/.test(text))
    throw new Problem('invalid', 'an encrypted or OpenSSH private key: decrypt it or convert it to PKCS #8 first', { field }); // prettier-ignore
  const pem = /-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([^-]+)-----END/.exec(text)?.[1];
  const readers: (() => KeyFile | undefined)[] = [
    () => readRequest(pem === undefined ? file : Buffer.from(pem, 'base64')),
    () => privateKeyIn(file),
    () => ({ kind: 'certificate', publicKey: new X509Certificate(file).publicKey }),
    () => ({ kind: 'public-key', publicKey: publicKeyIn(file) }),
  ];
  for (const read of readers) {
    try {
      const found = read();
      if (found !== undefined) return found;
    } catch {
      // Not of this kind. What OpenSSL says of it might hold parts of a key, and helps nobody.
    }
  }
  throw new Problem('invalid', 'neither a private key nor a certification request, certificate or public key', { field }); // prettier-ignore
}

function privateKeyIn(file: Uint8Array): KeyFile | undefined {
  const key = Buffer.from(file);
  const attempts =
    key[0] === 0x30
      ? (['pkcs8', 'pkcs1', 'sec1'] as const).map((type) => ({ key, format: 'der' as const, type }))
      : [{ key, format: 'pem' as const }];
  for (const attempt of attempts) {
    try {
      const privateKey = createPrivateKey(attempt);
      return { kind: 'private-key', privateKey, publicKey: createPublicKey(privateKey) };
    } catch {
      // The next form.
    }
  }
  return undefined;
}

function publicKeyIn(file: Uint8Array): KeyObject {
  const key = Buffer.from(file);
  return key[0] === 0x30
    ? createPublicKey({ key, format: 'der', type: 'spki' })
    : createPublicKey({ key, format: 'pem' });
}

function holdsTogether(privateKey: KeyObject, publicKey: KeyObject): boolean {
  const message = randomBytes(32);
  const digest = publicKey.asymmetricKeyType?.startsWith('ed') ? null : 'sha256';
  try {
    return verify(digest, message, publicKey, sign(digest, message, privateKey));
  } catch {
    return false;
  }
}

/** RFC 2986 §4: CertificationRequest. Undefined for anything else. */
function readRequest(der: Uint8Array): KeyFile | undefined {
  const cursor = new DerCursor(der);
  if (cursor.enter(0x30) < 0 || !cursor.next(0x30)) return undefined;
  const signed = cursor.element();
  const info = new DerCursor(cursor.content());
  if (cursor.enter(0x30) < 0 || !cursor.next(0x06)) return undefined;
  const digest = REQUEST_SIGNATURES[Buffer.from(cursor.content()).toString('hex')];
  cursor.position = cursor.end;
  cursor.end = der.length;
  if (!cursor.next(0x03) || !cursor.atEnd || cursor.content()[0] !== 0) return undefined;
  const signature = cursor.content().subarray(1);
  // version, subject, subjectPKInfo
  if (!info.next(0x02) || !info.next(0x30)) return undefined;
  const subject = info.element();
  if (!info.next(0x30)) return undefined;
  const publicKey = createPublicKey({ key: Buffer.from(info.element()), format: 'der', type: 'spki' });
  const commonNames = readName(subject)
    .filter(({ type }) => type === 'CN')
    .map(({ value }) => value);
  return {
    kind: 'certification-request',
    publicKey,
    // An algorithm that is not listed verifies nothing.
    verifies: digest !== undefined && verify(digest, signed, publicKey, signature),
    commonNames,
  };
}
