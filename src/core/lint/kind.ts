/** Which of the objects that lint knows a file holds, told by its octets and not by its name. */
import { DerCursor } from '../der/reader.ts';
import { Problem } from '../problem.ts';

export type LintedKind = 'CRL' | 'OCSP response' | 'responder certificate';

/** The DER of a file that holds one object, as DER or PEM. @throws Problem `invalid` for what is neither. */
export function derOf(bytes: Buffer, file: string): { readonly der: Buffer; readonly form: 'der' | 'pem' } {
  if (bytes[0] === 0x30) return { der: bytes, form: 'der' };
  const text = bytes.toString('latin1');
  const begin = PEM_BEGIN.exec(text);
  const from = begin === null ? 0 : begin.index + begin[0].length;
  const to = text.indexOf('-----END ', from);
  const body = begin === null || to < 0 ? undefined : text.slice(from, to);
  if (body === undefined || !/^[A-Za-z0-9+/=\s]+$/.test(body))
    throw new Problem('invalid', 'neither DER nor PEM', { field: 'file', value: file });
  return { der: Buffer.from(body, 'base64'), form: 'pem' };
}

/** @throws Problem `invalid` for another object. */
export function kindOf(der: Uint8Array, file: string): LintedKind {
  const cursor = new DerCursor(der);
  const next = (): number => cursor.tag;
  cursor.enter(0x30);
  // An OCSPResponse begins with its status.
  if (next() === 0x0a) return 'OCSP response';
  if (next() === 0x30 && cursor.enter(0x30) >= 0) {
    // A certificate of version 3 begins with its version in [0], a TBSCertList with a bare one or, of version 1, with an algorithm.
    if (next() === 0xa0 && cursor.next(0xa0) && next() === 0x02) return 'responder certificate';
    if (next() === 0x02) return 'CRL';
    if (next() === 0x30 && cursor.enter(0x30) >= 0 && next() === 0x06) return 'CRL';
  }
  throw new Problem('invalid', 'neither an OCSPResponse nor a CertificateList nor a certificate', {
    field: 'file',
    value: file,
  });
}

const PEM_BEGIN = /-----BEGIN [A-Z0-9 ]+-----/;
