/**
 * The archive as those see it who look after it. Beside the CRLs (file-archive.ts) lie
 *
 *     <dir>/<issuer tag>/[<shard>/]<number>.dropped.json    why the octets of that CRL are gone
 *     <dir>/<issuer tag>/certificates/<SHA-256>.cer         certificates of the CA and of its responders
 *     <dir>/reports/<instant>.json                          what verifications have found
 */
import { createHash } from 'node:crypto';
import { readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { recordText } from '../../core/archive/record-text.ts';
import type { CrlRecord, CrlScope, IssuerTag } from '../../core/certificate.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import type {
  ArchivedCertificate,
  ArchiveReport,
  DroppedCrl,
  KeptArchive,
  NumberedCrl,
} from '../../ports/archive-upkeep.ts';
import { entriesOf, FileCrlArchive, makeDurable, syncDirectory, writeOnce } from './file-archive.ts';

/** No shard has this name: shards are numbers, or `ca`. */
const CERTIFICATES = 'certificates';
const REPORTS = 'reports';

export class FileKeptArchive extends FileCrlArchive implements KeptArchive {
  readonly #dir: string;

  constructor(dir: string) {
    super(dir);
    this.#dir = dir;
  }

  get describe(): string {
    return this.#dir;
  }

  async issuers(): Promise<readonly IssuerTag[]> {
    return (await entriesOf(this.#dir))
      .filter((entry) => entry.isDirectory() && /^[0-9a-f]{8}$/.test(entry.name))
      .map(({ name }) => name as IssuerTag)
      .sort();
  }

  async *recent(scope: CrlScope): AsyncIterable<CrlRecord> {
    for (const number of [...(await this.numbers(scope))].reverse()) yield await this.record(scope, number);
  }

  async keepRecord(record: CrlRecord): Promise<void> {
    const path = this.path(record).replace(/crl$/, 'json');
    await makeDurable(dirname(path));
    await writeOnce(path, Buffer.from(recordText(record)));
    await syncDirectory(dirname(path));
  }

  async dropped(record: CrlRecord): Promise<DroppedCrl | undefined> {
    const text = await textOf(this.#droppedPath(record));
    return text === undefined ? undefined : (JSON.parse(text) as DroppedCrl);
  }

  /** The reason, then the octets: a crash in between leaves octets that the next run removes. */
  async drop(record: CrlRecord, why: DroppedCrl): Promise<void> {
    const path = this.#droppedPath(record);
    await writeOnce(path, Buffer.from(JSON.stringify(why)));
    await syncDirectory(dirname(path));
    await rm(this.path(record), { force: true });
    await syncDirectory(dirname(path));
  }

  async setAside(record: NumberedCrl, what: 'crl' | 'record', at: EpochMs): Promise<void> {
    const path = this.path(record).replace(/crl$/, what === 'crl' ? 'crl' : 'json');
    await rename(path, `${path}.damaged-${at}`).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }

  async certificates(issuer: IssuerTag): Promise<readonly ArchivedCertificate[]> {
    const directory = this.#certificatesOf(issuer);
    const names = (await entriesOf(directory)).flatMap(({ name }) => /^([0-9a-f]{64})\.cer$/.exec(name)?.[1] ?? []);
    return Promise.all(
      names.sort().map(async (sha256) => ({ sha256, der: await readFile(join(directory, `${sha256}.cer`)) })),
    );
  }

  async keepCertificate(issuer: IssuerTag, der: Buffer): Promise<void> {
    const directory = this.#certificatesOf(issuer);
    await makeDurable(directory);
    await writeOnce(join(directory, `${createHash('sha256').update(der).digest('hex')}.cer`), der);
    await syncDirectory(directory);
  }

  async setCertificateAside(issuer: IssuerTag, sha256: string, at: EpochMs): Promise<void> {
    const path = join(this.#certificatesOf(issuer), `${sha256}.cer`);
    await rename(path, `${path}.damaged-${at}`);
  }

  async keepReport(report: ArchiveReport): Promise<void> {
    const directory = join(this.#dir, REPORTS);
    await makeDurable(directory);
    const name = `${rfc3339(report.finishedAt).replace(/[:.]/g, '')}.json`;
    await writeOnce(join(directory, name), Buffer.from(`${JSON.stringify(report, null, 2)}\n`));
    await syncDirectory(directory);
  }

  async newestReport(): Promise<ArchiveReport | undefined> {
    const directory = join(this.#dir, REPORTS);
    const newest = (await entriesOf(directory))
      .map(({ name }) => name)
      .filter((name) => name.endsWith('.json'))
      .sort()
      .at(-1);
    return newest === undefined
      ? undefined
      : (JSON.parse(await readFile(join(directory, newest), 'utf8')) as ArchiveReport);
  }

  #certificatesOf(issuer: IssuerTag): string {
    return join(this.#dir, issuer, CERTIFICATES);
  }

  #droppedPath(record: CrlRecord): string {
    return this.path(record).replace(/crl$/, 'dropped.json');
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
