/**
 * The gate that each answer must pass before anybody gets it (P6): decoded by the reader (not the writer), linted against what it
 * was meant to say, and its signature verified with the responder's public key.
 */
import { createHash, verify as verifySignature, type KeyObject } from 'node:crypto';
import type { CertIdHash, Revocation } from '../../core/certificate.ts';
import type { Finding } from '../../core/lint/finding.ts';
import { lintDecodedResponse } from '../../core/lint/lint.ts';
import { compareResponse } from '../../core/lint/oracle.ts';
import { decodeResponse, type DecodedResponse } from '../../core/ocsp/response-reader.ts';
import { MIN_VALIDITY_MS } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import { verifierOf } from '../../core/signature-algorithm.ts';
import type { EpochMs } from '../../core/time.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { ServedResponder } from '../responders.ts';

/** An answer as it was made, and what it was meant to say. */
export interface MadeAnswer {
  /** The OCSPResponse, and the ResponseData within it that was signed. */
  readonly der: Buffer;
  readonly tbs: Buffer;
  readonly signature: Uint8Array;
  readonly hash: CertIdHash;
  readonly serial: Serial;
  readonly revocation: Revocation | undefined;
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  /** To be echoed (N-06); undefined: there must be none. */
  readonly nonce?: Uint8Array;
}

/** Who must have signed it. */
export interface SignedBy {
  readonly served: ServedResponder;
  readonly publicKey: KeyObject;
  readonly issuer: ServedIssuer;
}

/**
 * @param compared another library's decoder must see the same: too slow for every answer.
 * @throws Problem `corrupt` with the findings.
 */
export async function checkAnswer(
  made: MadeAnswer,
  { served, publicKey, issuer }: SignedBy,
  { compared }: { readonly compared: boolean },
): Promise<void> {
  const { der, tbs, signature, serial } = made;
  const findings = answerFindings(decodeAnswer(der, serial, compared), made, { served, issuer }).filter(
    (finding) => finding.severity === 'error',
  );
  if (findings.length > 0) {
    throw new Problem('corrupt', `lint: ${findings.map(({ rule, message }) => `${rule} ${message}`).join('; ')}`, {
      field: 'OCSPResponse',
      value: serial,
    });
  }
  if (!(await verified(tbs, signature, publicKey, served.template.algorithm.identifier))) {
    throw new Problem('corrupt', 'the signature does not verify with the responder certificate', {
      field: 'OCSPResponse',
      value: serial,
      rule: 'RFC 6960 §4.2.1',
    });
  }
}

/** What lint finds in it, against what it was meant to say. */
export function answerFindings(
  decoded: DecodedResponse,
  made: Omit<MadeAnswer, 'der' | 'tbs' | 'signature'>,
  { served, issuer }: Omit<SignedBy, 'publicKey'>,
): readonly Finding[] {
  const { hash, serial, revocation, thisUpdate, nextUpdate, nonce } = made;
  return lintDecodedResponse(decoded, {
    authorities: issuer.profile.authorities,
    subject: issuer.profile.issues === 'ca-certificates' ? 'ca' : 'subscriber',
    issuer: issuer.issuer.hashes,
    responder: {
      ...served.certificate,
      certificate: served.certificate.delegated ? served.certificate.der : undefined,
    },
    validity: { minMs: MIN_VALIDITY_MS, maxMs: issuer.profile.ocsp.validityMs },
    expected: {
      hash,
      serial,
      answer: { revocation, thisUpdate, nextUpdate },
      ...(nonce !== undefined && { nonce }),
    },
  });
}

/** On the libuv pool, so that verifying does not hold up answering. */
export function verified(
  tbs: Uint8Array,
  signature: Uint8Array,
  publicKey: KeyObject,
  identifier: Uint8Array,
): Promise<boolean> {
  const by = verifierOf(identifier, publicKey);
  if (by === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    verifySignature(by.hash, tbs, by.key, signature, (error, valid) => resolve(error === null && valid));
  });
}

/** Hex SHA-256, as the journal names what was signed. */
export function digestOf(octets: Uint8Array): string {
  return createHash('sha256').update(octets).digest('hex');
}

function decodeAnswer(der: Buffer, serial: Serial, compared: boolean): DecodedResponse {
  const decoded = decodeResponse(der);
  const differences = compared ? compareResponse(decoded) : [];
  if (differences.length > 0) {
    throw new Problem('corrupt', `two decoders disagree: ${differences.join('; ')}`, {
      field: 'OCSPResponse',
      value: serial,
      rule: 'P6',
    });
  }
  return decoded;
}
