/**
 * OCSPResponse (RFC 6960 §4.2.1) under the profile of RFC 9919: one SingleResponse, byKey, nextUpdate always, no extensions
 * but an echoed nonce. Two halves around the signature: `tbs` is what the key signs, `assemble` the whole response.
 *
 * Both are functions of their arguments and the template alone. So the signature is all that need be stored: the same
 * arguments give the same octets again (design decision 8).
 */
import type { CertIdHash, Revocation } from '../certificate.ts';
import { DerWriter, extension, tlv } from '../der/writer.ts';
import { OID } from '../der/oid.ts';
import { Problem } from '../problem.ts';
import { REASON_CODES } from '../reason.ts';
import type { Serial } from '../serial.ts';
import type { SignatureAlgorithm } from '../signature-algorithm.ts';
import type { EpochMs } from '../time.ts';
import { MAX_NONCE_OCTETS } from './request.ts';

/** issuerNameHash and issuerKeyHash under one algorithm (O-20). */
export interface IssuerHashes {
  readonly name: Uint8Array;
  readonly key: Uint8Array;
}

export interface TemplateParts {
  readonly issuer: { readonly sha1: IssuerHashes; readonly sha256: IssuerHashes };
  /** SHA-1 of the responder key's BIT STRING value, whatever the CertID hash (O-06). */
  readonly responderKeyHash: Uint8Array;
  /** DER of the delegate's certificate, the only one sent (T-16); undefined when the CA itself signs. */
  readonly responderCertificate: Uint8Array | undefined;
  readonly algorithm: SignatureAlgorithm;
}

/** What is said about one certificate. Instants are whole seconds. */
export interface StatusAnswer {
  readonly revocation: Revocation | undefined;
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  /** thisUpdate when absent (conflict X-04). */
  readonly producedAt?: EpochMs;
}

/** Everything of an issuer's responses that does not change from one certificate to the next. */
export class ResponseTemplate {
  readonly algorithm: SignatureAlgorithm;
  readonly #certId: { readonly sha1: Buffer; readonly sha256: Buffer };
  readonly #responderId: Buffer;
  readonly #certs: Buffer | undefined;
  /** Scratch of one call at a time: both methods finish what they start without waiting. */
  readonly #writer: DerWriter;

  /** @throws Problem `invalid` when a hash has not its algorithm's length. */
  constructor(parts: TemplateParts) {
    if (parts.responderKeyHash.length !== 20) {
      throw new Problem('invalid', 'the responder key hash is SHA-1', { field: 'responderKeyHash', rule: 'O-06' });
    }
    this.algorithm = parts.algorithm;
    this.#certId = {
      sha1: certIdPrefix('sha1', parts.issuer.sha1),
      sha256: certIdPrefix('sha256', parts.issuer.sha256),
    };
    // RFC 9919 §3.2.2: new responders use byKey, [2] EXPLICIT (L-11).
    this.#responderId = tlv(0xa2, tlv(0x04, parts.responderKeyHash));
    // RFC 6960 §4.2.1: without certificates the field is absent, not empty (O-09).
    this.#certs =
      parts.responderCertificate === undefined ? undefined : tlv(0xa0, tlv(0x30, parts.responderCertificate));
    this.#writer = new DerWriter(1024 + (this.#certs?.length ?? 0));
  }

  /**
   * DER of ResponseData: the octets to sign. The nonce, when there is one, is echoed as sent (N-06).
   * @throws Problem `invalid` for a nonce of no or more than 128 octets, or an instant that no GeneralizedTime can say.
   */
  tbs(hash: CertIdHash, serial: Serial, answer: StatusAnswer, nonce?: Uint8Array): Buffer {
    this.#writeTbs(hash, serial, answer, nonce);
    return this.#writer.finish();
  }

  /** DER of the OCSPResponse that carries this signature (the BIT STRING's octets) over `tbs` of the same arguments. */
  assemble(hash: CertIdHash, serial: Serial, answer: StatusAnswer, signature: Uint8Array, nonce?: Uint8Array): Buffer {
    return Buffer.from(this.draft(hash, serial, answer, signature, nonce));
  }

  /** The same, to be copied at once to where it stays: the next call of any method writes over it. */
  draft(hash: CertIdHash, serial: Serial, answer: StatusAnswer, signature: Uint8Array, nonce?: Uint8Array): Buffer {
    const writer = this.#writer;
    if (this.#certs !== undefined) writer.raw(this.#certs);
    const mark = writer.length;
    writer.raw(signature);
    writer.octet(0); // no unused bits
    writer.wrap(0x03, mark);
    writer.raw(this.algorithm.identifier);
    this.#writeTbs(hash, serial, answer, nonce);
    writer.wrap(0x30, 0); // BasicOCSPResponse
    writer.wrap(0x04, 0);
    writer.raw(BASIC_RESPONSE_TYPE);
    writer.wrap(0x30, 0); // ResponseBytes
    writer.wrap(0xa0, 0);
    writer.raw(SUCCESSFUL);
    writer.wrap(0x30, 0);
    return writer.draft();
  }

  #writeTbs(hash: CertIdHash, serial: Serial, answer: StatusAnswer, nonce: Uint8Array | undefined): void {
    const writer = this.#writer;
    const tbs = writer.length;
    try {
      if (nonce !== undefined) writer.raw(nonceExtensions(nonce));

      const responses = writer.length;
      // L-13: nextUpdate is always there.
      writer.generalizedTime(answer.nextUpdate);
      writer.wrap(0xa0, responses);
      writer.generalizedTime(answer.thisUpdate);
      writeCertStatus(writer, answer.revocation);
      const certId = writer.length;
      writer.serial(serial);
      writer.raw(this.#certId[hash]);
      writer.wrap(0x30, certId);
      writer.wrap(0x30, responses); // SingleResponse
      writer.wrap(0x30, responses); // responses, of which there is one (L-06, T-08)

      writer.generalizedTime(answer.producedAt ?? answer.thisUpdate);
      writer.raw(this.#responderId);
      writer.wrap(0x30, tbs); // the version is a DEFAULT, so absent (O-04)
    } catch (error) {
      writer.finish(); // leaves the scratch empty for the next call
      throw error;
    }
  }
}

/** RFC 6960 §4.2.1: an OCSPResponseStatus and nothing else (O-03). Status 4 does not exist. */
export const ERROR_RESPONSES = {
  malformedRequest: Buffer.from('30030a0101', 'hex'),
  internalError: Buffer.from('30030a0102', 'hex'),
  tryLater: Buffer.from('30030a0103', 'hex'),
  sigRequired: Buffer.from('30030a0105', 'hex'),
  unauthorized: Buffer.from('30030a0106', 'hex'),
} as const;

/** CertStatus, IMPLICIT tags in an otherwise EXPLICIT module (T-13). */
function writeCertStatus(writer: DerWriter, revocation: Revocation | undefined): void {
  if (revocation === undefined) {
    writer.raw(GOOD);
    return;
  }
  const mark = writer.length;
  if (revocation.reason !== undefined) {
    writer.octet(REASON_CODES[revocation.reason]);
    writer.raw(REASON_HEADER);
  }
  writer.generalizedTime(revocation.revokedAt);
  writer.wrap(0xa1, mark);
}

/** hashAlgorithm, issuerNameHash, issuerKeyHash: a CertID without its serial. */
function certIdPrefix(hash: CertIdHash, { name, key }: IssuerHashes): Buffer {
  const octets = hash === 'sha1' ? 20 : 32;
  if (name.length !== octets || key.length !== octets) {
    throw new Problem('invalid', `issuer hashes under ${hash} are ${octets} octets`, {
      field: `issuer.${hash}`,
      rule: 'O-20',
    });
  }
  // T-10: NULL parameters, as every client's own CertID and the examples of RFC 9919 App. B have them.
  const algorithm = tlv(0x30, tlv(0x06, OID[hash]), tlv(0x05));
  return Buffer.concat([algorithm, tlv(0x04, name), tlv(0x04, key)]);
}

/** responseExtensions with the nonce alone, non-critical. RFC 9654 §2.1: an OCTET STRING within extnValue (N-01, N-06). */
function nonceExtensions(nonce: Uint8Array): Buffer {
  if (nonce.length === 0 || nonce.length > MAX_NONCE_OCTETS) {
    throw new Problem('invalid', 'a nonce has 1 to 128 octets', {
      value: `${nonce.length} octets`,
      rule: 'RFC 9654 §2.1',
    });
  }
  return tlv(0xa1, tlv(0x30, extension(OID.nonce, false, tlv(0x04, nonce))));
}

const GOOD = Buffer.from('8000', 'hex');
/** revocationReason [0] EXPLICIT CRLReason, up to its value. */
const REASON_HEADER = Buffer.from('a0030a01', 'hex');
/** responseStatus successful(0). */
const SUCCESSFUL = Buffer.from('0a0100', 'hex');
const BASIC_RESPONSE_TYPE = tlv(0x06, OID.ocspBasic);
