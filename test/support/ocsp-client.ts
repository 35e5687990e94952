/**
 * An OCSP client that shares no code with the service: requests are built and answers read with @peculiar/asn1-*, signatures
 * checked with node:crypto up to the CA's key. What it accepts, a relying party accepts.
 */
import { createHash, verify, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  BasicOCSPResponse,
  CertID,
  OCSPRequest,
  OCSPResponse,
  OCSPResponseStatus,
  Request,
  TBSRequest,
} from '@peculiar/asn1-ocsp';
import {
  AlgorithmIdentifier,
  Certificate,
  CRLReason,
  Extension,
  id_ce_cRLReasons,
  CertificateList,
} from '@peculiar/asn1-x509';
import { exchange, type HttpAnswer } from './http.ts';

export type CertIdHash = 'sha1' | 'sha256';

export interface OcspIssuer {
  readonly certificate: X509Certificate;
  /** DER of the subject, and the bits of the subjectPublicKey (RFC 6960 §4.1.1). */
  readonly name: Buffer;
  readonly key: Buffer;
}

/** What a relying party takes from an answer. */
export interface OcspAnswer {
  readonly status:
    'good' | 'revoked' | 'unknown' | 'malformedRequest' | 'internalError' | 'tryLater' | 'sigRequired' | 'unauthorized';
  readonly revokedAt?: number;
  /** By its RFC 5280 name. */
  readonly reason?: string;
  readonly thisUpdate?: number;
  readonly nextUpdate?: number;
}

export function issuerFromFile(file: string): OcspIssuer {
  const certificate = new X509Certificate(readFileSync(file));
  const { tbsCertificate } = AsnConvert.parse(certificate.raw, Certificate);
  return {
    certificate,
    name: Buffer.from(AsnConvert.serialize(tbsCertificate.subject)),
    key: Buffer.from(tbsCertificate.subjectPublicKeyInfo.subjectPublicKey),
  };
}

/** @param serial hex of the INTEGER, with or without a leading 00. */
export function ocspRequest(
  issuer: Pick<OcspIssuer, 'name' | 'key'>,
  serial: string,
  hash: CertIdHash = 'sha1',
  nonce?: Uint8Array,
): Buffer {
  const reqCert = certId(issuer, serial, hash);
  const tbsRequest = new TBSRequest({ requestList: [new Request({ reqCert })] });
  if (nonce !== undefined) {
    const extnValue = new OctetString(AsnConvert.serialize(new OctetString(nonce)));
    tbsRequest.requestExtensions = [new Extension({ extnID: '1.3.6.1.5.5.7.48.1.2', extnValue })];
  }
  return Buffer.from(AsnConvert.serialize(new OCSPRequest({ tbsRequest })));
}

/** The path of a GET (RFC 6960 App. A.1). */
export function getPath(base: string, request: Buffer): string {
  return `${base.replace(/\/$/, '')}/${encodeURIComponent(request.toString('base64'))}`;
}

export interface Asked {
  readonly port: number;
  readonly path?: string;
  readonly method?: 'GET' | 'POST';
  readonly hash?: CertIdHash;
  readonly nonce?: Uint8Array;
}

/** Asks, and checks everything that came back. */
export async function ask(
  issuer: OcspIssuer,
  serial: string,
  { port, path = '/', method = 'POST', hash = 'sha1', nonce }: Asked,
): Promise<OcspAnswer> {
  const request = ocspRequest(issuer, serial, hash, nonce);
  const answer = await exchange(
    method === 'GET'
      ? { port, path: getPath(path, request) }
      : { port, path, method, headers: { 'content-type': 'application/ocsp-request' }, body: request },
  );
  return readAnswer(answer, issuer, serial, hash);
}

/** @throws when a relying party would not accept it now for this serial of this issuer. */
export function readAnswer(answer: HttpAnswer, issuer: OcspIssuer, serial: string, hash: CertIdHash): OcspAnswer {
  const { responder, ...read } = readOctets(answer, issuer, serial, hash);
  const { thisUpdate, nextUpdate } = read;
  const now = Date.now();
  // P4, with a second for the clock between the two processes.
  if (thisUpdate !== undefined && (thisUpdate > now + 1000 || !((nextUpdate ?? NaN) + 1000 > now))) {
    const end = nextUpdate === undefined ? 'for ever' : new Date(nextUpdate).toISOString();
    throw new Error(`not current: ${new Date(thisUpdate).toISOString()} to ${end}`);
  }
  if (responder !== undefined && now > responder.notAfter) throw new Error('the responder certificate has expired');
  return read;
}

/** What an answer says, and from when to when the responder certificate in it is valid. */
export interface ReadOctets extends OcspAnswer {
  readonly responder?: { readonly notBefore: number; readonly notAfter: number };
}

/** As readAnswer, but for whoever judges the times: nothing is held against the clock. */
export function readOctets(answer: HttpAnswer, issuer: OcspIssuer, serial: string, hash: CertIdHash): ReadOctets {
  if (answer.status !== 200 || answer.headers['content-type'] !== 'application/ocsp-response')
    throw new Error(`HTTP ${answer.status} ${answer.headers['content-type']}`);
  const response = AsnConvert.parse(answer.body, OCSPResponse);
  if (response.responseBytes === undefined) {
    if (response.responseStatus === OCSPResponseStatus.successful) throw new Error('successful without a response');
    return { status: OCSPResponseStatus[response.responseStatus] as OcspAnswer['status'] };
  }
  if (response.responseStatus !== OCSPResponseStatus.successful) throw new Error('a response with an error status');
  const basicDer = Buffer.from(response.responseBytes.response.buffer);
  const basic = AsnConvert.parse(basicDer, BasicOCSPResponse);
  const responder = checkSignature(basic, basicDer, issuer);
  const { responses } = basic.tbsResponseData;
  const [single] = responses;
  if (single === undefined || responses.length !== 1) throw new Error(`${responses.length} SingleResponses`);
  const asked = Buffer.from(AsnConvert.serialize(certId(issuer, serial, hash)));
  if (!Buffer.from(AsnConvert.serialize(single.certID)).equals(asked))
    throw new Error('the CertID of another certificate');
  const [thisUpdate, nextUpdate] = [single.thisUpdate.getTime(), single.nextUpdate?.getTime() ?? NaN];
  const signedBy = responder === undefined ? {} : { responder };
  const { certStatus } = single;
  if (certStatus.revoked !== undefined) {
    const { revocationTime, revocationReason } = certStatus.revoked;
    const reason = revocationReason === undefined ? undefined : REASONS[revocationReason.reason];
    return {
      status: 'revoked',
      revokedAt: revocationTime.getTime(),
      thisUpdate,
      nextUpdate,
      ...(reason !== undefined && { reason }),
      ...signedBy,
    };
  }
  return { status: certStatus.good === undefined ? 'unknown' : 'good', thisUpdate, nextUpdate, ...signedBy };
}

/** Returns the life of the certificate that signed it, when that is not the CA's own. */
function checkSignature(basic: BasicOCSPResponse, der: Buffer, issuer: OcspIssuer): ReadOctets['responder'] {
  let key: KeyObject = issuer.certificate.publicKey;
  let life: ReadOctets['responder'];
  const [certificate] = basic.certs ?? [];
  if (certificate !== undefined) {
    const responder = new X509Certificate(Buffer.from(AsnConvert.serialize(certificate)));
    if (!responder.verify(key)) throw new Error('the responder certificate is not the CA\'s'); // prettier-ignore
    if (!responder.keyUsage.includes('1.3.6.1.5.5.7.3.9')) throw new Error('the responder certificate is not for OCSP'); // RFC 6960 §4.2.2.2
    key = responder.publicKey;
    life = { notBefore: Date.parse(responder.validFrom), notAfter: Date.parse(responder.validTo) };
  }
  // The first element of BasicOCSPResponse, octets as they came.
  const tbs = firstElement(der);
  if (!verify('sha256', tbs, key, Buffer.from(basic.signature))) throw new Error('the signature does not verify');
  return life;
}

/** Of a SEQUENCE, its first element. */
function firstElement(der: Buffer): Buffer {
  const at = headerLength(der, 0);
  const length = headerLength(der, at);
  const size = (der[at + 1] as number) < 0x80 ? (der[at + 1] as number) : der.readUIntBE(at + 2, length - 2);
  return der.subarray(at, at + length + size);
}

function headerLength(der: Buffer, at: number): number {
  const first = der[at + 1] as number;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function certId(issuer: Pick<OcspIssuer, 'name' | 'key'>, serial: string, hash: CertIdHash): CertID {
  const digest = (octets: Buffer): OctetString => new OctetString(createHash(hash).update(octets).digest());
  const octets = Buffer.from(serial.length % 2 ? `0${serial}` : serial, 'hex');
  const positive = (octets[0] as number) & 0x80 ? Buffer.concat([Buffer.of(0), octets]) : octets;
  return new CertID({
    hashAlgorithm: new AlgorithmIdentifier({
      algorithm: hash === 'sha1' ? '1.3.14.3.2.26' : '2.16.840.1.101.3.4.2.1',
      parameters: NULL,
    }),
    issuerNameHash: digest(issuer.name),
    issuerKeyHash: digest(issuer.key),
    serialNumber: new Uint8Array(positive).buffer,
  });
}

const NULL = new Uint8Array([5, 0]).buffer;

const REASONS: Readonly<Record<number, string>> = {
  1: 'keyCompromise',
  2: 'cACompromise',
  3: 'affiliationChanged',
  4: 'superseded',
  5: 'cessationOfOperation',
  6: 'certificateHold',
  8: 'removeFromCRL',
  9: 'privilegeWithdrawn',
};

/** A CRL as @peculiar reads it: number, and reason and date by serial (upper-case hex without leading zeros). */
export interface ReadCrl {
  readonly number: bigint;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly entries: ReadonlyMap<string, { readonly revokedAt: number; readonly reason: string | undefined }>;
}

/** @throws when its signature is not the CA's. */
export function readCrl(der: Buffer, issuer: OcspIssuer): ReadCrl {
  const list = AsnConvert.parse(der, CertificateList);
  if (!verify('sha256', firstElement(der), issuer.certificate.publicKey, Buffer.from(list.signature)))
    throw new Error('the CRL is not signed by the CA');
  const { tbsCertList } = list;
  const number = tbsCertList.crlExtensions?.find(({ extnID }) => extnID === '2.5.29.20');
  if (number === undefined) throw new Error('no CRL number');
  const entries = (tbsCertList.revokedCertificates ?? []).map((entry) => {
    const reason = entry.crlEntryExtensions?.find(({ extnID }) => extnID === id_ce_cRLReasons);
    const code = reason === undefined ? undefined : AsnConvert.parse(reason.extnValue.buffer, CRLReason).reason;
    return [
      plainSerial(Buffer.from(entry.userCertificate).toString('hex')),
      { revokedAt: entry.revocationDate.getTime().getTime(), reason: code === undefined ? undefined : REASONS[code] },
    ] as const;
  });
  return {
    number: BigInt(`0x${Buffer.from(number.extnValue.buffer).subarray(2).toString('hex')}`),
    thisUpdate: tbsCertList.thisUpdate.getTime().getTime(),
    nextUpdate: tbsCertList.nextUpdate?.getTime().getTime() ?? NaN,
    entries: new Map(entries),
  };
}

/** Upper-case hex without leading zeros: the key of ReadCrl.entries. */
export function plainSerial(hex: string): string {
  return hex.toUpperCase().replace(/^0+(?=.)/, '');
}
