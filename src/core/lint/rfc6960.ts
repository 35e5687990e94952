/** RFC 6960 and what it takes from elsewhere: CertIDs (T-09 to T-12), extensions, the nonce of RFC 9654. */
import { findExtension } from '../der/document.ts';
import { dottedOid, OID } from '../der/oid.ts';
import { DerCursor, equalAt } from '../der/reader.ts';
import type { SingleResponseView } from '../ocsp/response-reader.ts';
import { readCertificate } from '../certificate-reader.ts';
import { Problem } from '../problem.ts';
import { reasonName } from '../reason.ts';
import { rfc3339, type EpochMs } from '../time.ts';
import type { ResponseContext, ResponseRule } from './rule.ts';

/** What a clock may be ahead of ours before its answers count as future ones. */
const MAX_CLOCK_SKEW_MS = 1000;

export const RFC6960_RULES: readonly ResponseRule[] = [
  {
    id: 'O-04',
    says: 'the version v1 is a DEFAULT and so absent',
    citation: 'RFC 6960 §4.2.1; X.690 §11.5',
    severity: 'error',
    authorities: ['rfc'],
    check: (_, __, { deviations }) =>
      deviations.some(({ kind, field }) => kind === 'default-encoded' && field === 'version')
        ? 'the version v1 is written out; as a DEFAULT it must be absent'
        : undefined,
  },
  {
    id: 'O-05',
    says: 'there is a SingleResponse, and one for the certificate that was asked about',
    citation: 'RFC 6960 §4.2.2.3',
    severity: 'error',
    authorities: ['rfc'],
    check(basic, { expected }) {
      if (basic.responses.length === 0) return 'there is no SingleResponse';
      if (expected === undefined) return undefined;
      return basic.responses.some(({ hash, serial }) => hash === expected.hash && serial === expected.serial)
        ? undefined
        : `no SingleResponse is about the ${expected.hash} CertID with serial ${expected.serial}`;
    },
  },
  {
    id: 'O-06',
    says: 'responderID is that of the signing key: SHA-1 of the key, or the subject of its certificate',
    citation: 'RFC 6960 §4.2.1, §4.2.2.3',
    severity: 'error',
    authorities: ['rfc'],
    check({ responderID, certs }, { responder, ca }) {
      if (responderID.by === 'name') {
        const signer = responder?.certificate ?? certs[0] ?? ca?.certificates[0]?.der;
        const subject = signer && subjectOf(signer);
        return subject === undefined || same(responderID.name, subject)
          ? undefined
          : "byName is not octet for octet the subject of the signer's certificate";
      }
      if (responderID.keyHash.length !== 20)
        return `byKey has ${responderID.keyHash.length} octets; it is a SHA-1 hash, so 20`;
      return responder === undefined || same(responderID.keyHash, responder.keyHash)
        ? undefined
        : `byKey ${hex(responderID.keyHash)} is not the signing key's ${hex(responder.keyHash)}`;
    },
  },
  {
    id: 'O-09',
    says: 'certs is absent when there are none',
    citation: 'RFC 6960 §4.2.1',
    severity: 'error',
    authorities: ['rfc'],
    check: (_, __, { deviations }) =>
      deviations.some(({ kind, field }) => kind === 'empty-sequence' && field === 'certs')
        ? 'certs is empty; it must be absent'
        : undefined,
  },
  {
    id: 'O-11',
    says: 'thisUpdate is not after producedAt nor after nextUpdate; producedAt is not in the future',
    citation: 'RFC 6960 §2.4',
    severity: 'error',
    authorities: ['rfc'],
    check: (basic, { nowMs }) =>
      first(basic.responses, ({ thisUpdate, nextUpdate }) => {
        if (thisUpdate > basic.producedAt)
          return `thisUpdate ${rfc3339(thisUpdate)} is after producedAt ${rfc3339(basic.producedAt)}`;
        if (nextUpdate !== undefined && nextUpdate < thisUpdate) {
          return `nextUpdate ${rfc3339(nextUpdate)} is before thisUpdate ${rfc3339(thisUpdate)}`;
        }
        return nowMs !== undefined && basic.producedAt > nowMs + MAX_CLOCK_SKEW_MS
          ? `producedAt ${rfc3339(basic.producedAt)} is in the future`
          : undefined;
      }),
  },
  {
    id: 'O-13',
    says: 'times are GeneralizedTime in UTC with seconds and without fraction',
    citation: 'RFC 6960 §4.2.2.1; RFC 5280 §4.1.2.5.2',
    severity: 'error',
    authorities: ['rfc'],
    check(_, __, { deviations }) {
      const bad = deviations.find(({ kind }) => kind === 'time-form');
      return bad && `${bad.field} at octet ${bad.offset} is not YYYYMMDDHHMMSSZ`;
    },
  },
  {
    id: 'O-16',
    says: 'extended-revoke is a non-critical NULL in responseExtensions',
    citation: 'RFC 6960 §4.4.8',
    severity: 'error',
    authorities: ['rfc'],
    check(basic) {
      const extended = findExtension(basic.responseExtensions, OID.extendedRevoke);
      if (extended !== undefined && (extended.critical || !same(extended.value, NULL)))
        return 'extended-revoke is a non-critical NULL';
      return first(basic.responses, ({ singleExtensions }) =>
        findExtension(singleExtensions, OID.extendedRevoke) === undefined
          ? undefined
          : 'extended-revoke stands in singleExtensions',
      );
    },
  },
  {
    id: 'O-20',
    says: 'the hashes of a CertID are those of the issuer, and as long as its hash',
    citation: 'RFC 6960 §4.1.1',
    severity: 'error',
    authorities: ['rfc'],
    check: (basic, context) => first(basic.responses, (single) => checkCertIdHashes(single, context)),
  },
  {
    id: 'T-32',
    says: 'revocationTime is not after thisUpdate',
    citation: 'RFC 6960 §2.4; BR 7.2.2',
    // Not an error: a revocation that was recorded before the clock was set back must get out all the same (P2).
    severity: 'warning',
    authorities: ['rfc'],
    check: (basic) =>
      first(basic.responses, ({ revocationTime, thisUpdate }) =>
        revocationTime !== undefined && revocationTime > thisUpdate
          ? `revocationTime ${rfc3339(revocationTime)} is after thisUpdate ${rfc3339(thisUpdate)}`
          : undefined,
      ),
  },
  {
    id: 'O-22',
    says: 'a crl reference names its CRL by crlUrl [0], crlNum [1], crlTime [2] and nothing else',
    citation: 'RFC 6960 §4.4.2',
    severity: 'error',
    authorities: ['rfc'],
    check: (basic) =>
      first(basic.responses, ({ singleExtensions }) => {
        const reference = findExtension(singleExtensions, OID.crlReference);
        return reference === undefined || isCrlReference(reference.value) ? undefined : 'the crl reference is no CrlID';
      }),
  },
  {
    id: 'T-09',
    says: 'the hash of a CertID is SHA-1 or SHA-256',
    citation: 'RFC 9919 §3.1.1',
    severity: 'warning',
    authorities: ['rfc'],
    check: (basic) =>
      first(basic.responses, ({ hash, hashAlgorithm }) =>
        hash === undefined ? `hashAlgorithm ${hex(hashAlgorithm)} is neither SHA-1 nor SHA-256` : undefined,
      ),
  },
  {
    id: 'O-23',
    says: 'archive-cutoff is a GeneralizedTime',
    citation: 'RFC 6960 §4.4.4',
    severity: 'error',
    authorities: ['rfc'],
    check: (basic) =>
      first(basic.responses, ({ singleExtensions }) => {
        const cutoff = findExtension(singleExtensions, OID.archiveCutoff);
        if (cutoff === undefined) return undefined;
        const value = new DerCursor(cutoff.value);
        return value.next(0x18) && value.atEnd && value.length === 15
          ? undefined
          : 'archive-cutoff is not YYYYMMDDHHMMSSZ';
      }),
  },
  {
    id: 'T-10',
    says: 'the hash algorithm of a CertID has NULL as parameters',
    citation: 'RFC 9919 App. B; RFC 4055 §2.1',
    severity: 'warning',
    authorities: ['rfc'],
    check: (basic) =>
      first(basic.responses, ({ hash, hashAlgorithm }) =>
        hash !== undefined && !same(hashAlgorithm, HASH_ALGORITHMS[hash])
          ? `the parameters of ${hash} are not an explicit NULL`
          : undefined,
      ),
  },
  {
    id: 'C-28',
    says: 'serials are positive and of 20 octets at most',
    citation: 'RFC 5280 §4.1.2.2',
    severity: 'error',
    authorities: ['rfc'],
    check: (basic) =>
      first(basic.responses, ({ serial, serialOctets }) =>
        serial === undefined ? `serial ${hex(serialOctets)} is negative or over 20 octets` : undefined,
      ),
  },
  {
    id: 'C-31',
    says: 'booleans are DER: FALSE left out, TRUE is FF',
    citation: 'RFC 5280 App. B; X.690 §11',
    severity: 'error',
    authorities: ['rfc'],
    check(_, __, { deviations }) {
      const bad = deviations.find(
        ({ kind, field }) => kind === 'boolean' || (kind === 'default-encoded' && field !== 'version'),
      );
      return bad && `${bad.field}: critical at octet ${bad.offset} is FALSE written out, or TRUE other than FF`;
    },
  },
  {
    id: 'T-14',
    says: 'no extension is critical or there twice, and no list of extensions is empty',
    citation: 'RFC 5280 §4.1, §4.2',
    severity: 'error',
    authorities: ['rfc'],
    check(basic, _, { deviations }) {
      const bad = deviations.find(
        ({ kind, field }) => (kind === 'empty-sequence' && field !== 'certs') || kind === 'duplicate-extension',
      );
      if (bad)
        return `${bad.field} ${bad.kind === 'empty-sequence' ? 'is empty; it must be absent' : 'holds an extension twice'}`;
      if (
        basic.responseExtensions.length === 0 &&
        basic.responses.every(({ singleExtensions }) => singleExtensions.length === 0)
      )
        return undefined;
      const all = [...basic.responseExtensions, ...basic.responses.flatMap(({ singleExtensions }) => singleExtensions)];
      const critical = all.find((extension) => extension.critical);
      return critical && `${dottedOid(critical.oid)} is critical; clients refuse critical extensions`;
    },
  },
  {
    id: 'N-06',
    says: 'the nonce is an OCTET STRING of 1 to 128 octets, and the one that was asked for',
    citation: 'RFC 9654 §2.1',
    severity: 'error',
    authorities: ['rfc'],
    check(basic, { expected }) {
      const extension = findExtension(basic.responseExtensions, OID.nonce);
      const wanted = expected?.nonce;
      if (extension === undefined) return wanted === undefined ? undefined : 'the nonce that was asked for is missing';
      const value = new DerCursor(extension.value);
      if (!value.next(0x04) || !value.atEnd || value.length === 0 || value.length > 128)
        return 'the nonce is no OCTET STRING of 1 to 128 octets';
      if (expected === undefined) return undefined;
      if (wanted === undefined) return 'there is a nonce, and none was asked for';
      return same(value.content(), wanted) ? undefined : 'the nonce is another one than was asked for';
    },
  },
  {
    // P6: what the signer meant to say is what the octets say.
    id: 'P6',
    says: 'the response says what the signer meant to say',
    citation: 'RFC 6960 §2.2, §2.4',
    severity: 'error',
    authorities: ['rfc'],
    check: (basic, { expected }) =>
      expected === undefined ? undefined : compareWithExpected(basic.producedAt, basic.responses, expected),
  },
];

function checkCertIdHashes(single: SingleResponseView, { issuer }: ResponseContext): string | undefined {
  const { hash, issuerNameHash, issuerKeyHash } = single;
  if (hash === undefined) return undefined;
  const octets = hash === 'sha1' ? 20 : 32;
  if (issuerNameHash.length !== octets || issuerKeyHash.length !== octets)
    return `the ${hash} hashes of the issuer have not ${octets} octets`;
  if (issuer === undefined) return undefined;
  if (!same(issuerNameHash, issuer[hash].name))
    return `issuerNameHash ${hex(issuerNameHash)} is not the issuer's ${hex(issuer[hash].name)}`;
  return same(issuerKeyHash, issuer[hash].key)
    ? undefined
    : `issuerKeyHash ${hex(issuerKeyHash)} is not the issuer's ${hex(issuer[hash].key)}`;
}

function compareWithExpected(
  producedAt: EpochMs,
  responses: readonly SingleResponseView[],
  { hash, serial, answer }: NonNullable<ResponseContext['expected']>,
): string | undefined {
  const single = responses.find((one) => one.hash === hash && one.serial === serial);
  if (single === undefined) return undefined; // O-05 says so
  const { revocation } = answer;
  const status = revocation === undefined ? 'good' : 'revoked';
  if (single.certStatus !== status) return `certStatus is ${single.certStatus}, not ${status}`;
  if (revocation !== undefined && single.revocationTime !== revocation.revokedAt)
    return 'revocationTime is not what was recorded';
  const reason = single.revocationReason === undefined ? undefined : (reasonName(single.revocationReason) ?? 'unknown');
  if (reason !== revocation?.reason)
    return `revocationReason is ${reason ?? 'absent'}, not ${revocation?.reason ?? 'absent'}`;
  if (single.thisUpdate !== answer.thisUpdate) return 'thisUpdate is not what was meant';
  if (single.nextUpdate !== answer.nextUpdate) return 'nextUpdate is not what was meant';
  return producedAt === (answer.producedAt ?? answer.thisUpdate) ? undefined : 'producedAt is not what was meant';
}

/** CrlID: crlUrl [0] IA5String, crlNum [1] INTEGER, crlTime [2] GeneralizedTime, all EXPLICIT and OPTIONAL. */
function isCrlReference(value: Uint8Array): boolean {
  const cursor = new DerCursor(value);
  if (cursor.enter(0x30) < 0) return false;
  for (const [field, type] of [[0xa0, 0x16], [0xa1, 0x02], [0xa2, 0x18]] as const) {
    if (cursor.tag !== field) continue;
    const outer = cursor.enter(field);
    if (outer < 0 || !cursor.next(type) || !cursor.leave(outer)) return false;
  }
  return cursor.atEnd;
} // prettier-ignore

/** Undefined for what is no certificate. */
function subjectOf(certificate: Uint8Array): Uint8Array | undefined {
  try {
    return readCertificate(certificate).subjectDer;
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}

/** The first complaint about any of them. */
function first(
  responses: readonly SingleResponseView[],
  check: (single: SingleResponseView) => string | undefined,
): string | undefined {
  for (const single of responses) {
    const message = check(single);
    if (message !== undefined) return message;
  }
  return undefined;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return equalAt(a, 0, a.length, b);
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets.subarray(0, 32)).toString('hex');
}

const NULL = Buffer.from('0500', 'hex');
const HASH_ALGORITHMS = {
  sha1: Buffer.from('300906052b0e03021a0500', 'hex'),
  sha256: Buffer.from('300d06096086480165030402010500', 'hex'),
};
