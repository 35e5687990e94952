/**
 * Mass revocations as files that a person can read:
 *
 *     <dir>/<plan>/plan.json   the plan
 *     <dir>/<plan>/list        one line per certificate: issuer tag, serial
 *     <dir>/<plan>/run.json    how far it is; absent before the start
 *     <dir>/<plan>/drill.json  what its newest drill has found
 *     <dir>/uploads/<id>       serials that were handed in, one to a line
 *     <dir>/rate.json          how fast was signed when it was last measured
 *
 * A plan's directory is made under a name that begins with a dot and renamed, so it is there whole or not at all. The run is
 * replaced by rename.
 */
import { createHash, randomBytes, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, open, readdir, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { IssuerTag } from '../../core/certificate.ts';
import type { DrillResult } from '../../core/mass/drill.ts';
import type { KnownRate, MassPlan } from '../../core/mass/plan.ts';
import type { MassRun } from '../../core/mass/run.ts';
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import type { ListDraft, ListedCertificate, MassShelf } from '../../ports/mass-shelf.ts';

/** `mass-20261121-0a1b2c`, as flows/mass/plan-mass.ts makes them: nothing else becomes part of a path. */
const PLAN_ID = /^mass-\d{8}-[0-9a-f]{6,16}$/;
const UPLOAD_ID = /^[0-9a-f]{32}$/;
const LINE = /^([0-9a-f]{8}) ((?:[0-9a-f]{2}){1,20})$/;

export class FileMassShelf implements MassShelf {
  readonly #dir: string;
  #swept = false;

  /** The directory is made when something is kept. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  async draftList(): Promise<ListDraft> {
    await mkdir(this.#dir, { recursive: true, mode: 0o750 });
    if (!this.#swept) {
      this.#swept = true;
      for (const name of await readdir(this.#dir))
        if (name.startsWith('.draft-')) await rm(join(this.#dir, name), { recursive: true, force: true });
    }
    return FileList.begin(join(this.#dir, `.draft-${randomBytes(8).toString('hex')}`));
  }

  async keep(plan: MassPlan, list: ListDraft): Promise<void> {
    if (!(list instanceof FileList)) throw new Error('a list of another shelf');
    await writeDurably(join(list.path, 'plan.json'), JSON.stringify(plan, undefined, 2));
    await rename(list.path, this.#path(plan.id));
    await syncDirectory(this.#dir);
  }

  async discard(id: string): Promise<void> {
    if (!PLAN_ID.test(id)) return;
    // Renamed first: a crash leaves a draft, which the next list that is begun sweeps away, and never half a plan.
    const gone = join(this.#dir, `.draft-${randomBytes(8).toString('hex')}`);
    await rename(this.#path(id), gone);
    await syncDirectory(this.#dir);
    await rm(gone, { recursive: true, force: true });
  }

  async plans(): Promise<readonly MassPlan[]> {
    const names = await readdir(this.#dir).catch(() => []);
    const plans: MassPlan[] = [];
    for (const name of names) {
      const plan = PLAN_ID.test(name) ? await this.plan(name) : undefined;
      if (plan !== undefined) plans.push(plan);
    }
    return plans.sort((a, b) => b.createdAt - a.createdAt);
  }

  plan(id: string): Promise<MassPlan | undefined> {
    return PLAN_ID.test(id) ? readJson<MassPlan>(join(this.#path(id), 'plan.json')) : Promise.resolve(undefined);
  }

  async *list(plan: MassPlan, from: number, size: number): AsyncGenerator<readonly ListedCertificate[]> {
    const path = join(this.#path(plan.id), 'list');
    let at = 0;
    let page: ListedCertificate[] = [];
    for await (const line of linesOf(path)) {
      at += 1;
      if (at <= from) continue;
      const [, issuer, serial] = LINE.exec(line) ?? [];
      if (serial === undefined)
        throw new Problem('corrupt', 'not a line of a list', { field: path, value: `line ${at}` });
      page.push({ issuer: issuer as IssuerTag, serial: serial as Serial });
      if (page.length < size) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  async verifyList(plan: MassPlan): Promise<void> {
    const path = join(this.#path(plan.id), 'list');
    const hash = createHash('sha256');
    try {
      for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer);
    } catch (error) {
      throw new Problem('corrupt', (error as Error).message, { field: path });
    }
    if (hash.digest('hex') !== plan.list.sha256)
      throw new Problem('corrupt', 'the list is not the one that the plan was made with', { field: path });
  }

  run(id: string): Promise<MassRun | undefined> {
    return PLAN_ID.test(id) ? readJson<MassRun>(join(this.#path(id), 'run.json')) : Promise.resolve(undefined);
  }

  async saveRun(run: MassRun, durable: boolean): Promise<void> {
    const path = join(this.#path(run.plan), 'run.json');
    await writeWhole(path, JSON.stringify(run, undefined, 2), durable);
    if (durable) await syncDirectory(dirname(path));
  }

  drill(id: string): Promise<DrillResult | undefined> {
    return PLAN_ID.test(id) ? readJson<DrillResult>(join(this.#path(id), 'drill.json')) : Promise.resolve(undefined);
  }

  saveDrill(drill: DrillResult): Promise<void> {
    return writeWhole(join(this.#path(drill.plan), 'drill.json'), JSON.stringify(drill, undefined, 2), true);
  }

  rate(): Promise<KnownRate | undefined> {
    return readJson<KnownRate>(join(this.#dir, 'rate.json'));
  }

  async saveRate(rate: KnownRate): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o750 });
    await writeWhole(join(this.#dir, 'rate.json'), JSON.stringify(rate), false);
  }

  async upload(id: string | undefined, serials: readonly Serial[]): Promise<string> {
    const path = this.#upload(id);
    if (id !== undefined) await existing(path.file, id);
    await mkdir(dirname(path.file), { recursive: true, mode: 0o750 });
    await appendFile(path.file, serials.map((serial) => `${serial}\n`).join(''), { mode: 0o640 });
    return path.id;
  }

  async *uploaded(id: string, size: number): AsyncGenerator<readonly Serial[]> {
    const { file } = this.#upload(id);
    await existing(file, id);
    let page: Serial[] = [];
    for await (const line of linesOf(file)) {
      page.push(line as Serial);
      if (page.length < size) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  #path(id: string): string {
    return join(this.#dir, id);
  }

  #upload(given: string | undefined): { readonly id: string; readonly file: string } {
    const id = given ?? randomBytes(16).toString('hex');
    if (!UPLOAD_ID.test(id)) throw noSuchUpload(id);
    return { id, file: join(this.#dir, 'uploads', id) };
  }
}

class FileList implements ListDraft {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #hash: Hash = createHash('sha256');
  #octets = 0;
  #sealed = false;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async begin(path: string): Promise<FileList> {
    await mkdir(path, { mode: 0o750 });
    return new FileList(path, await open(join(path, 'list'), 'wx', 0o640));
  }

  async write(page: readonly ListedCertificate[]): Promise<void> {
    const text = Buffer.from(page.map(({ issuer, serial }) => `${issuer} ${serial}\n`).join(''));
    try {
      await this.#file.appendFile(text);
    } catch (error) {
      throw new Problem('unavailable', `the list cannot be written: ${(error as Error).message}`, { field: this.path });
    }
    this.#hash.update(text);
    this.#octets += text.length;
  }

  async seal(): Promise<{ readonly sha256: string; readonly octets: number }> {
    await this.#file.sync();
    await this.#file.close();
    this.#sealed = true;
    return { sha256: this.#hash.digest('hex'), octets: this.#octets };
  }

  async discard(): Promise<void> {
    if (!this.#sealed) await this.#file.close().catch(() => undefined);
    await rm(this.path, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Lines without their ends; a last one without its end was cut off by a crash, and is none. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of createReadStream(path, { encoding: 'latin1', highWaterMark: 64 << 10 })) {
    const lines = (rest + (piece as string)).split('\n');
    rest = lines.pop() as string;
    yield* lines;
  }
}

async function readJson<T>(path: string): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Problem('corrupt', (error as Error).message, { field: path });
  }
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new Problem('corrupt', 'is not JSON', { field: path });
  }
}

/** In its own directory, which is not there for others yet. */
async function writeDurably(path: string, text: string): Promise<void> {
  await writeSynced(path, text, true);
  await syncDirectory(dirname(path));
}

async function writeWhole(path: string, text: string, durable: boolean): Promise<void> {
  const draft = join(dirname(path), `.${randomBytes(4).toString('hex')}.part`);
  await writeSynced(draft, text, durable);
  await rename(draft, path);
}

async function writeSynced(path: string, text: string, durable: boolean): Promise<void> {
  const file = await open(path, 'w', 0o640);
  try {
    await file.writeFile(text);
    if (durable) await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function existing(file: string, id: string): Promise<void> {
  await stat(file).catch(() => {
    throw noSuchUpload(id);
  });
}

function noSuchUpload(id: string): Problem {
  return new Problem('not-found', 'no such list was handed in here', { field: '/list', value: id });
}
