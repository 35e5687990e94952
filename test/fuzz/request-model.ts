/**
 * What a request for a status means, read slowly: the spellings of a GET path (peers.md Part 2 §4.3) and the fields of an
 * OCSPRequest (RFC 6960 §4.1.1) in strict DER (X.690 §10). Written from these texts and not from core/ocsp, with which it
 * shares nothing, so that two readers must make the same mistake before it goes unnoticed.
 */

export type Asked =
  | { readonly kind: 'malformed' }
  /** Several certificates, another hash, a critical extension that nobody here knows: L-01, T-09, O-19. */
  | { readonly kind: 'refused' }
  | {
      readonly kind: 'one';
      readonly hash: 'sha1' | 'sha256';
      /** Hex of issuerNameHash and issuerKeyHash, one behind the other. */
      readonly issuer: string;
      /** Hex of the INTEGER's content. */
      readonly serial: string;
    };

const MALFORMED: Asked = { kind: 'malformed' };
const MAX_OCTETS = 8192;

/** The octets that a path spells; undefined when it is no base64 in any of the spellings. @param text behind the mount path */
export function readPath(text: string): Buffer | undefined {
  const spelled = text.replace(/[?#].*$/s, '').replace(/^\/+/, '');
  // One escape too many was put on by a proxy: then the first reading shows percent signs, and only those are read again.
  const escaped = /%25/.test(spelled) ? spelled.replace(/%25/g, '%') : spelled;
  if (escaped === '' || /%(?![0-9A-Fa-f]{2})/.test(escaped) || /%25/.test(escaped)) return undefined;
  // A slash that was escaped is base64; only one that was not can be what a link checker puts behind.
  const slash = escaped.endsWith('/');
  const plain = escaped
    .replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)))
    .replace(/[\r\n]/g, '')
    .replace(/[ -]/g, '+')
    .replace(/_/g, '/');
  const [, characters, padding] = /^([A-Za-z0-9+/]*)(={0,2})$/.exec(slash ? plain.slice(0, -1) : plain) ?? [];
  if (characters === undefined) return undefined;
  const without = Buffer.from(characters, 'base64');
  if (!slash) return characters.length % 4 === 1 || without.length === 0 ? undefined : without;
  if (padding !== '') return characters.length % 4 === 1 || without.length === 0 ? undefined : without;
  // No padding: the slash belongs to the base64, unless the DER is whole without the octet that it makes.
  const withSlash = Buffer.from(`${characters}/`, 'base64');
  const chosen = isWhole(withSlash.subarray(0, -1)) ? withSlash.subarray(0, -1) : withSlash;
  return chosen.length === 0 ? undefined : chosen;
}

/** @param der what was posted, or spelled by a path. */
export function readRequest(der: Buffer): Asked {
  if (der.length > MAX_OCTETS) return MALFORMED;
  try {
    return read(der);
  } catch (error) {
    if (error instanceof NotARequest) return MALFORMED;
    throw error;
  }
}

class NotARequest extends Error {}

interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

function read(der: Buffer): Asked {
  // OCSPRequest ::= SEQUENCE { tbsRequest, optionalSignature [0] OPTIONAL }; the signature may be ignored (L-04).
  const [tbs] = fields(only(der, 0x30), [0x30, 'needed'], [0xa0, 'optional']);
  const [version, , list, extensions] = fields(
    (tbs as Element).content,
    [0xa0, 'optional'],
    [0xa1, 'optional'],
    [0x30, 'needed'],
    [0xa2, 'optional'],
  );
  if (version !== undefined) demand(version.content.toString('hex') === '020100');
  const requests = elements((list as Element).content);
  demand(requests.length > 0);
  let unknownCritical = false;
  const asked = requests.map((request) => {
    demand(request.tag === 0x30);
    const [certId, single] = fields(request.content, [0x30, 'needed'], [0xa0, 'optional']);
    const one = readCertId((certId as Element).content);
    if (single !== undefined && readExtensions(single.content, false)) unknownCritical = true;
    return one;
  });
  if (extensions !== undefined && readExtensions(extensions.content, true)) unknownCritical = true;
  const [first, second] = asked;
  return first === undefined || second !== undefined || unknownCritical ? { kind: 'refused' } : first;
}

/** CertID ::= SEQUENCE { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber } */
function readCertId(content: Buffer): Asked {
  const [algorithm, name, key, serial] = fields(
    content,
    [0x30, 'needed'],
    [0x04, 'needed'],
    [0x04, 'needed'],
    [0x02, 'needed'],
  ) as [Element, Element, Element, Element];
  const [oid, parameters, more] = elements(algorithm.content);
  demand(oid?.tag === 0x06 && isOid(oid.content) && more === undefined);
  const hash = { '2b0e03021a': 'sha1', '608648016503040201': 'sha256' }[(oid as Element).content.toString('hex')] as
    'sha1' | 'sha256' | undefined;
  demand(name.content.length === key.content.length && name.content.length > 0);
  if (hash !== undefined) {
    // T-10: NULL or nothing.
    demand(parameters === undefined || (parameters.tag === 0x05 && parameters.content.length === 0));
    demand(name.content.length === (hash === 'sha1' ? 20 : 32));
  }
  // T-12, RFC 5280 §4.1.2.2: not negative, minimal, at most 20 octets.
  demand(/^(?:00|(?:00[89a-f]|0[1-9a-f]|[1-7])[0-9a-f]*)$/.test(serial.content.toString('hex')));
  demand(serial.content.length <= 20);
  if (hash === undefined) return { kind: 'refused' };
  return {
    kind: 'one',
    hash,
    issuer: name.content.toString('hex') + key.content.toString('hex'),
    serial: serial.content.toString('hex'),
  };
}

/** Returns whether a critical one is unknown. */
function readExtensions(content: Buffer, ofRequest: boolean): boolean {
  const list = elements(only(content, 0x30));
  // RFC 5280 §4.1: at least one. More than sixteen is nothing that a client sends.
  demand(list.length > 0 && list.length <= 16);
  const seen = new Set<string>();
  let unknownCritical = false;
  for (const extension of list) {
    demand(extension.tag === 0x30);
    const [oid, critical, value] = fields(
      extension.content,
      [0x06, 'needed'],
      [0x01, 'optional'],
      [0x04, 'needed'],
    ) as [Element, Element | undefined, Element];
    const name = oid.content.toString('hex');
    demand(isOid(oid.content) && !seen.has(name));
    seen.add(name);
    if (critical !== undefined) demand(critical.content.length === 1);
    if (name === NONCE && ofRequest) {
      // RFC 9654 §2.1, N-05.
      const { length } = only(value.content, 0x04);
      demand(length >= 1 && length <= 128);
    } else if (critical !== undefined && critical.content[0] !== 0 && !UNDERSTOOD.has(name)) unknownCritical = true;
  }
  return unknownCritical;
}

const NONCE = '2b0601050507300102';
/** Nonce, acceptable responses, service locator, preferred signature algorithms: RFC 6960 §4.4. */
const UNDERSTOOD = new Set([NONCE, '2b0601050507300104', '2b0601050507300107', '2b0601050507300108']);

/** The fields of a SEQUENCE in their order, each there or not; nothing else may be in it. */
function fields(
  content: Buffer,
  ...wanted: readonly (readonly [number, 'needed' | 'optional'])[]
): (Element | undefined)[] {
  const left = elements(content);
  const found = wanted.map(([tag, how]) => {
    if (left[0]?.tag === tag) return left.shift();
    demand(how === 'optional');
    return undefined;
  });
  demand(left.length === 0);
  return found;
}

/** The content of the one element that the octets are. */
function only(octets: Buffer, tag: number): Buffer {
  const [first, second] = elements(octets);
  demand(first?.tag === tag && second === undefined);
  return (first as Element).content;
}

/** The elements that the octets consist of; their contents are not looked at. */
function elements(octets: Buffer): Element[] {
  const found: Element[] = [];
  let rest = octets;
  while (rest.length > 0) {
    const [tag, first] = [rest[0] as number, rest[1]];
    demand(tag !== 0 && (tag & 0x1f) !== 0x1f && first !== undefined);
    let [header, length] = [2, first as number];
    if (length >= 0x80) {
      const count = length - 0x80;
      // X.690 §10.1: definite, and as short as it can be.
      demand(count >= 1 && count <= 4 && rest.length >= 2 + count);
      length = rest.readUIntBE(2, count);
      demand(length >= 0x80 && length >= 2 ** (8 * (count - 1)));
      header += count;
    }
    demand(rest.length >= header + length);
    found.push({ tag, content: rest.subarray(header, header + length) });
    rest = rest.subarray(header + length);
  }
  return found;
}

function isOid(content: Buffer): boolean {
  // X.690 §8.19.2: ends with an octet below 80, and no subidentifier begins with 80.
  const hex = content.toString('latin1');
  return /^(?:[\x81-\xff]?[\x80-\xff]*[\x00-\x7f])+$/.test(hex) && !/(?:^|[\x00-\x7f])\x80/.test(hex);
}

function isWhole(der: Buffer): boolean {
  try {
    return elements(der).length === 1;
  } catch {
    return false;
  }
}

function demand(fact: boolean): void {
  if (!fact) throw new NotARequest();
}
