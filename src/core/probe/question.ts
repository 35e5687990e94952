/**
 * What a probe asks: well-formed requests whose base64 holds everything that goes wrong on the way through a proxy (`//`, `+`, `/`,
 * `=`), whichever certificate they are about. What varies is an AcceptableResponses extension (RFC 6960 §4.4.3), which NSS sends
 * with every request and which changes no answer.
 */
import type { CertIdHash } from '../certificate.ts';
import { OID } from '../der/oid.ts';
import { extension, tlv } from '../der/writer.ts';
import type { IssuerHashes } from '../issuer.ts';
import { serialBytes, type Serial } from '../serial.ts';

/** Whom a probe asks about. */
export interface ProbeSubject {
  readonly hash: CertIdHash;
  readonly issuer: IssuerHashes;
  readonly serial: Serial;
}

/** A certificate of nobody: whoever can read a question about it says so (`unauthorized`), and looks into no store. */
export const NOBODY: ProbeSubject = {
  hash: 'sha1',
  issuer: { name: Buffer.from('certstatus probe: no'), key: Buffer.from('such issuer anywhere') },
  serial: '2a' as Serial,
};

/** DER of the CertID, with NULL parameters as OpenSSL and every library on it write them. */
export function certIdDer({ hash, issuer, serial }: ProbeSubject): Buffer {
  return tlv(
    SEQUENCE,
    tlv(SEQUENCE, tlv(0x06, OID[hash]), tlv(0x05)),
    tlv(OCTET_STRING, issuer.name),
    tlv(OCTET_STRING, issuer.key),
    tlv(0x02, serialBytes(serial)),
  );
}

/** As most clients ask. */
export function plainQuestion(subject: ProbeSubject): Buffer {
  return request(subject);
}

/** RFC 9654 §2.1. */
export function noncedQuestion(subject: ProbeSubject, nonce: Uint8Array): Buffer {
  return request(subject, extension(OID.nonce, false, tlv(OCTET_STRING, nonce)));
}

/** The base64 of this one has `//`, `+`, a lone `/` and `=`. */
export function awkwardQuestion(subject: ProbeSubject): Buffer {
  for (const front of FILLERS) {
    for (const end of FILLERS) {
      const der = request(
        subject,
        extension(
          OID.acceptableResponses,
          false,
          // The second is an identifier that nobody has given out; only its octets matter.
          tlv(SEQUENCE, tlv(0x06, OID.ocspBasic), tlv(0x06, front, HARD, end)),
        ),
      );
      const base64 = der.toString('base64');
      if (AWKWARD.every((form) => form.test(base64))) return der;
    }
  }
  throw new Error('no filler suits this CertID');
}

const SEQUENCE = 0x30;
const OCTET_STRING = 0x04;
const AWKWARD = [/[^/]\/\/+[^/]/, /\+/, /[^/]\/[^/]/, /=$/];
/** One arc of an object identifier in base 128: ones in a row are slashes, and a one that is missing makes a plus. */
const HARD = Buffer.from('fbefbebfffffffbfefffbeffbffbefbe7f', 'hex');
/** Arcs in front (1.3.…) and behind, of every length that moves the rest against the groups of base64. */
const FILLERS = ['2b', '2b06', '2b0601', '2b060104'].map((hex) => Buffer.from(hex, 'hex'));

function request(subject: ProbeSubject, requestExtension?: Buffer): Buffer {
  const extensions = requestExtension === undefined ? [] : [tlv(0xa2, tlv(SEQUENCE, requestExtension))];
  const requestList = tlv(SEQUENCE, tlv(SEQUENCE, certIdDer(subject)));
  return tlv(SEQUENCE, tlv(SEQUENCE, requestList, ...extensions));
}
