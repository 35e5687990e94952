/** What only two CRLs show: entries that have gone, or say something else than before. */
import { findExtension } from '../der/document.ts';
import { OID } from '../der/oid.ts';
import type { CrlView } from '../crl/crl-reader.ts';
import { compareEntries } from '../offline/describe.ts';
import type { Finding } from './finding.ts';

/** Serials that are named one by one. */
const NAMED = 3;

/** @param previous what was there before. @throws Problem `corrupt` at an entry that cannot be read. */
export function findingsOfSuccession(previous: CrlView, next: CrlView): Finding[] {
  const findings: Finding[] = [];
  const [was, is] = [previous, next].map(
    ({ crlExtensions }) => findExtension(crlExtensions, OID.issuingDistributionPoint)?.value,
  );
  if (Buffer.compare(was ?? Buffer.alloc(0), is ?? Buffer.alloc(0)) !== 0) {
    const message = 'another issuingDistributionPoint: a CRL of another scope';
    return [{ severity: 'error', rule: 'T-37', citation: 'RFC 5280 §5.2.5', message }];
  }
  const { removed, changed } = compareEntries(previous, next);
  const named = (entries: typeof removed): string => {
    const serials = entries.slice(0, NAMED).map(({ serialOctets }) => Buffer.from(serialOctets).toString('hex'));
    return `${entries.length} (${serials.join(', ')}${entries.length > NAMED ? ', …' : ''})`;
  };
  if (removed.length > 0) {
    // A CRL does not say when a certificate ends, so this cannot be called wrong.
    const message = `${named(removed)} no longer listed: their certificates must have expired before the previous CRL`;
    findings.push({ severity: 'notice', rule: 'C-22', citation: 'RFC 5280 §3.3; BR 7.2', message });
  }
  const later = changed.filter((entry) => entry.reasonCode === undefined);
  if (later.length > 0) {
    const message = `${named(later)} changed and without a reason now: a reason may be given or changed, not taken back`;
    findings.push({ severity: 'notice', rule: 'T-31', citation: 'BR 7.2.2, 4.9.1', message });
  }
  return findings;
}
