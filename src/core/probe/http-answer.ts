/**
 * One HTTP answer from its octets, with what HTTP clients hide and status clients stumble over: how it is framed, how header
 * names are written, what stands behind it (RFC 9112 §6.3).
 */

export interface HttpAnswer {
  readonly version: string;
  readonly status: number;
  /** In their order, as they were written. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** By what the end of the body is known. */
  readonly framing: 'content-length' | 'chunked' | 'close' | 'no-body';
  /** Octets behind the answer. */
  readonly surplus: number;
  /** Of the whole head, in octets. */
  readonly headOctets: number;
}

/** Undefined when more octets must come; `not-http` when they cannot help. @param ended nothing more will come. */
export function readHttpAnswer(octets: Buffer, isHead: boolean, ended: boolean): HttpAnswer | 'not-http' | undefined {
  const headEnd = octets.indexOf('\r\n\r\n');
  if (headEnd < 0) return ended || octets.length > MAX_HEAD ? 'not-http' : undefined;
  const [first = '', ...lines] = octets.toString('latin1', 0, headEnd).split('\r\n');
  const [, version, code] = /^HTTP\/(\d\.\d) (\d{3})/.exec(first) ?? [];
  if (version === undefined || code === undefined) return 'not-http';
  const status = Number(code);
  const fields = lines.map((line): readonly [string, string] => {
    const colon = line.indexOf(':');
    return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const from = headEnd + 4;
  const rest = octets.subarray(from);
  const head = { version, status, fields, headOctets: from };
  if (isHead || status === 304 || status === 204)
    return { ...head, body: Buffer.alloc(0), framing: 'no-body', surplus: rest.length };
  const codings = fields.find(([name]) => name.toLowerCase() === 'transfer-encoding');
  if (codings !== undefined) {
    const read = readChunks(rest);
    if (read === undefined) return ended ? 'not-http' : undefined;
    return { ...head, body: read.body, framing: 'chunked', surplus: rest.length - read.length };
  }
  const length = fields.find(([name]) => name.toLowerCase() === 'content-length')?.[1];
  if (length === undefined) return ended ? { ...head, body: rest, framing: 'close', surplus: 0 } : undefined;
  const wanted = /^\d{1,9}$/.test(length) ? Number(length) : NaN;
  if (!(rest.length >= wanted)) return ended || Number.isNaN(wanted) ? 'not-http' : undefined;
  return { ...head, body: rest.subarray(0, wanted), framing: 'content-length', surplus: rest.length - wanted };
}

/** The first field of this name; undefined when there is none. */
export function fieldOf(answer: HttpAnswer, name: string): string | undefined {
  return answer.fields.find(([written]) => written.toLowerCase() === name)?.[1];
}

const MAX_HEAD = 65_536;

/** RFC 9112 §7.1; undefined when the last chunk is not there yet. */
function readChunks(octets: Buffer): { readonly body: Buffer; readonly length: number } | undefined {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = octets.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = parseInt(octets.toString('latin1', at, lineEnd), 16);
    if (Number.isNaN(size)) return undefined;
    at = lineEnd + 2;
    if (size === 0) {
      // Trailer fields, which nobody sends here, end with an empty line as the last chunk does.
      const end = octets.indexOf('\r\n', at);
      return end < 0 ? undefined : { body: Buffer.concat(parts), length: end + 2 };
    }
    if (octets.length < at + size + 2) return undefined;
    parts.push(octets.subarray(at, at + size));
    at += size + 2;
  }
}
