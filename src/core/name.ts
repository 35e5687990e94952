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
  '0992268993f22c640101': 'UID',
  '0992268993f22c640119': 'DC',
  '2a864886f70d010901': 'emailAddress',
};

/** X.690 §8.23: two octets a character, or four, are big-endian. What is no string at all is shown as RFC 4514 §2.4 has it. */
function decodeString(tag: number, octets: Buffer): string {
  const width = tag === BMP_STRING ? 2 : tag === UNIVERSAL_STRING ? 4 : 1;
  if (octets.length % width !== 0) return `#${octets.toString('hex')}`;
  if (width === 1) return octets.toString(tag === UTF8_STRING ? 'utf8' : 'latin1');
  let text = '';
  for (let at = 0; at < octets.length; at += width) {
    const code = octets.readUIntBE(at, width);
    text += width === 2 ? String.fromCharCode(code) : code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  }
  return text;
}

const UTF8_STRING = 0x0c;
const UNIVERSAL_STRING = 0x1c;
const BMP_STRING = 0x1e;
