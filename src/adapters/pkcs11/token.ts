/**
 * A PKCS#11 token: any HSM with a module, by module path and token label or serial number.
 *
 *   signer's process                               host process (host.ts), one for each token
 *   Pkcs11Key → Scheduler → HostLink  ──IPC──────▶ main thread: login, list, generate
 *                                     ──sockets──▶ a thread for each session: signs
 *
 * What goes wrong, and what becomes of it:
 *
 *   one signature refused                      that item fails
 *   stale session or handle                    the thread opens and searches anew (signing-session.ts)
 *   key not found, or not ours                 the key's failure says so; it is looked for again, ever more rarely
 *   key not found where it was found before    as the next line: the token may have gone
 *   token gone, module failing, host crashed   `lost`: what is under way fails at once; a new host, with the kept PIN, after
 *   or stuck beyond the deadline               0.2 s, and ever more rarely up to 30 s, until it works
 *   token gone while nobody signs              found by the look that an idle token gets, and then as the line above
 *   PIN refused, at any login                  `refused`: the PIN is overwritten and not tried again; tokens count and lock
 *   this process dies, in any way              the host ends with it
 *
 * Once a token has been lost, new sessions alone do not bring it back: module and login need a new process.
 */
import { isUtf8 } from 'node:buffer';
import type { KeyObject } from 'node:crypto';
import { Problem } from '../../core/problem.ts';
import type { SignatureAlgorithm } from '../../core/signature-algorithm.ts';
import type { KeyHolder, KeyUse, SignPriority, SignResult, SlotMeter } from '../../ports/key-holder.ts';
import type { Token, TokenKey, TokenState } from '../../ports/token.ts';
import { HostLink, OperationLane, PinRefused } from './host-link.ts';
import { type KeySelector, type KeyToken, Pkcs11Key } from './key.ts';
import { Scheduler, type ScheduledKey } from './scheduler.ts';
import type { HostRequest, TokenDescription, TokenPlace } from './wire.ts';

const DEADLINE_MS = 10_000;
const FIRST_RETRY_MS = 200;
const LAST_RETRY_MS = 30_000;
/**
 * A token with nothing to sign proves a key so often. Whoever is on duty hears of a token that is gone before a revocation needs it:
 * 15 min is the first limit (B-18).
 */
const LOOK_MS = 15_000;
/** A key that is not there is looked for again. */
const FIRST_SEARCH_MS = 1000;
/** PKCS#11 leaves the size of labels and ids open; tokens do not. */
const MAX_NAME_OCTETS = 64;
const MAX_PIN_OCTETS = 255;

export interface TokenOptions {
  /** The operator's name for it. */
  readonly name: string;
  /** Path of the vendor's PKCS#11 module. */
  readonly module: string;
  /** CKA_LABEL and serial number as the token tells them, without padding; at least one. */
  readonly label?: string;
  readonly serial?: string;
  /** Threads that sign at the same time, 1 … 64. */
  readonly sessions: number;
  /**
   * held: logged in from activate() to deactivate(). per-operation: for a CA's key (SR-6.2.9), logged in for each sign() of at most
   * 64 structures and out again, in one session whatever `sessions` says.
   */
  readonly use: 'held' | 'per-operation';
  /** How long the token may take for a chunk (5 ms of work), or for a whole operation. Default 10 s. */
  readonly deadlineMs?: number;
  /** How often a token that signs nothing is looked at, where its login is held. Default 15 s. */
  readonly lookMs?: number;
  /** Of the host process, where a module reads its configuration; that of this process when absent. */
  readonly env?: NodeJS.ProcessEnv;
  /** Told of every signature. */
  readonly meter?: SlotMeter;
}

export interface Pkcs11Token extends Token {
  /**
   * A key of it, known by its certificate; the private key itself is looked for when the token is active.
   * @param use what it is for, for the meter; `ocsp` when absent.
   * @throws Problem `config` when nothing selects a key.
   */
  key(selector: KeySelector, publicKey: KeyObject, algorithm: SignatureAlgorithm, use?: KeyUse): KeyHolder;
  /** Of the host process, while there is one. */
  readonly hostPid: number | undefined;
}

/**
 * Starts nothing yet: activate(), keys() and generate() do, and throw Problem `config` besides what the contract says when
 * pkcs11js is not installed, the module cannot be loaded, or the token has fewer sessions than asked for.
 * @throws Problem `config`
 */
export function openToken(options: TokenOptions): Pkcs11Token {
  const { name, sessions, label, serial, module } = options;
  const refuse = (field: string, message: string, value?: unknown): Problem =>
    new Problem('config', message, { field: `tokens.${name}.${field}`, value });
  if (module === '') throw refuse('module', 'names no file');
  if ((label ?? '') === '' && (serial ?? '') === '') throw refuse('label', 'give label or serial');
  if (!Number.isInteger(sessions) || sessions < 1 || sessions > 64)
    throw refuse('sessions', 'is a whole number from 1 to 64', sessions);
  return new ManagedToken(options);
}

class ManagedToken implements Pkcs11Token, KeyToken {
  readonly name: string;
  readonly #options: TokenOptions;
  readonly #place: TokenPlace;
  readonly #deadlineMs: number;
  readonly #scheduler: Scheduler;
  readonly #keys = new Set<Pkcs11Key>();
  /** Keys that the host of now has found: one that it does not find any more is a sign. */
  readonly #found = new Set<Pkcs11Key>();
  readonly #troubled = new Set<Pkcs11Key>();
  readonly #listeners: (() => void)[] = [];
  #keyNumber = 0;
  #state: TokenState = 'inactive';
  #failure: string | undefined;
  #described: TokenDescription | undefined;
  #pin: Buffer | undefined;
  /** Of an active token. */
  #host: HostLink | undefined;
  /** Not there yet. */
  #start: HostLink | undefined;
  /** activate, deactivate, restarts and inactive listing wait for each other. */
  #turn: Promise<unknown> = Promise.resolve();
  /** A list of keys that is being made. */
  #looking: Promise<readonly TokenKey[]> | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Restarts since something was signed. */
  #restarts = 0;
  #search: NodeJS.Timeout | undefined;
  #searches = 0;
  #look: NodeJS.Timeout | undefined;
  /** Nothing was signed since the look was planned. */
  #idle = true;
  #closed = false;

  constructor(options: TokenOptions) {
    this.name = options.name;
    this.#options = options;
    this.#place = { module: options.module, label: options.label, serial: options.serial };
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#scheduler = new Scheduler(this.#deadlineMs, (reason) => this.#lose(reason), options.meter);
    this.#failure = this.#inactive;
  }

  get describe(): string {
    const { module, label, serial } = this.#place;
    const known = this.#described;
    return [
      `token ${this.name}: module ${module}`,
      `label ${known?.label ?? label ?? '?'}`,
      `serial ${known?.serial ?? serial ?? '?'}`,
      ...(known === undefined ? [] : [`${known.manufacturer} ${known.model}`]),
    ].join(', ');
  }

  get state(): TokenState {
    return this.#state;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  get obstacle(): string | undefined {
    return this.#failure;
  }

  get hostPid(): number | undefined {
    return this.#host?.pid;
  }

  key(selector: KeySelector, publicKey: KeyObject, algorithm: SignatureAlgorithm, use: KeyUse = 'ocsp'): KeyHolder {
    const { object, id } = selector;
    if (object === undefined && id === undefined)
      throw new Problem('config', 'names no key: give object or id', { field: `tokens.${this.name}` });
    if (this.#keyNumber > 0xffff) throw new Problem('config', 'too many keys', { field: `tokens.${this.name}` });
    const words = [
      `pkcs11:token=${this.name}`,
      ...(object === undefined ? [] : [`object=${object}`]),
      ...(id === undefined ? [] : [`id=${id.replace(/../g, '%$&')}`]),
    ];
    const key = new Pkcs11Key(this, words.join(';'), this.#keyNumber++, selector, publicKey, algorithm, use);
    this.#keys.add(key);
    if (this.#state === 'active') void this.#scheduler.probe(key);
    return key;
  }

  activate(pin: Uint8Array): Promise<void> {
    // Not worth one of the few tries that a token gives.
    if (pin.length === 0 || pin.length > MAX_PIN_OCTETS || !isUtf8(pin))
      return Promise.reject(this.#problem('invalid', `a PIN is 1 to ${MAX_PIN_OCTETS} octets of UTF-8`));
    const own = copyOf(pin);
    return this.#inTurn(async () => {
      if (this.#closed) throw this.#problem('unavailable', 'the token is closed');
      if (this.#state === 'active') return;
      clearTimeout(this.#retry);
      try {
        await this.#connect(own);
      } catch (error) {
        if (error instanceof PinRefused) throw this.#refuse(error.message);
        // A token that was lost stays so, with the PIN that once worked.
        if (this.#state === 'lost') this.#retryLater();
        throw this.#explain(error);
      }
      await this.#probeAll();
    }).finally(() => {
      if (this.#pin !== own) own.fill(0);
    });
  }

  deactivate(): Promise<void> {
    this.#start?.end('it was deactivated');
    return this.#inTurn(async () => {
      const host = this.#host;
      this.#forgetPin();
      this.#detach(this.#inactive);
      this.#become('inactive', this.#inactive);
      if (host === undefined) return;
      try {
        // CT-6.2.9. The end of the process does the same where the token does not answer.
        if (this.#options.use === 'held') await host.ask({ op: 'logout' }, Math.min(this.#deadlineMs, 2000));
      } catch {
        // Ended below.
      }
      await host.kill();
    });
  }

  keys(): Promise<readonly TokenKey[]> {
    // Whoever may look asks as often as they like: one look for all, so that an activation waits behind one at most.
    this.#looking ??= this.#ask((pin) => ({ op: 'list', pin })).finally(() => (this.#looking = undefined)) as Promise<
      readonly TokenKey[]
    >;
    return this.#looking;
  }

  async generate(
    type: 'RSA-2048' | 'RSA-3072' | 'RSA-4096' | 'P-256' | 'P-384',
    label: string,
    id: Buffer,
  ): Promise<TokenKey> {
    for (const [field, octets] of [
      ['label', Buffer.byteLength(label)],
      ['id', id.length],
    ] as const) {
      if (octets === 0 || octets > MAX_NAME_OCTETS)
        throw new Problem('invalid', `has 1 to ${MAX_NAME_OCTETS} octets`, { field, value: octets });
    }
    if (this.#state !== 'active') throw this.#problem('unavailable', this.#failure ?? this.#inactive);
    return (await this.#ask((pin) => ({ op: 'generate', pin, type, label, id }))) as TokenKey;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.deactivate();
    this.#become('inactive', `token ${this.name} is closed`);
  }

  sign(key: ScheduledKey, inputs: Buffer, count: number, priority: SignPriority): Promise<readonly SignResult[]> {
    return this.#scheduler.sign(key, inputs, count, priority);
  }

  proven(key: Pkcs11Key): void {
    this.#restarts = 0;
    this.#idle = false;
    this.#found.add(key);
    this.#troubled.delete(key);
    if (this.#troubled.size === 0) this.#searches = 0;
  }

  troubled(key: Pkcs11Key, missing: boolean): void {
    if (missing && this.#found.has(key)) return this.#lose(`${key.describe} is not found any more`);
    this.#troubled.add(key);
    this.#searchLater();
  }

  forget(key: Pkcs11Key): void {
    this.#keys.delete(key);
    this.#found.delete(key);
    this.#troubled.delete(key);
    this.#scheduler.drop(key, this.#problem('unavailable', 'the key is closed'));
  }

  get #inactive(): string {
    return `token ${this.name} is not activated`;
  }

  /** A new host, logged in, with its sessions at work; keeps the PIN. @throws PinRefused, Problem */
  async #connect(pin: Buffer): Promise<void> {
    const { sessions, use, env } = this.#options;
    const host = new HostLink(use === 'held' ? sessions : 0, env);
    const token = await this.#starting(host, async () => {
      const opened = await host.open(this.#place);
      await host.login(pin);
      return opened;
    });
    if (this.#pin !== pin) this.#forgetPin();
    this.#pin = pin;
    this.#host = host;
    this.#described = token;
    this.#found.clear();
    const operations = new OperationLane(
      host,
      this.#deadlineMs,
      () => copyOf(pin),
      (code) => this.#refuse(code),
    );
    this.#scheduler.attach(use === 'held' ? host.lanes : [operations]);
    this.#become('active', undefined);
    host.onEnd((reason) => this.#lose(reason));
    this.#lookLater(host);
  }

  /** Not where each access is a login: a person would find one in the HSM's log that nobody asked for (SR-6.2.9). */
  #lookLater(host: HostLink): void {
    if (this.#options.use !== 'held' || this.#host !== host) return;
    this.#idle = true;
    this.#look = setTimeout(() => {
      const [key] = this.#found;
      const looked = this.#idle && key !== undefined ? this.#scheduler.probe(key) : Promise.resolve();
      void looked.then(() => this.#lookLater(host));
    }, this.#options.lookMs ?? LOOK_MS);
    this.#look.unref();
  }

  /** A host that starts can be ended by deactivate(), which else would wait for it; one that fails is ended. */
  async #starting<T>(host: HostLink, work: () => Promise<T>): Promise<T> {
    this.#start = host;
    try {
      return await work();
    } catch (error) {
      await host.kill();
      throw error;
    } finally {
      this.#start = undefined;
    }
  }

  /** So that each key's failure is known before the first signature is wanted. */
  async #probeAll(): Promise<void> {
    await Promise.all([...this.#keys].map((key) => this.#scheduler.probe(key)));
  }

  #lose(reason: string): void {
    if (this.#state !== 'active') return;
    const failure = `token ${this.name} is lost: ${reason}`;
    void this.#detach(failure)?.kill();
    this.#become('lost', failure);
    this.#retryLater();
  }

  #retryLater(): void {
    const limit = Math.min(FIRST_RETRY_MS * 2 ** this.#restarts++, LAST_RETRY_MS);
    // Jitter: several signers of one HSM do not come back in the same moment.
    this.#retry = setTimeout(() => void this.#inTurn(() => this.#reconnect()), limit * (0.75 + Math.random() / 2));
    this.#retry.unref();
  }

  async #reconnect(): Promise<void> {
    if (this.#state !== 'lost' || this.#pin === undefined) return;
    try {
      await this.#connect(this.#pin);
    } catch (error) {
      if (error instanceof PinRefused) return void this.#refuse(error.message);
      this.#become('lost', `token ${this.name} is lost: ${(error as Error).message}`);
      return this.#retryLater();
    }
    await this.#probeAll();
  }

  /** The PIN is never tried again until somebody gives one anew. */
  #refuse(code: string): Problem {
    this.#forgetPin();
    const failure = `token ${this.name} refuses the PIN (${code}); activate it with the right one`;
    void this.#detach(failure)?.kill();
    this.#become('refused', failure);
    return this.#problem('refused', `the token refuses the PIN: ${code}`);
  }

  #detach(failure: string): HostLink | undefined {
    clearTimeout(this.#retry);
    clearTimeout(this.#search);
    clearTimeout(this.#look);
    this.#search = undefined;
    this.#searches = 0;
    this.#troubled.clear();
    const host = this.#host;
    this.#host = undefined;
    this.#scheduler.detach(new Problem('unavailable', failure));
    return host;
  }

  #searchLater(): void {
    if (this.#search !== undefined) return;
    const delay = Math.min(FIRST_SEARCH_MS * 2 ** this.#searches++, LAST_RETRY_MS);
    this.#search = setTimeout(() => {
      this.#search = undefined;
      for (const key of this.#troubled) void this.#scheduler.probe(key);
    }, delay);
    this.#search.unref();
  }

  /** Asks the host of an active token, or one that is started for this and sees public objects only. */
  async #ask(request: (pin: Uint8Array | undefined) => HostRequest): Promise<unknown> {
    if (this.#closed) throw this.#problem('unavailable', 'the token is closed');
    const host = this.#host;
    try {
      if (host !== undefined) {
        const pin = this.#options.use === 'per-operation' && this.#pin !== undefined ? copyOf(this.#pin) : undefined;
        return await host.ask(request(pin));
      }
      return await this.#inTurn(async () => {
        const visitor = new HostLink(0, this.#options.env);
        const answer = await this.#starting(visitor, async () => {
          await visitor.open(this.#place);
          return visitor.ask(request(undefined));
        });
        await visitor.kill();
        return answer;
      });
    } catch (error) {
      if (error instanceof PinRefused) throw this.#refuse(error.message);
      throw this.#explain(error);
    }
  }

  #become(state: TokenState, failure: string | undefined): void {
    if (this.#state === state && this.#failure === failure) return;
    this.#state = state;
    this.#failure = failure;
    for (const listener of this.#listeners) listener();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #forgetPin(): void {
    this.#pin?.fill(0);
    this.#pin = undefined;
  }

  #explain(error: unknown): Problem {
    return error instanceof Problem
      ? this.#problem(error.code, error.message)
      : this.#problem('unavailable', (error as Error).message);
  }

  #problem(code: Problem['code'], message: string): Problem {
    return new Problem(code, message, { field: `tokens.${this.name}` });
  }
}

/** In memory of its own, not in the pool that small Buffers share. */
function copyOf(pin: Uint8Array): Buffer {
  const own = Buffer.allocUnsafeSlow(pin.length);
  own.set(pin);
  return own;
}
