/**
 * The entries of a CRL that another system signed. It is one signed object, so it is read whole, and every entry is looked
 * at before the first page is handed out: half a CRL is never imported.
 */
import type { ImportItem, ImportRow } from '../../core/import/row.ts';
import { Problem } from '../../core/problem.ts';
import type { ReasonName } from '../../core/reason.ts';
import type { Serial } from '../../core/serial.ts';
import type { EpochMs } from '../../core/time.ts';
import { derObjects, isDer } from './der-objects.ts';
import { openSource, type ImportFile } from './import-file.ts';
import { PemReader } from './pem-reader.ts';

/** A CRL as its reader shows it. */
export interface ReadableCrl {
  /** The URI of its issuingDistributionPoint, where it has one: the shard of everything on it. */
  readonly url?: string | undefined;
  /** Starts from the first entry each time. @throws Problem at an entry that does not parse. */
  entries(): Iterable<{
    readonly serial: Serial;
    readonly revokedAt: EpochMs;
    readonly reason: ReasonName | undefined;
  }>;
}

export interface CrlImportFile<Crl extends ReadableCrl> extends ImportFile {
  /** For the caller to check: issuer, signature, number, freshness. */
  readonly crl: Crl;
  readonly der: Buffer;
}

/**
 * Opens a CRL in DER or PEM, or standard input for `-`. Rows have no notAfter: a CRL does not say when its certificates end.
 * @throws Problem `invalid` when the path cannot be read, holds no CRL or more than one, or an entry does not parse.
 */
export async function readCrl<Crl extends ReadableCrl>(
  path: string,
  read: (der: Buffer) => Crl,
): Promise<CrlImportFile<Crl>> {
  const der = await crlOf(path);
  try {
    const crl = read(der);
    const total = countOf(crl);
    const reading = { done: 0 };
    return { crl, der, pages: pagesOf(crl, reading), progress: () => ({ done: reading.done, total, unit: 'entries' }) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw error.within(error.field === undefined ? path : `${path} `);
  }
}

async function crlOf(path: string): Promise<Buffer> {
  const source = await openSource(path);
  const chunks: Buffer[] = [];
  for await (const chunk of source.chunks) {
    if (source.done > MAX_CRL_BYTES)
      throw new Problem('too-large', `more than ${MAX_CRL_BYTES} bytes`, { field: source.name });
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  const found = isDer(bytes) ? await crlsOfDer(bytes) : crlsOfPem(bytes);
  const [first, second] = found;
  if (first === undefined) throw new Problem('invalid', 'there is no CRL in the file', { field: source.name });
  if (first instanceof Problem) throw first.within(source.name);
  if (second !== undefined)
    throw new Problem('invalid', 'there is more than one CRL in the file', { field: source.name });
  return first;
}

async function crlsOfDer(bytes: Buffer): Promise<readonly (Buffer | Problem)[]> {
  const whole = (async function* () {
    yield bytes;
  })();
  const found: (Buffer | Problem)[] = [];
  for await (const objects of derObjects(whole, MAX_CRL_BYTES)) found.push(...objects);
  return found;
}

function crlsOfPem(bytes: Buffer): readonly (Buffer | Problem)[] {
  const pem = new PemReader(['X509 CRL', 'CRL'], MAX_PEM_CRL_BYTES);
  const found: (Buffer | Problem)[] = [];
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline === -1 ? bytes.length : newline;
    const block = pem.line(bytes.toString('latin1', start, end).trimEnd());
    if (block !== undefined) found.push(block);
    start = end + 1;
  }
  const unfinished = pem.end();
  if (unfinished !== undefined) found.push(unfinished);
  return found;
}

function countOf(crl: ReadableCrl): number {
  const entries = crl.entries()[Symbol.iterator]();
  let count = 0;
  while (!entries.next().done) count++;
  return count;
}

async function* pagesOf(crl: ReadableCrl, reading: { done: number }): AsyncGenerator<readonly ImportItem[]> {
  let page: ImportItem[] = [];
  for (const { serial, revokedAt, reason } of crl.entries()) {
    page.push({ row: rowOf(++reading.done, serial, revokedAt, reason, crl.url) });
    if (page.length < PAGE_ITEMS) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

function rowOf(
  line: number,
  serial: Serial,
  revokedAt: EpochMs,
  reason: ReasonName | undefined,
  crlShard: string | undefined,
): ImportRow {
  return {
    line,
    serial,
    notBefore: undefined,
    notAfter: undefined,
    precertificate: false,
    crlShard,
    withoutOcsp: false,
    spkiHash: undefined,
    // RFC 5280 §5.3.1: unspecified is expressed by absence (C-23), also where another CA wrote it out.
    revocation: { revokedAt, reason: reason === 'unspecified' ? undefined : reason },
  };
}

/** Ten million entries of a 16-octet serial and a reason are about 450 MB. */
const MAX_CRL_BYTES = 512 * 1024 * 1024;

/** The base64 of a PEM CRL is one JavaScript string, and those end at half a gigabyte. */
const MAX_PEM_CRL_BYTES = 256 * 1024 * 1024;

const PAGE_ITEMS = 2000;
