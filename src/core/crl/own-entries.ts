/**
 * Whether the entries of a CRL are what they look like: certificates of the CA that signed it. Revocations that are learnt from a CRL
 * cannot be taken back, so what says otherwise, or says something that is not understood here, stops all of it.
 */
import { dottedOid, OID } from '../der/oid.ts';
import { findExtension, type ExtensionView } from '../der/document.ts';
import { equalAt } from '../der/reader.ts';
import { Problem } from '../problem.ts';
import type { ReasonName } from '../reason.ts';
import type { Serial } from '../serial.ts';
import type { EpochMs } from '../time.ts';
import type { CrlEntryView, CrlView } from './crl-reader.ts';
import { readIssuingDistributionPoint } from './idp.ts';

/** An entry that can be recorded. */
export interface OwnEntry {
  readonly serial: Serial;
  readonly revokedAt: EpochMs;
  readonly reason: ReasonName | undefined;
}

/** @throws Problem `refused` for a CRL whose extensions say that it does not list certificates of its signer; `corrupt` */
export function mustListOwn({ crlExtensions }: CrlView): void {
  // RFC 5280 §5.2: a CRL with a critical extension that is not understood says nothing about any certificate.
  const unknown = crlExtensions.find(
    ({ oid, critical }) => critical && !UNDERSTOOD.some((known) => equalAt(oid, 0, oid.length, known)),
  );
  if (unknown !== undefined) throw notUnderstood(unknown, 'crlExtensions', 'RFC 5280 §5.2');
  const idp = findExtension(crlExtensions, OID.issuingDistributionPoint);
  if (idp !== undefined && readIssuingDistributionPoint(idp.value).onlyContainsAttributeCerts)
    throw new Problem('refused', 'lists attribute certificates, whose serials are not those of certificates', {
      field: 'issuingDistributionPoint',
      rule: 'RFC 5280 §5.2.5',
    });
}

/** Every entry. @throws Problem `invalid` or `refused` at the first that is not of a certificate of the CRL's issuer. */
export function* ownEntries(view: CrlView): Generator<OwnEntry> {
  for (const entry of view.entries()) yield ownEntry(entry);
}

function ownEntry({ serial, revocationDate, reason, reasonCode, otherExtensions, offset }: CrlEntryView): OwnEntry {
  if (serial === undefined || Number.isNaN(revocationDate) || (reasonCode !== undefined && reason === undefined)) {
    throw new Problem('invalid', 'an entry without a valid serial, date or reason', {
      field: 'CRL entry',
      value: `offset ${offset}`,
      rule: 'RFC 5280 §5.3',
    });
  }
  if (otherExtensions.length > 0) {
    // It counts for all entries behind it too (C-26), so none of them is this CA's by itself.
    if (findExtension(otherExtensions, OID.certificateIssuer) !== undefined)
      throw new Problem('refused', 'an indirect CRL: from this entry on it lists certificates of another CA', {
        field: 'certificateIssuer',
        value: serial,
        rule: 'RFC 5280 §5.3.3',
      });
    const unknown = otherExtensions.find(({ critical }) => critical);
    if (unknown !== undefined) throw notUnderstood(unknown, 'crlEntryExtensions', 'RFC 5280 §5.3');
  }
  return { serial, revokedAt: revocationDate, reason };
}

function notUnderstood({ oid }: ExtensionView, field: string, rule: string): Problem {
  return new Problem('refused', 'a critical extension that is not understood here', {
    field,
    value: dottedOid(oid),
    rule,
  });
}

/** A delta lists revoked certificates as well, if not all of them. */
const UNDERSTOOD = [OID.issuingDistributionPoint, OID.deltaCRLIndicator];
