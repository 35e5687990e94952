/** A relying party that shares no code with the service: @peculiar writes its requests and reads the answers, Node verifies. */
import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto';
import { BasicOCSPResponse, CertID, OCSPRequest, OCSPResponse, Request, TBSRequest } from '@peculiar/asn1-ocsp';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier, Extension, Extensions } from '@peculiar/asn1-x509';
import type { CertIdHash } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import type { EpochMs } from '../../src/core/time.ts';
import type { Reply } from '../../src/ports/front.ts';
import { issuerHashes } from '../core/ocsp-authority.ts';
import { OCSP_PATH, question, type TestService } from './support-service.ts';

const NONCE = '1.3.6.1.5.5.7.48.1.2';
const OIDS = { sha1: '1.3.14.3.2.26', sha256: '2.16.840.1.101.3.4.2.1' } as const;

/** @param nonce the octets of the Nonce (RFC 9654 §2.1). */
export function requestFor(caDer: Uint8Array, serial: Serial, hash: CertIdHash = 'sha1', nonce?: Uint8Array): Buffer {
  const { name, key } = issuerHashes(caDer)[hash];
  return requestOf([certIdOf(OIDS[hash], name, key, serial)], nonce);
}

export function certIdOf(algorithm: string, name: Buffer, key: Buffer, serial: Serial): CertID {
  return new CertID({
    hashAlgorithm: new AlgorithmIdentifier({ algorithm, parameters: null }),
    issuerNameHash: new OctetString(name),
    issuerKeyHash: new OctetString(key),
    serialNumber: new Uint8Array(Buffer.from(serial, 'hex')).buffer,
  });
}

export function requestOf(certIds: readonly CertID[], nonce?: Uint8Array): Buffer {
  const requestList = certIds.map((reqCert) => new Request({ reqCert }));
  const tbsRequest = new TBSRequest({ requestList });
  if (nonce !== undefined) {
    const extnValue = new OctetString(AsnConvert.serialize(new OctetString(nonce)));
    tbsRequest.requestExtensions = new Extensions([new Extension({ extnID: NONCE, extnValue })]);
  }
  return Buffer.from(AsnConvert.serialize(new OCSPRequest({ tbsRequest })));
}

export const getPath = (der: Uint8Array): string =>
  `${OCSP_PATH}/${encodeURIComponent(Buffer.from(der).toString('base64'))}`;

export interface Said {
  /** An OCSP error status, or what is said about the certificate. */
  readonly status: 'good' | 'revoked' | 'malformedRequest' | 'internalError' | 'tryLater' | 'unauthorized';
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  readonly revokedAt: EpochMs | undefined;
  readonly reason: number | undefined;
  /** notAfter of the certificate in `certs`. */
  readonly responderNotAfter: EpochMs;
  /** Hex; undefined when there is none. */
  readonly nonce: string | undefined;
}

const ERRORS = { 1: 'malformedRequest', 2: 'internalError', 3: 'tryLater', 6: 'unauthorized' } as const;

/** Reads a reply as a client does. A successful answer that does not verify up to the CA, or is about another certificate, fails. */
export function read(reply: Reply, caDer: Uint8Array, serial: Serial, hash: CertIdHash = 'sha1'): Said {
  assert.equal(reply.status, 200);
  const response = AsnConvert.parse(reply.body, OCSPResponse);
  if (response.responseBytes === undefined) {
    const status = ERRORS[response.responseStatus as keyof typeof ERRORS];
    return {
      status,
      thisUpdate: NaN,
      nextUpdate: NaN,
      revokedAt: undefined,
      reason: undefined,
      responderNotAfter: NaN,
      nonce: undefined,
    };
  }
  const basic = AsnConvert.parse(response.responseBytes.response.buffer, BasicOCSPResponse);
  const certificate = new X509Certificate(Buffer.from(AsnConvert.serialize(basic.certs?.[0])));
  assert.ok(
    certificate.verify(createPublicKey(new X509Certificate(caDer).publicKey.export({ type: 'spki', format: 'pem' }))),
  );
  // The signed octets are cut out of the reply, not encoded anew.
  assert.ok(
    verify('sha256', tbsOf(reply.body), certificate.publicKey, Buffer.from(basic.signature)),
    'the signature verifies',
  );
  assert.equal(basic.tbsResponseData.responses.length, 1);
  const single = basic.tbsResponseData.responses[0];
  assert.ok(single !== undefined);
  assert.equal(Buffer.from(single.certID.serialNumber).toString('hex'), serial);
  assert.equal(single.certID.hashAlgorithm.algorithm, OIDS[hash]);
  assert.deepEqual(Buffer.from(single.certID.issuerKeyHash.buffer), issuerHashes(caDer)[hash].key);
  const { revoked } = single.certStatus;
  const echoed = basic.tbsResponseData.responseExtensions?.find(({ extnID }) => extnID === NONCE);
  return {
    status: revoked === undefined ? 'good' : 'revoked',
    thisUpdate: single.thisUpdate.getTime(),
    nextUpdate: single.nextUpdate?.getTime() ?? NaN,
    revokedAt: revoked?.revocationTime.getTime(),
    reason: revoked?.revocationReason?.reason,
    responderNotAfter: Date.parse(certificate.validTo),
    nonce: echoed && Buffer.from(AsnConvert.parse(echoed.extnValue.buffer, OctetString).buffer).toString('hex'),
  };
}

/** Asks the service by GET and reads the reply. */
export async function say(service: TestService, serial: Serial, hash: CertIdHash = 'sha1'): Promise<Said> {
  const { caDer } = service.at;
  const reply = await service.answer(question(getPath(requestFor(caDer, serial, hash))));
  return read(reply, caDer, serial, hash);
}

/** ResponseData as it stands in the reply: OCSPResponse, [0], ResponseBytes, OCTET STRING, BasicOCSPResponse, then it. */
function tbsOf(der: Buffer): Buffer {
  let at = 0;
  const enter = (): void => void (at += header(der, at).length);
  enter(); // OCSPResponse
  at += 3; // responseStatus
  enter(); // [0]
  enter(); // ResponseBytes
  const type = header(der, at);
  at += type.length + type.content;
  enter(); // response
  enter(); // BasicOCSPResponse
  const tbs = header(der, at);
  return der.subarray(at, at + tbs.length + tbs.content);
}

function header(der: Buffer, at: number): { length: number; content: number } {
  const first = der.readUInt8(at + 1);
  if (first < 0x80) return { length: 2, content: first };
  const octets = first & 0x7f;
  return { length: 2 + octets, content: der.readUIntBE(at + 2, octets) };
}

export const sha256 = (octets: Uint8Array): string => createHash('sha256').update(octets).digest('hex');
