/**
 * A private key in a PEM file, signing with node:crypto. For development and tests only: the key lies in this process's memory and
 * on the disk, where CT-6.2.1-a wants an HSM. Signing runs on libuv's thread pool, a few signatures at a time: the pool is also
 * the store's and the journal's, and a look-up that a client waits for must not stand behind a batch of signatures.
 */
import { createPrivateKey, createPublicKey, createSign, type KeyObject, sign } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { Problem } from '../../core/problem.ts';
import { algorithmFor, type SignatureAlgorithm } from '../../core/signature-algorithm.ts';
import type {
  KeyHolder,
  KeyUse,
  PiecewiseSignature,
  SignPriority,
  SignResult,
  SlotMeter,
} from '../../ports/key-holder.ts';

/** RSA-4096 in PEM is 3.3 kB; text may stand before it. */
const MAX_FILE_OCTETS = 64 << 10;
/** Signatures under way at once: enough for the four threads of libuv's pool. */
const IN_FLIGHT = 4;

export interface SoftwareKeyOptions {
  /** Hash for RSA signatures; that of an EC key follows its curve (BR 7.1.3.2.2). Default sha256. */
  readonly rsaHash?: 'sha256' | 'sha384' | 'sha512';
  /** Told once that keys in files are for development, and when others than the owner can read this one. */
  readonly warn?: (message: string) => void;
  /** Told of every signature; `use` is what the key is for. */
  readonly meter?: SlotMeter;
  readonly use?: KeyUse;
}

/**
 * Opens the key: PKCS#8, PKCS#1 or SEC 1, PEM, not encrypted.
 * @throws Problem `config` naming the file: cannot be read, is no such key, or of a kind that no profile permits.
 */
export async function openSoftwareKey(file: string, options: SoftwareKeyOptions = {}): Promise<KeyHolder> {
  const { pem, mode } = readKeyFile(file);
  const key = parseKey(pem, file);
  const algorithm = algorithmFor(key, file, options.rsaHash);
  options.warn?.(`software key ${file}: for development only, CT-6.2.1-a asks for an HSM`);
  if (mode & 0o077) {
    options.warn?.(
      `software key ${file}: others than its owner can read it (mode ${(mode & 0o777).toString(8)}); chmod 600 it`,
    );
  }
  if (options.meter !== undefined) options.meter.sessions = IN_FLIGHT;
  return new SoftwareKey(key, algorithm, file, options);
}

/**
 * The SubjectPublicKeyInfo of a key file, where nothing is to be signed.
 * @throws Problem `config` as openSoftwareKey does.
 */
export function softwarePublicKey(file: string): Buffer {
  return spkiOf(parseKey(readKeyFile(file).pem, file));
}

class SoftwareKey implements KeyHolder {
  readonly algorithm: SignatureAlgorithm;
  readonly publicKey: Buffer;
  readonly describe: string;
  #key: KeyObject | undefined;
  /** Signatures that have not begun. */
  readonly #waiting: Record<SignPriority, (() => void)[]> = { urgent: [], live: [], bulk: [] };
  readonly #meter: SlotMeter | undefined;
  readonly #use: KeyUse;
  #inFlight = 0;

  constructor(
    key: KeyObject,
    algorithm: SignatureAlgorithm,
    file: string,
    { meter, use = 'ocsp' }: SoftwareKeyOptions,
  ) {
    this.#key = key;
    this.algorithm = algorithm;
    this.publicKey = spkiOf(key);
    this.describe = `software key ${file}`;
    this.#meter = meter;
    this.#use = use;
  }

  get failure(): string | undefined {
    return this.#key === undefined ? `${this.describe} is closed` : undefined;
  }

  async sign(tbs: readonly Uint8Array[], priority: SignPriority): Promise<readonly SignResult[]> {
    const key = this.#usable();
    const meter = this.#meter;
    const calledAt = performance.now();
    const begun = (at: number): void => meter?.waited(at - calledAt);
    const results = await Promise.all(
      tbs.map((item, i) => this.#signOne(key, item, priority, i === 0 ? begun : undefined)),
    );
    const signed = results.reduce((sum, { ok }) => (ok ? sum + 1 : sum), 0);
    meter?.signed(this.#use, signed);
    if (signed < results.length) meter?.failed(results.length - signed);
    return results;
  }

  begin(): PiecewiseSignature {
    const key = this.#usable();
    const signature = createSign(this.algorithm.hash);
    return {
      update: (octets) => void signature.update(octets),
      finish: () => {
        const startedAt = performance.now();
        const made = signature.sign({ key, dsaEncoding: 'der' });
        this.#meter?.busy(performance.now() - startedAt);
        this.#meter?.signed(this.#use, 1);
        return Promise.resolve({ ok: true, signature: made });
      },
    };
  }

  async close(): Promise<void> {
    this.#key = undefined;
  }

  #usable(): KeyObject {
    if (this.#key === undefined) throw new Problem('unavailable', 'the key is closed', { field: this.describe });
    return this.#key;
  }

  /** @param begun called when a thread is there for it. */
  #signOne(
    key: KeyObject,
    tbs: Uint8Array,
    priority: SignPriority,
    begun: ((at: number) => void) | undefined,
  ): Promise<SignResult> {
    return new Promise((resolve) => {
      this.#waiting[priority].push(() => {
        const startedAt = performance.now();
        begun?.(startedAt);
        sign(this.algorithm.hash, tbs, { key, dsaEncoding: 'der' }, (error, signature) => {
          this.#meter?.busy(performance.now() - startedAt);
          this.#inFlight -= 1;
          this.#beginNext();
          resolve(error ? { ok: false, error } : { ok: true, signature });
        });
      });
      this.#beginNext();
    });
  }

  #beginNext(): void {
    while (this.#inFlight < IN_FLIGHT) {
      const begin = this.#waiting.urgent.shift() ?? this.#waiting.live.shift() ?? this.#waiting.bulk.shift();
      if (begin === undefined) return;
      this.#inFlight += 1;
      begin();
    }
  }
}

/** The path may have come with a request: whatever is there, reading it neither waits nor takes more than MAX_FILE_OCTETS. */
function readKeyFile(file: string): { pem: Buffer; mode: number } {
  let descriptor: number;
  try {
    // Without O_NONBLOCK the opening of a FIFO waits for somebody who writes into it.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw unreadable(file, (error as Error).message);
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile()) throw unreadable(file, 'not a regular file');
    const all = Buffer.alloc(MAX_FILE_OCTETS + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < all.length; length += read)
      read = readSync(descriptor, all, length, all.length - length, null);
    if (length > MAX_FILE_OCTETS) throw unreadable(file, `more than ${MAX_FILE_OCTETS} octets`);
    return { pem: all.subarray(0, length), mode: status.mode };
  } catch (error) {
    throw error instanceof Problem ? error : unreadable(file, (error as Error).message);
  } finally {
    closeSync(descriptor);
  }
}

function unreadable(file: string, why: string): Problem {
  // The system's words have the path once more.
  return new Problem('config', `the key file cannot be read: ${why.replace(/, open '.*'$/s, '')}`, { field: file });
}

function spkiOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' });
}

function parseKey(pem: Buffer, file: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // OpenSSL's message is about decoders and says nothing that helps; the key's text must not appear in it either.
    throw new Problem('config', 'not an unencrypted private key in PEM', { field: file, rule: 'RFC 7468 §10' });
  }
}
