/** notBefore and notAfter of a certificate (RFC 5280 §4.1.2.5): all that lint asks of the certificates in a response. */
import { DerDocument } from '../der/document.ts';
import { Problem } from '../problem.ts';
import type { EpochMs } from '../time.ts';

/** Undefined when the octets are no certificate, which is for other tools to say. */
export function certificateValidity(
  der: Uint8Array,
): { readonly notBefore: EpochMs; readonly notAfter: EpochMs } | undefined {
  const document: DerDocument = new DerDocument(der, 'Certificate');
  try {
    document.enter(0x30, 'Certificate');
    document.enter(0x30, 'tbsCertificate');
    if (document.cursor.tag === 0xa0) document.any('version');
    document.next(0x02, 'serialNumber');
    document.next(0x30, 'signature');
    document.next(0x30, 'issuer');
    document.enter(0x30, 'validity');
    return { notBefore: document.time('notBefore'), notAfter: document.time('notAfter') };
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}
