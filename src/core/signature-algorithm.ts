/**
 * The signature algorithms that may stand on a response or CRL, with their exact AlgorithmIdentifier octets
 * (BR 7.1.3.2, standards.md §16, T-10): RSA with explicit NULL, ECDSA with no parameters. No SHA-1 (B-35).
 */
import { constants, type KeyObject, type VerifyKeyObjectInput } from 'node:crypto';
import { Problem } from './problem.ts';

export interface SignatureAlgorithm {
  readonly name: string;
  /** DER of the AlgorithmIdentifier. */
  readonly identifier: Buffer;
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  readonly keyType: KeyType;
}

/** Key types as profiles name them. */
export type KeyType = 'RSA-2048' | 'RSA-3072' | 'RSA-4096' | 'P-256' | 'P-384' | 'P-521';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const RSA = {
  sha256: hex('300d06092a864886f70d01010b0500'),
  sha384: hex('300d06092a864886f70d01010c0500'),
  sha512: hex('300d06092a864886f70d01010d0500'),
};
const ECDSA = {
  sha256: hex('300a06082a8648ce3d040302'),
  sha384: hex('300a06082a8648ce3d040303'),
  sha512: hex('300a06082a8648ce3d040304'),
};
/** RFC 4055 §3.1, BR 7.1.3.2.1: MGF1 with the same hash, a salt as long as it, trailerField left out. */
const PSS = { sha256: pss('01', '20'), sha384: pss('02', '30'), sha512: pss('03', '40') };

function pss(hash: string, salt: string): Buffer {
  const algorithm = `300d06096086480165030402${hash}0500`;
  return hex(`304106092a864886f70d01010a3034a00f${algorithm}a11c301a06092a864886f70d010108${algorithm}a2030201${salt}`);
}

/** BR 7.1.3.2.2: the hash of an ECDSA signature follows the curve. */
const CURVES: Record<string, { keyType: KeyType; hash: 'sha256' | 'sha384' | 'sha512' }> = {
  prime256v1: { keyType: 'P-256', hash: 'sha256' },
  secp384r1: { keyType: 'P-384', hash: 'sha384' },
  secp521r1: { keyType: 'P-521', hash: 'sha512' },
};

/**
 * The algorithm that a key signs with. RSA uses `rsaHash` (SHA-256 unless the CA's profile says SHA-384).
 * @throws Problem `config` for a key that no profile permits.
 */
export function algorithmFor(
  key: KeyObject,
  field: string,
  rsaHash: 'sha256' | 'sha384' | 'sha512' = 'sha256',
): SignatureAlgorithm {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa') {
    const bits = details?.modulusLength ?? 0;
    if (bits !== 2048 && bits !== 3072 && bits !== 4096) {
      throw new Problem('config', 'RSA keys of 2048, 3072 or 4096 bits are supported', {
        field,
        value: `RSA-${bits}`,
        rule: 'BR 6.1.5',
      });
    }
    const name = signatureName({ kind: 'rsa', hash: rsaHash });
    return { name, identifier: RSA[rsaHash], hash: rsaHash, keyType: `RSA-${bits}` };
  }
  const curve = key.asymmetricKeyType === 'ec' ? CURVES[details?.namedCurve ?? ''] : undefined;
  if (curve === undefined) {
    throw new Problem('config', 'not an RSA, P-256, P-384 or P-521 key', {
      field,
      value: `${key.asymmetricKeyType ?? 'unknown'} ${details?.namedCurve ?? ''}`.trim(),
      rule: 'BR 6.1.5',
    });
  }
  return {
    name: signatureName({ kind: 'ecdsa', hash: curve.hash }),
    identifier: ECDSA[curve.hash],
    hash: curve.hash,
    keyType: curve.keyType,
  };
}

/** An algorithm that a signature may have; PSS on what other CAs have signed alone. */
export interface FoundAlgorithm {
  readonly kind: 'rsa' | 'rsa-pss' | 'ecdsa';
  readonly hash: 'sha256' | 'sha384' | 'sha512';
}

/** As documents and OpenSSL name it. */
export function signatureName({ kind, hash }: Pick<FoundAlgorithm, 'kind'> & { readonly hash: string }): string {
  if (kind === 'rsa-pss') return `RSASSA-PSS with ${hash}`;
  return kind === 'rsa' ? `${hash}WithRSAEncryption` : `ecdsa-with-${hash.toUpperCase()}`;
}

/** The algorithm with this AlgorithmIdentifier, for verifying; undefined for any other octets. */
export function algorithmOf(identifier: Uint8Array): FoundAlgorithm | undefined {
  for (const hash of ['sha256', 'sha384', 'sha512'] as const) {
    if (RSA[hash].equals(identifier)) return { kind: 'rsa', hash };
    if (ECDSA[hash].equals(identifier)) return { kind: 'ecdsa', hash };
    if (PSS[hash].equals(identifier)) return { kind: 'rsa-pss', hash };
  }
  return undefined;
}

/**
 * What node:crypto needs to verify a signature of this algorithm with this key; undefined when no such key makes such a signature.
 * Asked before every verification, since some kinds of keys (Ed25519, X25519) throw at a hash that is not theirs.
 */
export function verifierOf(
  identifier: Uint8Array,
  publicKey: KeyObject,
): { readonly hash: FoundAlgorithm['hash']; readonly key: VerifyKeyObjectInput } | undefined {
  const algorithm = algorithmOf(identifier);
  if (algorithm === undefined || !KEYS_OF[algorithm.kind].includes(publicKey.asymmetricKeyType ?? '')) return undefined;
  const { kind, hash } = algorithm;
  if (kind !== 'rsa-pss') return { hash, key: { key: publicKey, dsaEncoding: 'der' } };
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return { hash, key: { key: publicKey, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } };
}

/** Types of keys, as node:crypto names them. RFC 4055 §1.2: a plain RSA key may sign with PSS as well. */
const KEYS_OF: Readonly<Record<FoundAlgorithm['kind'], readonly string[]>> = {
  rsa: ['rsa'],
  'rsa-pss': ['rsa', 'rsa-pss'],
  ecdsa: ['ec'],
};
