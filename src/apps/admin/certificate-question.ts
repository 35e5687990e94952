/** What somebody has pasted to ask about a certificate: the certificate itself, or its serial number in any usual spelling. */
import { certificatesFromFile, readCertificate, type CertificateFields } from '../../core/certificate-reader.ts';
import { isSignedBy } from '../../core/issuer.ts';
import { Problem } from '../../core/problem.ts';
import { serialFromHex, type Serial } from '../../core/serial.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';

export type CertificateQuestion =
  | { readonly kind: 'certificate'; readonly certificate: CertificateFields; readonly more: number }
  /** Digits alone may be hexadecimal or decimal: what was issued decides. */
  | { readonly kind: 'serial'; readonly candidates: readonly Serial[] };

const FIELD = 'certificate';
/** 20 octets in decimal. */
const MAX_DECIMAL_DIGITS = 49;

/** @throws Problem `invalid` naming what it cannot be. */
export function readQuestion(text: string): CertificateQuestion {
  const given = text.trim();
  if (given === '') throw new Problem('invalid', 'paste a certificate, or its serial number', { field: FIELD });
  if (given.includes('-----BEGIN')) {
    const [der, ...more] = certificatesFromFile(Buffer.from(given), FIELD);
    return { kind: 'certificate', certificate: readCertificate(der as Buffer, FIELD), more: more.length };
  }
  const compact = given.replace(/\s+/g, '');
  // DER of a certificate begins with 30 8x, so its base64 with MI, and is longer than any serial number.
  if (compact.startsWith('MI') && compact.length > 128 && /^[A-Za-z0-9+/]+={0,2}$/.test(compact))
    return { kind: 'certificate', certificate: readCertificate(Buffer.from(compact, 'base64'), FIELD), more: 0 };
  return { kind: 'serial', candidates: serials(compact) };
}

function serials(compact: string): readonly Serial[] {
  // As `openssl x509 -serial` prints it.
  const digits = compact.replace(/^serial=/i, '');
  if (!/^\d{1,49}$/.test(digits)) return [serialFromHex(digits, FIELD)];
  const decimal = serialFromHex(BigInt(digits).toString(16), FIELD);
  if (digits.length > 40) return [decimal];
  const hex = serialFromHex(digits, FIELD);
  return hex === decimal ? [hex] : [hex, decimal];
}

/** The issuer of a certificate, by name and by signature: one name can have two keys. @throws Problem `refused` when it is none here. */
export function issuerOf(certificate: CertificateFields, issuers: readonly ServedIssuer[]): ServedIssuer {
  const named = issuers.filter(({ issuer }) => issuer.nameDer.equals(certificate.issuerDer));
  const signed = named.find(({ issuer }) => isSignedBy(issuer, certificate.der));
  if (signed !== undefined) return signed;
  throw new Problem(
    'refused',
    named.length === 0
      ? 'no issuer here has the name of its issuer'
      : `it has the name of ${named.map(({ id }) => id).join(', ')}, but is not signed with that key`,
    { field: FIELD, value: certificate.serial, rule: 'RFC 5280 §6.1.3' },
  );
}

export function decimalOf(serial: Serial): string {
  return BigInt(`0x${serial}`).toString().slice(0, MAX_DECIMAL_DIGITS);
}

export function withColons(serial: Serial): string {
  return serial.match(/../g)?.join(':') ?? serial;
}
