/**
 * A token of SoftHSM2 in a directory of its own. The module reads SOFTHSM2_CONF from the environment of the process that loads it:
 * give `env` to whatever does (openToken's `env`, a service that is started), and this process needs none.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where Debian and others put it. */
const MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
];

/** OpenSC's module that passes every call on and writes it down. */
const SPIES = [
  '/usr/lib/x86_64-linux-gnu/pkcs11-spy.so',
  '/usr/lib/aarch64-linux-gnu/pkcs11-spy.so',
  '/usr/lib64/pkcs11-spy.so',
];

export const softhsmModule = MODULES.find((file) => existsSync(file)) ?? '';
const spyModule = SPIES.find((file) => existsSync(file)) ?? '';

/** pkcs11js is optional, and may be there without its native part. */
export const missingPkcs11js: string | false = await import('pkcs11js').then(
  () => false as const,
  () => 'needs pkcs11js',
);

const has = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;

/** For `{ skip: missingSofthsm }`: what is missing, or false. */
export const missingSofthsm: string | false =
  missingPkcs11js !== false
    ? missingPkcs11js
    : softhsmModule === '' || !has('softhsm2-util')
      ? 'needs softhsm2'
      : has('pkcs11-tool') && spyModule !== ''
        ? false
        : 'needs opensc';

interface SoftTokenOptions {
  readonly label: string;
  readonly pin: string;
  readonly soPin?: string;
}

export class SoftToken {
  readonly module = softhsmModule;
  readonly label: string;
  /** With SOFTHSM2_CONF. */
  readonly env: NodeJS.ProcessEnv;
  readonly directory = mkdtempSync(join(tmpdir(), 'certstatus-softhsm-'));
  readonly #tokens = join(this.directory, 'tokens');
  readonly #soPin: string;
  #pin: string;

  constructor({ label, pin, soPin = '12345678' }: SoftTokenOptions) {
    this.label = label;
    this.#pin = pin;
    this.#soPin = soPin;
    const configuration = join(this.directory, 'softhsm2.conf');
    writeFileSync(
      configuration,
      `directories.tokendir = ${this.#tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
    );
    this.env = { ...process.env, SOFTHSM2_CONF: configuration };
    this.create();
  }

  /** Makes the token; again after destroy(), with another serial number and no keys. */
  create(): void {
    mkdirSync(this.#tokens, { recursive: true });
    const pins = ['--so-pin', this.#soPin, '--pin', this.#pin];
    this.#run('softhsm2-util', ['--init-token', '--free', '--label', this.label, ...pins]);
  }

  destroy(): void {
    rmSync(this.#tokens, { recursive: true, force: true });
  }

  /** @param key PKCS#8 PEM, or the key itself. @param id hex. */
  importKey(key: string | KeyObject, label: string, id: string): void {
    const file = join(this.directory, 'import.pem');
    const pem = typeof key === 'string' ? createPrivateKey(key) : key;
    writeFileSync(file, pem.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const what = ['--import', file, '--label', label, '--id', id];
    this.#run('softhsm2-util', [...what, '--token', this.label, '--pin', this.#pin]);
    rmSync(file);
  }

  /** Removes private and public key. @param id hex. */
  deleteKey(id: string): void {
    for (const type of ['privkey', 'pubkey'])
      this.tool('--login', '--pin', this.#pin, '--delete-object', '--type', type, '--id', id);
  }

  changePin(pin: string): void {
    this.tool('--login', '--pin', this.#pin, '--change-pin', '--new-pin', pin);
    this.#pin = pin;
  }

  /** The device is unplugged: its directory is gone. */
  hide(): void {
    renameSync(this.#tokens, `${this.#tokens}.hidden`);
    // An empty one, so that the module starts and finds no token.
    mkdirSync(this.#tokens);
  }

  restore(): void {
    rmSync(this.#tokens, { recursive: true });
    renameSync(`${this.#tokens}.hidden`, this.#tokens);
  }

  /** Another module path and environment for the same token, where each call of the module is written to `log`. */
  spied(): { readonly module: string; readonly env: NodeJS.ProcessEnv; readonly log: string } {
    const log = join(this.directory, 'calls.log');
    return { module: spyModule, env: { ...this.env, PKCS11SPY: this.module, PKCS11SPY_OUTPUT: log }, log };
  }

  /** pkcs11-tool on this token; returns what it printed. */
  tool(...args: readonly string[]): string {
    return this.#run('pkcs11-tool', ['--module', this.module, '--token-label', this.label, ...args]);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #run(program: string, args: readonly string[]): string {
    return execFileSync(program, args, { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] }).toString();
  }
}

export function softToken(options: SoftTokenOptions): SoftToken {
  return new SoftToken(options);
}
