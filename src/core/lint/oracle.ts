/**
 * A second opinion: the same octets decoded by @peculiar/asn1-*, compared field by field with what our own readers saw. Too
 * slow for every answer (0.1 ms and more), so only the tests ask it.
 *
 * The library reads BER and resolves what we keep as octets; so each field is compared in the form that it gives.
 */
import { AsnConvert } from '@peculiar/asn1-schema';
import { CertificateList, type Extension } from '@peculiar/asn1-x509';
import { BasicOCSPResponse, OCSPResponse } from '@peculiar/asn1-ocsp';
import { dottedOid } from '../der/oid.ts';
import type { ExtensionView } from '../der/document.ts';
import type { CrlView } from '../crl/crl-reader.ts';
import type { DecodedResponse } from '../ocsp/response-reader.ts';

/** The library's own limit of 10,000 nodes ends at a CRL of some 1,200 entries. */
const BER_OPTIONS = { maxNodes: 200_000_000, maxContentLength: 1_000_000_000 };

const RESPONSE_STATUS = [
  'successful',
  'malformedRequest',
  'internalError',
  'tryLater',
  '',
  'sigRequired',
  'unauthorized',
];

/** Every field that the two decoders see differently, as `field: ours, theirs`. None means they agree. */
export function compareResponse(ours: DecodedResponse): string[] {
  const differences = new Differences();
  const outer = differences.parse(() => AsnConvert.parse(ours.der, OCSPResponse));
  if (outer === undefined) return differences.found;
  differences.note('encoding', hex(ours.der), hex(AsnConvert.serialize(outer)));
  differences.note('responseStatus', ours.status, RESPONSE_STATUS[outer.responseStatus]);
  const octets = outer.responseBytes?.response.buffer;
  differences.note('responseBytes', ours.basic !== undefined, octets !== undefined);
  if (octets === undefined || ours.basic === undefined) return differences.found;

  const theirs = differences.parse(() => AsnConvert.parse(octets, BasicOCSPResponse));
  if (theirs === undefined) return differences.found;
  const { basic } = ours;
  const data = theirs.tbsResponseData;
  const { responderID } = basic;
  differences.note('BasicOCSPResponse', hex(octets), hex(AsnConvert.serialize(theirs)));
  differences.note('tbsResponseData', hex(basic.tbs), hex(theirs.tbsResponseDataRaw));
  differences.note('producedAt', basic.producedAt, data.producedAt.getTime());
  const theirName = data.responderID.byName;
  differences.note(
    'byKey',
    responderID.by === 'key' ? hex(responderID.keyHash) : undefined,
    hex(data.responderID.byKey?.buffer),
  );
  differences.note(
    'byName',
    responderID.by === 'name' ? hex(responderID.name) : undefined,
    theirName && hex(AsnConvert.serialize(theirName)),
  );
  differences.note(
    'signatureAlgorithm',
    hex(basic.signatureAlgorithm),
    hex(AsnConvert.serialize(theirs.signatureAlgorithm)),
  );
  differences.note('signature', hex(basic.signature), hex(theirs.signature));
  differences.note(
    'certs',
    basic.certs.map(hex).join(),
    (theirs.certs ?? []).map((cert) => hex(AsnConvert.serialize(cert))).join(),
  );
  differences.extensions('responseExtensions', basic.responseExtensions, data.responseExtensions);
  differences.note('responses', basic.responses.length, data.responses.length);
  basic.responses.forEach((single, i) => {
    const their = data.responses[i];
    if (their === undefined) return;
    const at = (field: string): string => `responses[${i}].${field}`;
    const { certID, certStatus } = their;
    differences.note(at('certID'), hex(single.certID), hex(AsnConvert.serialize(certID)));
    differences.note(at('issuerNameHash'), hex(single.issuerNameHash), hex(certID.issuerNameHash.buffer));
    differences.note(at('issuerKeyHash'), hex(single.issuerKeyHash), hex(certID.issuerKeyHash.buffer));
    differences.note(at('serialNumber'), hex(single.serialOctets), hex(certID.serialNumber));
    const status = certStatus.revoked !== undefined ? 'revoked' : certStatus.unknown !== undefined ? 'unknown' : 'good';
    differences.note(at('certStatus'), single.certStatus, status);
    differences.note(at('revocationTime'), single.revocationTime, certStatus.revoked?.revocationTime.getTime());
    differences.note(at('revocationReason'), single.revocationReason, certStatus.revoked?.revocationReason?.reason);
    differences.note(at('thisUpdate'), single.thisUpdate, their.thisUpdate.getTime());
    differences.note(at('nextUpdate'), single.nextUpdate, their.nextUpdate?.getTime());
    differences.extensions(at('singleExtensions'), single.singleExtensions, their.singleExtensions);
  });
  return differences.found;
}

/** The same for a CRL. The library needs 10 kB of memory and 0.1 ms per entry: for large CRLs, not on a busy machine. */
export function compareCrl(ours: CrlView): string[] {
  const differences = new Differences();
  const theirs = differences.parse(() => AsnConvert.parse(ours.der, CertificateList, { berOptions: BER_OPTIONS }));
  if (theirs === undefined) return differences.found;
  const { tbsCertList: list } = theirs;
  differences.note('encoding', hex(ours.der), hex(AsnConvert.serialize(theirs)));
  differences.note('version', ours.version, (list.version ?? 0) + 1);
  differences.note('signature', hex(ours.signature), hex(AsnConvert.serialize(list.signature)));
  differences.note(
    'signatureAlgorithm',
    hex(ours.signatureAlgorithm),
    hex(AsnConvert.serialize(theirs.signatureAlgorithm)),
  );
  differences.note('signatureValue', hex(ours.signatureValue), hex(theirs.signature));
  differences.note('issuer', hex(ours.issuer), hex(AsnConvert.serialize(list.issuer)));
  differences.note('thisUpdate', ours.thisUpdate, list.thisUpdate.getTime().getTime());
  differences.note('nextUpdate', ours.nextUpdate, list.nextUpdate?.getTime().getTime());
  differences.extensions('crlExtensions', ours.crlExtensions, list.crlExtensions);
  const theirEntries = list.revokedCertificates ?? [];
  let count = 0;
  for (const entry of ours.entries()) {
    const their = theirEntries[count];
    const at = (field: string): string => `revokedCertificates[${count}].${field}`;
    if (their !== undefined) {
      const extensions = their.crlEntryExtensions ?? [];
      const reason = extensions.find(({ extnID }) => extnID === '2.5.29.21');
      differences.note(at('userCertificate'), hex(entry.serialOctets), hex(their.userCertificate));
      differences.note(at('revocationDate'), entry.revocationDate, their.revocationDate.getTime().getTime());
      differences.note(at('reasonCode'), entry.reasonCode, reason && new Uint8Array(reason.extnValue.buffer)[2]);
      const known = (entry.reasonCode === undefined ? 0 : 1) + (entry.invalidityDate === undefined ? 0 : 1);
      differences.note(at('crlEntryExtensions'), entry.otherExtensions.length + known, extensions.length);
    }
    count++;
  }
  differences.note('revokedCertificates', count, theirEntries.length);
  return differences.found;
}

class Differences {
  readonly found: string[] = [];

  note(field: string, ours: unknown, theirs: unknown): void {
    if (!Object.is(ours, theirs)) this.found.push(`${field}: ${shown(ours)}, ${shown(theirs)}`);
  }

  extensions(field: string, ours: readonly ExtensionView[], theirs: readonly Extension[] | undefined): void {
    const text = (oid: string, critical: boolean, value: string): string => `${oid} ${critical} ${value}`;
    this.note(
      field,
      ours.map(({ oid, critical, value }) => text(dottedOid(oid), critical, hex(value) ?? '')).join(),
      (theirs ?? [])
        .map(({ extnID, critical, extnValue }) => text(extnID, critical, hex(extnValue.buffer) ?? ''))
        .join(),
    );
  }

  parse<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.found.push(`unreadable to the other decoder: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }
}

function hex(octets: Uint8Array | ArrayBuffer | undefined): string | undefined {
  if (octets === undefined) return undefined;
  const view = octets instanceof ArrayBuffer ? new Uint8Array(octets) : octets;
  return Buffer.from(view.buffer, view.byteOffset, view.length).toString('hex');
}

function shown(value: unknown): string {
  const text = String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
