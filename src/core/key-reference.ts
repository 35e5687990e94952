/**
 * How a configuration names a key: a file, or `pkcs11:` with attributes of RFC 7512: `pkcs11:token=ocsp;object=2026-a` or
 * `pkcs11:token=ocsp;id=%01%02`. `token` is the name of a token in certstatus.yaml, which knows module and label; PINs are
 * nowhere in it.
 */
import { Problem } from './problem.ts';

export type KeyReference =
  | { readonly kind: 'file'; readonly file: string }
  | {
      readonly kind: 'pkcs11';
      readonly token: string;
      /** CKA_LABEL. */
      readonly object: string | undefined;
      /** CKA_ID, hex. */
      readonly id: string | undefined;
      /** As it was written. */
      readonly uri: string;
    };

/** RFC 7512 §2.4: the attributes by which other programs take a PIN, or are told where it is; to the end, whatever is in it. */
const PIN_ATTRIBUTE = /([;?&:]pin-(?:value|source)=).*/is;

/** @throws Problem `config` naming the attribute that is missing, unknown or not allowed. */
export function parseKeyReference(text: string, field: string): KeyReference {
  // First, and without the value: also where the rest is spelt wrongly nothing may repeat a PIN.
  if (PIN_ATTRIBUTE.test(text))
    throw new Problem('config', 'a PIN never stands in a configuration', { field, rule: 'CT-6.2.2' });
  if (!text.startsWith('pkcs11:')) return { kind: 'file', file: text };
  const refuse = (message: string): Problem =>
    new Problem('config', message, { field, value: text, rule: 'RFC 7512 §2.3' });
  const [path = '', query] = text.slice('pkcs11:'.length).split('?');
  if (query !== undefined) {
    // Where the module is and how the PIN comes in is said once, for the token.
    throw refuse('takes no query: the module stands under tokens in certstatus.yaml');
  }
  const found: { token?: string; object?: string; id?: string } = {};
  for (const attribute of path.split(';').filter((part) => part !== '')) {
    const at = attribute.indexOf('=');
    const name = attribute.slice(0, at);
    if (name !== 'token' && name !== 'object' && name !== 'id' && name !== 'type')
      throw refuse(`knows token, object and id, not ${at === -1 ? attribute : name}`);
    if (name === 'type') {
      if (attribute !== 'type=private') throw refuse('names a private key');
      continue;
    }
    if (found[name] !== undefined) throw refuse(`names ${name} twice`);
    const octets = percentDecode(attribute.slice(at + 1));
    if (octets === undefined || octets.length === 0) throw refuse(`${name} is empty or wrongly escaped`);
    found[name] = name === 'id' ? octets.toString('hex') : octets.toString('utf8');
  }
  const { token, object, id } = found;
  if (token === undefined) throw refuse('names no token');
  if (object === undefined && id === undefined) throw refuse('names no key: add object=<label> or id=<%xx…>');
  return { kind: 'pkcs11', token, object, id, uri: text };
}

/** A reference as it may stand in a message: PINs that other programs take in it (RFC 7512 §2.4) are left out. */
export function shownReference(text: string): string {
  return text.replace(PIN_ATTRIBUTE, '$1…');
}

/** RFC 3986 §2.1; undefined when an escape is cut off or not hex. */
function percentDecode(text: string): Buffer | undefined {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '%') {
      bytes.push(...Buffer.from(text[i] as string));
      continue;
    }
    const hex = text.slice(i + 1, i + 3);
    if (!/^[0-9a-fA-F]{2}$/.test(hex)) return undefined;
    bytes.push(parseInt(hex, 16));
    i += 2;
  }
  return Buffer.from(bytes);
}
