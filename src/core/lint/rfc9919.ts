/** RFC 9919, the profile for high-volume environments, and what its clients cannot cope with. */
import { OID, dottedOid } from '../der/oid.ts';
import { equalAt } from '../der/reader.ts';
import type { ResponseRule } from './rule.ts';

/** T-48: haproxy and nginx read 16 kB; every answer of ours is far below. */
const LARGE_RESPONSE_OCTETS = 4096;

export const RFC9919_RULES: readonly ResponseRule[] = [
  {
    id: 'L-06',
    says: 'there is one SingleResponse',
    citation: 'RFC 9919 §3.2.1',
    severity: 'warning',
    authorities: ['rfc'],
    check: ({ responses }) =>
      responses.length > 1
        ? `${responses.length} SingleResponses; some clients read none or only the first (T-08)`
        : undefined,
  },
  {
    id: 'L-07',
    says: 'responseExtensions holds nothing but a nonce',
    citation: 'RFC 9919 §3.2.1',
    severity: 'warning',
    authorities: ['rfc'],
    check({ responseExtensions }) {
      const other = responseExtensions.find(({ oid }) => !equalAt(oid, 0, oid.length, OID.nonce));
      return other && `responseExtensions holds ${dottedOid(other.oid)}; nothing but a nonce belongs there`;
    },
  },
  {
    id: 'L-09',
    says: "the delegate's certificate is the first of certs",
    citation: 'RFC 9919 §3.2.2',
    severity: 'error',
    authorities: ['rfc'],
    check({ certs }, { responder }) {
      if (responder?.certificate === undefined) return undefined;
      const [cert] = certs;
      if (cert === undefined) return "the delegated responder's certificate is not included";
      return equalAt(cert, 0, cert.length, responder.certificate)
        ? undefined
        : "the first of certs is not the delegated responder's certificate";
    },
  },
  {
    id: 'T-16',
    says: 'certs holds the delegate alone, or nothing when the CA signed',
    citation: 'RFC 9919 §3.2.2; RFC 6960 §4.2.1',
    severity: 'warning',
    authorities: ['rfc'],
    check({ certs }, { responder }) {
      if (certs.length > 1) return `${certs.length} certificates; only the delegate's is needed`;
      return certs.length === 1 && responder !== undefined && responder.certificate === undefined
        ? 'the CA signed this itself, so no certificate is needed'
        : undefined;
    },
  },
  {
    // A responder that has always said byName may go on (RFC 9919 §3.2.2), and a file does not say how old its responder is.
    id: 'L-11',
    says: 'responderID is byKey',
    citation: 'RFC 9919 §3.2.2',
    severity: 'warning',
    authorities: ['rfc'],
    check: ({ responderID }) =>
      responderID.by === 'name' ? 'responderID is byName; new responders use byKey' : undefined,
  },
  {
    id: 'L-13',
    says: 'nextUpdate is present',
    citation: 'RFC 9919 §3.2.4',
    severity: 'error',
    authorities: ['rfc'],
    check: ({ responses }) =>
      responses.some(({ nextUpdate }) => nextUpdate === undefined)
        ? 'nextUpdate is absent; clients must refuse this'
        : undefined,
  },
  {
    id: 'L-14',
    says: 'producedAt, thisUpdate and nextUpdate are YYYYMMDDHHMMSSZ',
    citation: 'RFC 9919 §3.2.4',
    severity: 'error',
    authorities: ['rfc'],
    check(_, __, { deviations }) {
      const bad = deviations.find(({ kind, field }) => kind === 'time-form' && field !== 'revocationTime');
      return bad && `${bad.field} at octet ${bad.offset} has a fraction, no seconds, no Z, or is no instant`;
    },
  },
  {
    id: 'T-48',
    says: 'the response has at most 4096 octets',
    citation: 'RFC 9919 §8.4',
    severity: 'warning',
    authorities: ['rfc'],
    check: (_, __, { der }) =>
      der.length > LARGE_RESPONSE_OCTETS
        ? `${der.length} octets; over ${LARGE_RESPONSE_OCTETS} some clients do not read it all`
        : undefined,
  },
];
