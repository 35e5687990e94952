/** X.500 names, read for people. Where names are compared it is by their octets (T-11, T-15). */
import { SEQUENCE, Walk } from './der/walk.ts';

/** One attribute of a Name: `CN` and the like, or the OID's hex for a type without a short name. */
export interface NameAttribute {
  readonly type: string;
  readonly value: string;
}

/** The attributes of a Name in their order. For people and for comparing with a preset; bytes are what counts elsewhere. */
export function readName(der: Uint8Array): readonly NameAttribute[] {
  const bytes = Buffer.from(der.buffer, der.byteOffset, der.length);
  const walk: Walk = new Walk(bytes, 'name');
  return walk.members(walk.only(0, bytes.length, SEQUENCE)).flatMap((set) =>
    walk.members(set).map((attribute) => {
      const [type, value] = walk.members(attribute);
      if (type === undefined || value === undefined)
        walk.refuse(attribute.start, 'not an attribute of a name', 'RFC 5280 §4.1.2.4');
      const oid = bytes.toString('hex', type.start, type.end);
      return {
        type: ATTRIBUTE_NAMES[oid] ?? oid,
        value: decodeString(value.tag, bytes.subarray(value.start, value.end)),
      };
    }),
  );
}

/** `C=JP, O=Example, CN=Example CA`: not for comparing. */
export function nameText(der: Uint8Array): string {
  return readName(der)
    .map(({ type, value }) => `${type}=${value}`)
    .join(', ');
}

const ATTRIBUTE_NAMES: Record<string, string> = {
  '550403': 'CN',
  '550405': 'serialNumber',
  '550406': 'C',
  '550407': 'L',
  '550408': 'ST',
  '55040a': 'O',
  '55040b': 'OU',
  '550461': 'organizationIdentifier',
};

function decodeString(tag: number, octets: Buffer): string {
  if (tag === 0x1e) return Buffer.from(octets).swap16().toString('utf16le'); // BMPString is big-endian
  return octets.toString(tag === 0x0c ? 'utf8' : 'latin1');
}
