/** issuingDistributionPoint (RFC 5280 §5.2.5): which certificates a CRL speaks of, when not of all. */
import { DerDocument, type Deviation, type ExtensionView, findExtension } from '../der/document.ts';
import { OID } from '../der/oid.ts';
import { extension, tlv } from '../der/writer.ts';

/**
 * The extension of a shard's CRL: one URI, byte for byte that of the certificates (B-32, P-11), and of which kind they are. Critical
 * (C-16, T-37); DEFAULT values left out (C-31).
 */
export function issuingDistributionPoint(uri: string, contains: 'user-certificates' | 'ca-certificates'): Buffer {
  // DistributionPointName is a CHOICE: its tag stands around that of fullName (T-13).
  const point = tlv(0xa0, tlv(0xa0, tlv(0x86, Buffer.from(uri, 'latin1'))));
  const flag = tlv(contains === 'user-certificates' ? 0x81 : 0x82, Buffer.of(0xff));
  return extension(OID.issuingDistributionPoint, true, tlv(0x30, point, flag));
}

/** The URL of the shard that a CRL speaks of; undefined for a CRL without scope (C-18), or one that names none. @throws Problem `corrupt` */
export function partitionUrl(crlExtensions: readonly ExtensionView[]): string | undefined {
  const extension = findExtension(crlExtensions, OID.issuingDistributionPoint);
  return extension && readIssuingDistributionPoint(extension.value).uris?.[0];
}

export interface IssuingDistributionPoint {
  /** URIs of distributionPoint.fullName; undefined when there is no distributionPoint. */
  readonly uris: readonly string[] | undefined;
  /** A name that is no URI, or one relative to the CRL issuer: BR 7.2.2.1 allows neither. */
  readonly otherNames: boolean;
  readonly onlyContainsUserCerts: boolean;
  readonly onlyContainsCACerts: boolean;
  readonly onlySomeReasons: boolean;
  readonly indirectCRL: boolean;
  readonly onlyContainsAttributeCerts: boolean;
  /** The value is an empty SEQUENCE, which C-16 forbids. */
  readonly empty: boolean;
  readonly deviations: readonly Deviation[];
}

/** Reads the extension's value. Implicit tags, but distributionPoint is a CHOICE and so explicit (T-13). @throws Problem `corrupt` */
export function readIssuingDistributionPoint(value: Uint8Array): IssuingDistributionPoint {
  const document: DerDocument = new DerDocument(value, 'issuingDistributionPoint');
  const { cursor } = document;
  const whole = document.enter(0x30, 'issuingDistributionPoint');
  const empty = cursor.atEnd;
  let uris: string[] | undefined;
  let otherNames = false;
  if (cursor.tag === 0xa0) {
    const point = document.enter(0xa0, 'distributionPoint');
    uris = [];
    if (cursor.tag === 0xa0) {
      const names = document.enter(0xa0, 'fullName');
      while (!cursor.atEnd) {
        document.any('fullName');
        if (value[cursor.header] === 0x86) uris.push(Buffer.from(cursor.content()).toString('latin1'));
        else otherNames = true;
      }
      document.leave(names, 'fullName');
    } else {
      document.next(0xa1, 'nameRelativeToCRLIssuer');
      otherNames = true;
    }
    document.leave(point, 'distributionPoint');
  }
  const flag = (tag: number, field: string): boolean => cursor.tag === tag && document.boolean(field);
  const onlyContainsUserCerts = flag(0x81, 'onlyContainsUserCerts');
  const onlyContainsCACerts = flag(0x82, 'onlyContainsCACerts');
  const onlySomeReasons = cursor.tag === 0x83;
  if (onlySomeReasons) document.next(0x83, 'onlySomeReasons');
  const indirectCRL = flag(0x84, 'indirectCRL');
  const onlyContainsAttributeCerts = flag(0x85, 'onlyContainsAttributeCerts');
  document.leave(whole, 'issuingDistributionPoint');
  if (!cursor.atEnd) document.fail('octets behind', 'issuingDistributionPoint', 'X.690 §10', cursor.position);
  return {
    uris,
    otherNames,
    onlyContainsUserCerts,
    onlyContainsCACerts,
    onlySomeReasons,
    indirectCRL,
    onlyContainsAttributeCerts,
    empty,
    deviations: document.deviations,
  };
}
