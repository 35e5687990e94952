/**
 * Certificates and precertificates from PEM bundles, DER files (one certificate after another) and directories of them.
 * Only the certificates are looked at: private keys and requests between them are passed over and never shown.
 */
import { opendir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { ImportItem } from '../../core/import/row.ts';
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import type { EpochMs } from '../../core/time.ts';
import { openSource, unreadable, type ByteSource, type ImportFile } from './import-file.ts';
import { linePages } from './lines.ts';
import { derObjects, isDer } from './der-objects.ts';
import { PemReader } from './pem-reader.ts';

/** What an import wants to know of a certificate. */
export interface CertificateFacts {
  readonly serial: Serial;
  readonly notBefore: EpochMs;
  readonly notAfter: EpochMs;
  /** True when it carries the poison extension (RFC 6962 §3.1). */
  readonly precertificate: boolean;
  /** URIs of its crlDistributionPoints. */
  readonly crlUrls?: readonly string[] | undefined;
  readonly isCa?: boolean | undefined;
  readonly withoutOcsp?: boolean | undefined;
  readonly spkiHash?: string | undefined;
}

/**
 * Reads one certificate. @throws Problem to reject it: because it does not parse, or because it is another issuer's, which
 * must never become a serial of this one (P3).
 */
export type CertificateReader = (der: Buffer) => CertificateFacts;

/**
 * Opens files and directories (`-` is standard input) in the order given. In a directory, and in those below it, the files
 * named `.pem`, `.crt`, `.cer` and `.der` are read. A file that holds no certificate is one rejected row.
 * Rows are numbered through all the files; a rejected row names its file.
 * @throws Problem `invalid` when a path does not exist.
 */
export async function readCertificates(paths: readonly string[], read: CertificateReader): Promise<ImportFile> {
  let total: number | undefined = 0;
  for (const path of paths) {
    const found =
      path === '-' ? undefined : await stat(path).catch((error: unknown) => Promise.reject(unreadable(error, path)));
    // The size of a directory would cost a look at each of its files, which may be a million.
    total = found?.isFile() && total !== undefined ? total + found.size : undefined;
  }
  const reading: Reading = { read, done: 0, ordinal: 0 };
  return {
    pages: fullPages(itemsOfPaths(paths, reading)),
    progress: () => ({ done: reading.done, total, unit: 'bytes' }),
  };
}

interface Reading {
  readonly read: CertificateReader;
  /** Bytes of the files that are finished, and of the one being read. */
  done: number;
  /** Number of the last certificate, through all files. */
  ordinal: number;
}

async function* itemsOfPaths(paths: readonly string[], reading: Reading): AsyncGenerator<readonly ImportItem[]> {
  for (const path of paths) {
    for await (const file of filesUnder(path)) yield* itemsOfFile(file, reading);
  }
}

async function* filesUnder(path: string): AsyncGenerator<string> {
  if (path === '-' || !(await stat(path)).isDirectory()) {
    yield path;
    return;
  }
  for await (const entry of await opendir(path)) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) yield* filesUnder(inside);
    else if (CERTIFICATE_SUFFIXES.has(extname(entry.name).toLowerCase())) yield inside;
  }
}

async function* itemsOfFile(path: string, reading: Reading): AsyncGenerator<readonly ImportItem[]> {
  const before = reading.ordinal;
  let source: ByteSource;
  try {
    source = await openSource(path);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    yield [{ rejected: { line: ++reading.ordinal, problem: error } }];
    return;
  }
  const doneBefore = reading.done;
  const take = (der: Buffer | Problem): ImportItem =>
    itemOf(der, source.name, ++reading.ordinal, reading.ordinal - before, reading.read);
  for await (const page of pagesOfSource(source, take)) {
    reading.done = doneBefore + source.done;
    yield page;
  }
  reading.done = doneBefore + source.done;
  if (reading.ordinal === before) yield [take(new Problem('invalid', 'there is no certificate in the file'))];
}

type Take = (der: Buffer | Problem) => ImportItem;

async function* pagesOfSource(source: ByteSource, take: Take): AsyncGenerator<readonly ImportItem[]> {
  const iterator = source.chunks[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done) return;
  const chunks = startingWith(first.value, iterator);
  if (isDer(first.value)) {
    for await (const ders of derObjects(chunks, MAX_CERTIFICATE_BYTES)) yield ders.map(take);
    return;
  }
  const pem = new PemReader(['CERTIFICATE', 'X509 CERTIFICATE'], MAX_CERTIFICATE_BYTES);
  const readLine = (text: string): ImportItem | undefined => {
    const block = pem.line(text);
    return block === undefined ? undefined : take(block);
  };
  yield* linePages(chunks, readLine, 'latin1');
  const unfinished = pem.end();
  if (unfinished !== undefined) yield [take(unfinished)];
}

/** @param place the certificate's place in its own file, which is what a person can look up. */
function itemOf(der: Buffer | Problem, file: string, line: number, place: number, read: CertificateReader): ImportItem {
  try {
    if (der instanceof Problem) throw der;
    const facts = read(der);
    const { serial, notBefore, notAfter, precertificate, crlUrls, isCa, withoutOcsp = false, spkiHash } = facts;
    const said = { crlShard: undefined, crlUrls, isCa, withoutOcsp, spkiHash };
    return { row: { line, serial, notBefore, notAfter, precertificate, ...said, revocation: undefined } };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const where = `${file} certificate ${place}`;
    return { rejected: { line, problem: error.within(error.field === undefined ? where : `${where} `) } };
  }
}

async function* startingWith(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield first;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

/** Pages of a useful size even when every certificate has a file of its own. */
async function* fullPages(pages: AsyncIterable<readonly ImportItem[]>): AsyncGenerator<readonly ImportItem[]> {
  let gathered: ImportItem[] = [];
  for await (const page of pages) {
    for (const item of page) gathered.push(item);
    if (gathered.length < PAGE_ITEMS) continue;
    yield gathered;
    gathered = [];
  }
  if (gathered.length > 0) yield gathered;
}

const CERTIFICATE_SUFFIXES = new Set(['.pem', '.crt', '.cer', '.der']);

/** Certificates that serve TLS are a few kilobytes; the largest ever seen in CT logs stay well below this. */
const MAX_CERTIFICATE_BYTES = 64 * 1024;

const PAGE_ITEMS = 1000;
