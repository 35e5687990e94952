/** What only the CA certificate can show: the signature, and whether it may be. */
import { verify } from 'node:crypto';
import { whyUnbelievable } from '../ocsp/response-signer.ts';
import { verifierOf } from '../signature-algorithm.ts';
import { rfc3339 } from '../time.ts';
import type { CrlRule, ResponseRule } from './rule.ts';

export const SIGNED_RESPONSE_RULES: readonly ResponseRule[] = [
  {
    id: 'O-07',
    says: 'signed by the CA, or by a certificate that it issued for OCSPSigning and that is in certs',
    citation: 'RFC 6960 §4.2.2.2, §3.2; BR 4.9.9, 7.1.2.10.7',
    severity: 'error',
    authorities: ['rfc'],
    check: (basic, { ca, servedAt }) => ca && whyUnbelievable(basic, ca, servedAt),
  },
  {
    id: 'T-03',
    says: "thisUpdate is not before the start of the responder's certificate",
    citation: 'RFC 6960 §4.2.2.2',
    severity: 'warning',
    authorities: ['rfc'],
    check({ responses }, { responder }) {
      const early = responses.find(({ thisUpdate }) => responder !== undefined && thisUpdate < responder.notBefore);
      return early && `thisUpdate ${rfc3339(early.thisUpdate)} is before the responder certificate's start`;
    },
  },
];

export const SIGNED_CRL_RULES: readonly CrlRule[] = [
  {
    id: '5280-5.1.1.3',
    says: "the signature verifies with the CA's key",
    citation: 'RFC 5280 §5.1.1.3',
    severity: 'error',
    authorities: ['rfc'],
    check({ view, tbs }, { ca }) {
      if (ca === undefined || tbs === undefined) return undefined;
      const by = verifierOf(view.signatureAlgorithm, ca.publicKey);
      if (by === undefined)
        return `the signature algorithm is not one of the CA's ${ca.publicKey.asymmetricKeyType} key`;
      return verify(by.hash, tbs, by.key, view.signatureValue)
        ? undefined
        : `the signature does not verify with the key of ${ca.name}`;
    },
  },
  {
    id: 'C-30',
    says: "the CA's certificate permits cRLSign",
    citation: 'RFC 5280 §4.2.1.3, §6.3.3(f)',
    severity: 'error',
    authorities: ['rfc'],
    check: (_, { ca }) =>
      ca === undefined || ca.keyUsage.crlSign ? undefined : `the certificate of ${ca.name} does not permit cRLSign`,
  },
];
