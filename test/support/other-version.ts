/** The same program under another version number, installed beside this one as an operator would: a directory of its own. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../../..');

export class OtherVersion {
  readonly version: string;
  readonly #directory = mkdtempSync(join(tmpdir(), 'certstatus-version-'));

  constructor(version: string) {
    this.version = version;
    const to = this.#directory;
    const described = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, unknown>;
    writeFileSync(join(to, 'package.json'), JSON.stringify({ ...described, version }));
    mkdirSync(join(to, 'src/adapters/redis'), { recursive: true });
    for (const part of ['dist/src', 'deploy', 'src/adapters/redis/lua'])
      cpSync(join(ROOT, part), join(to, part), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(to, 'node_modules'));
  }

  /** As `serve` is started by. */
  get program(): string {
    return join(this.#directory, 'dist/src/apps/cli.js');
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Of the program as it was built. */
export function thisVersion(): string {
  return (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
}
