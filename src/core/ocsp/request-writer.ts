/** Writes an OCSPRequest (RFC 6960 §4.1.1) as a client sends it: for load, never on the way of an answer. */
import type { CertIdHash } from '../certificate.ts';
import { tlv } from '../der/writer.ts';
import { OID } from '../der/oid.ts';
import type { Issuer } from '../issuer.ts';
import { type Serial, serialBytes } from '../serial.ts';

/** One CertID, no nonce, no signature: what RFC 9919 §3.1.1 asks of clients, and nginx sends. */
export function writeRequest(hashes: Issuer['hashes'], serial: Serial, hash: CertIdHash = 'sha1'): Buffer {
  const { name, key } = hashes[hash];
  const algorithm = tlv(0x30, tlv(0x06, OID[hash]), Buffer.of(0x05, 0x00));
  const certId = tlv(0x30, algorithm, tlv(0x04, name), tlv(0x04, key), tlv(0x02, serialBytes(serial)));
  return tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, certId))));
}
