/**
 * Decodes an OCSPResponse (RFC 6960 §4.2.1), ours before it is published or anybody's for `lint`. Shares no code with
 * response.ts, so that a mistake there is seen here (P6). Views, no copies: the result lives as long as `der` is unchanged.
 */
import type { CertIdHash } from '../certificate.ts';
import { DerDocument, type Deviation, type ExtensionView } from '../der/document.ts';
import { isMinimalInteger } from '../der/reader.ts';
import { OID } from '../der/oid.ts';
import { serialFromInteger, type Serial } from '../serial.ts';
import type { EpochMs } from '../time.ts';

export type ResponseStatus =
  'successful' | 'malformedRequest' | 'internalError' | 'tryLater' | 'sigRequired' | 'unauthorized';

export interface DecodedResponse {
  readonly der: Uint8Array;
  readonly status: ResponseStatus;
  /** Present when the status is successful (O-03). */
  readonly basic: DecodedBasicResponse | undefined;
  /** What was readable but not in its proper form. */
  readonly deviations: readonly Deviation[];
}

export interface DecodedBasicResponse {
  /** DER of ResponseData: the octets that were signed (O-02). */
  readonly tbs: Uint8Array;
  readonly responderID:
    | { readonly by: 'key'; readonly keyHash: Uint8Array }
    /** DER of the Name. */
    | { readonly by: 'name'; readonly name: Uint8Array };
  /** NaN when its form is irregular, and then `deviations` says so; the same holds for every instant below. */
  readonly producedAt: EpochMs;
  readonly responses: readonly SingleResponseView[];
  readonly responseExtensions: readonly ExtensionView[];
  /** DER of the AlgorithmIdentifier. */
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
  /** DER of each certificate. */
  readonly certs: readonly Uint8Array[];
}

export interface SingleResponseView {
  /** DER of the CertID. */
  readonly certID: Uint8Array;
  /** DER of hashAlgorithm, and which one it is. */
  readonly hashAlgorithm: Uint8Array;
  readonly hash: CertIdHash | undefined;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  /** Undefined when C-28 refuses it; the octets are in `serialOctets`. */
  readonly serial: Serial | undefined;
  readonly serialOctets: Uint8Array;
  readonly certStatus: 'good' | 'revoked' | 'unknown';
  readonly revocationTime: EpochMs | undefined;
  /** The number, because a wrong one must be shown. */
  readonly revocationReason: number | undefined;
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs | undefined;
  readonly singleExtensions: readonly ExtensionView[];
}

/** T-48: clients read 16 kB at most; a foreign response may carry a chain. */
const MAX_RESPONSE_OCTETS = 65_536;

/** @throws Problem `corrupt` naming field and offset when these octets are not a strictly encoded OCSPResponse. */
export function decodeResponse(der: Uint8Array): DecodedResponse {
  const document: DerDocument = new DerDocument(der, 'OCSPResponse');
  const { cursor } = document;
  if (der.length > MAX_RESPONSE_OCTETS) document.fail(`over ${MAX_RESPONSE_OCTETS} octets`, 'OCSPResponse', 'T-48', 0);
  const whole = document.enter(0x30, 'OCSPResponse');
  document.next(0x0a, 'responseStatus');
  const status = cursor.length === 1 ? STATUSES[der[cursor.start] as number] : undefined;
  // RFC 6960 §4.2.1: 4 is not used, and nothing follows 6.
  if (status === undefined) document.fail('no such OCSPResponseStatus', 'responseStatus', 'O-03');
  let basic: DecodedBasicResponse | undefined;
  if (!cursor.atEnd) {
    if (status !== 'successful') document.fail('responseBytes in an error', 'responseBytes', 'O-03', cursor.position);
    const explicit = document.enter(0xa0, 'responseBytes');
    const bytes = document.enter(0x30, 'responseBytes');
    document.next(0x06, 'responseType');
    if (!cursor.contentIs(OID.ocspBasic)) document.fail('not id-pkix-ocsp-basic', 'responseType', 'O-01');
    const octets = document.enter(0x04, 'response');
    basic = readBasicResponse(document);
    document.leave(octets, 'response');
    document.leave(bytes, 'responseBytes');
    document.leave(explicit, 'responseBytes');
  } else if (status === 'successful') {
    document.fail('successful without responseBytes', 'responseBytes', 'O-03');
  }
  document.leave(whole, 'OCSPResponse');
  if (!cursor.atEnd) document.fail('octets after the response', 'OCSPResponse', 'T-56', cursor.position);
  return { der, status, basic, deviations: document.deviations };
}

function readBasicResponse(document: DerDocument): DecodedBasicResponse {
  const { cursor } = document;
  const outer = document.enter(0x30, 'BasicOCSPResponse');

  const tbsEnd = document.enter(0x30, 'tbsResponseData');
  const tbs = cursor.element();
  if (cursor.tag === 0xa0) {
    document.next(0xa0, 'version');
    if (!cursor.contentIs(VERSION_V1)) document.fail('not version v1', 'version', 'O-04');
    document.deviation('default-encoded', 'version');
  }
  const responderID = readResponderId(document);
  const producedAt = document.generalizedTime('producedAt');
  const listEnd = document.enter(0x30, 'responses');
  const responses: SingleResponseView[] = [];
  while (!cursor.atEnd) responses.push(readSingleResponse(document));
  document.leave(listEnd, 'responses');
  const responseExtensions = optionalExtensions(document, 'responseExtensions');
  document.leave(tbsEnd, 'tbsResponseData');

  document.next(0x30, 'signatureAlgorithm');
  const signatureAlgorithm = cursor.element();
  const signature = document.bitString('signature');
  const certs: Uint8Array[] = [];
  if (!cursor.atEnd) {
    const explicit = document.enter(0xa0, 'certs');
    const list = document.enter(0x30, 'certs');
    if (cursor.atEnd) document.deviation('empty-sequence', 'certs');
    while (!cursor.atEnd) {
      document.next(0x30, 'certs');
      certs.push(cursor.element());
    }
    document.leave(list, 'certs');
    document.leave(explicit, 'certs');
  }
  document.leave(outer, 'BasicOCSPResponse');
  return { tbs, responderID, producedAt, responses, responseExtensions, signatureAlgorithm, signature, certs };
}

function readResponderId(document: DerDocument): DecodedBasicResponse['responderID'] {
  const { cursor } = document;
  const byName = cursor.tag === 0xa1;
  const outer = document.enter(byName ? 0xa1 : 0xa2, 'responderID');
  document.next(byName ? 0x30 : 0x04, 'responderID');
  const responderID = byName
    ? { by: 'name' as const, name: cursor.element() }
    : { by: 'key' as const, keyHash: cursor.content() };
  document.leave(outer, 'responderID');
  return responderID;
}

function readSingleResponse(document: DerDocument): SingleResponseView {
  const { cursor } = document;
  const outer = document.enter(0x30, 'SingleResponse');

  const certIdEnd = document.enter(0x30, 'certID');
  const certID = cursor.element();
  const algorithmEnd = document.enter(0x30, 'hashAlgorithm');
  const hashAlgorithm = cursor.element();
  document.next(0x06, 'hashAlgorithm');
  const hash = cursor.contentIs(OID.sha1) ? 'sha1' : cursor.contentIs(OID.sha256) ? 'sha256' : undefined;
  if (!cursor.atEnd) document.any('hashAlgorithm');
  document.leave(algorithmEnd, 'hashAlgorithm');
  document.next(0x04, 'issuerNameHash');
  const issuerNameHash = cursor.content();
  document.next(0x04, 'issuerKeyHash');
  const issuerKeyHash = cursor.content();
  document.next(0x02, 'serialNumber');
  const serialOctets = cursor.content();
  if (!isMinimalInteger(serialOctets)) document.fail('not a minimal INTEGER', 'serialNumber', 'X.690 §8.3.2');
  document.leave(certIdEnd, 'certID');

  const { certStatus, revocationTime, revocationReason } = readCertStatus(document);
  const thisUpdate = document.generalizedTime('thisUpdate');
  let nextUpdate: EpochMs | undefined;
  if (cursor.tag === 0xa0) {
    const explicit = document.enter(0xa0, 'nextUpdate');
    nextUpdate = document.generalizedTime('nextUpdate');
    document.leave(explicit, 'nextUpdate');
  }
  const singleExtensions = optionalExtensions(document, 'singleExtensions');
  document.leave(outer, 'SingleResponse');
  return {
    certID,
    hashAlgorithm,
    hash,
    issuerNameHash,
    issuerKeyHash,
    serial: serialFromInteger(serialOctets),
    serialOctets,
    certStatus,
    revocationTime,
    revocationReason,
    thisUpdate,
    nextUpdate,
    singleExtensions,
  };
}

type CertStatusView = Pick<SingleResponseView, 'certStatus' | 'revocationTime' | 'revocationReason'>;

/** CertStatus ::= CHOICE { good [0] IMPLICIT NULL, revoked [1] IMPLICIT RevokedInfo, unknown [2] IMPLICIT NULL } */
function readCertStatus(document: DerDocument): CertStatusView {
  const { cursor } = document;
  if (cursor.tag === 0xa1) {
    const outer = document.enter(0xa1, 'certStatus');
    const revocationTime = document.generalizedTime('revocationTime');
    let revocationReason: number | undefined;
    if (!cursor.atEnd) {
      const explicit = document.enter(0xa0, 'revocationReason');
      document.next(0x0a, 'revocationReason');
      if (cursor.length !== 1) document.fail('no CRLReason', 'revocationReason', 'RFC 5280 §5.3.1');
      revocationReason = cursor.bytes[cursor.start];
      document.leave(explicit, 'revocationReason');
    }
    document.leave(outer, 'certStatus');
    return { certStatus: 'revoked', revocationTime, revocationReason };
  }
  const unknown = cursor.tag === 0x82;
  document.next(unknown ? 0x82 : 0x80, 'certStatus');
  if (cursor.length !== 0) document.fail('NULL with content', 'certStatus', 'X.690 §8.8.2');
  return { certStatus: unknown ? 'unknown' : 'good', revocationTime: undefined, revocationReason: undefined };
}

/** [1] EXPLICIT Extensions OPTIONAL */
function optionalExtensions(document: DerDocument, field: string): readonly ExtensionView[] {
  if (document.cursor.tag !== 0xa1) return NO_EXTENSIONS;
  const explicit = document.enter(0xa1, field);
  const extensions = document.extensions(field);
  document.leave(explicit, field);
  return extensions;
}

const NO_EXTENSIONS: readonly ExtensionView[] = [];
const VERSION_V1 = Buffer.from('020100', 'hex');
const STATUSES: Readonly<Record<number, ResponseStatus>> = {
  0: 'successful',
  1: 'malformedRequest',
  2: 'internalError',
  3: 'tryLater',
  5: 'sigRequired',
  6: 'unauthorized',
};
