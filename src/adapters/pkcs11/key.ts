/**
 * One key of a token behind the key holder's contract. Hashes here, in the signer's process: 1 µs a response, and less
 * than sending the octets elsewhere; large structures in pieces between which everything else has its turn.
 */
import { createHash, hash, type KeyObject } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { rawToDer } from '../../core/ecdsa-signature.ts';
import { Problem } from '../../core/problem.ts';
import type { SignatureAlgorithm } from '../../core/signature-algorithm.ts';
import type { KeyHolder, KeyUse, PiecewiseSignature, SignPriority, SignResult } from '../../ports/key-holder.ts';
import type { ScheduledKey } from './scheduler.ts';
import { inputOctets, inputPrefix } from './signature-input.ts';
import type { KeyDefinition } from './wire.ts';

/** Hashed at once: a millisecond or less. */
const PIECE = 512 << 10;

export interface KeySelector {
  /** CKA_LABEL. */
  readonly object?: string | undefined;
  /** CKA_ID, hex. */
  readonly id?: string | undefined;
}

/** What a key needs of its token. */
export interface KeyToken {
  /** Why nothing can be signed now. */
  readonly obstacle: string | undefined;
  sign(key: ScheduledKey, inputs: Buffer, count: number, priority: SignPriority): Promise<readonly SignResult[]>;
  /** The key was found and signs. */
  proven(key: Pkcs11Key): void;
  /** The key was not found, or is not ours. */
  troubled(key: Pkcs11Key, missing: boolean): void;
  forget(key: Pkcs11Key): void;
}

export class Pkcs11Key implements KeyHolder, ScheduledKey {
  readonly algorithm: SignatureAlgorithm;
  readonly publicKey: Buffer;
  readonly describe: string;
  readonly number: number;
  readonly definition: KeyDefinition;
  readonly inputOctets: number;
  readonly use: KeyUse;
  microseconds: number;
  readonly #token: KeyToken;
  readonly #prefix: Buffer;
  #trouble: string | undefined;
  #closed = false;

  constructor(
    token: KeyToken,
    describe: string,
    number: number,
    { object, id }: KeySelector,
    publicKey: KeyObject,
    algorithm: SignatureAlgorithm,
    use: KeyUse,
  ) {
    this.#token = token;
    this.use = use;
    this.algorithm = algorithm;
    this.publicKey = publicKey.export({ type: 'spki', format: 'der' });
    this.describe = describe;
    this.number = number;
    const kind = publicKey.asymmetricKeyType === 'rsa' ? 'rsa' : 'ecdsa';
    this.definition = {
      ...(object === undefined ? {} : { object }),
      ...(id === undefined ? {} : { id }),
      spki: this.publicKey.toString('base64'),
      kind,
      hash: algorithm.hash,
      signatureOctets: SIGNATURE_OCTETS[algorithm.keyType],
    };
    this.inputOctets = inputOctets(kind, algorithm.hash);
    this.#prefix = inputPrefix(kind, algorithm.hash);
    // Guesses: the first chunk corrects them.
    this.microseconds = kind === 'rsa' ? 2500 : 300;
  }

  get failure(): string | undefined {
    if (this.#closed) return `${this.describe} is closed`;
    return this.#token.obstacle ?? this.#trouble;
  }

  async sign(tbs: readonly Uint8Array[], priority: SignPriority): Promise<readonly SignResult[]> {
    this.#mustBeUsable();
    if (tbs.length === 0) return [];
    return this.#signInputs(await this.#inputs(tbs), tbs.length, priority);
  }

  begin(): PiecewiseSignature {
    this.#mustBeUsable();
    const digest = createHash(this.algorithm.hash);
    return {
      update: (octets) => void digest.update(octets),
      finish: async (priority) => {
        const input = Buffer.concat([this.#prefix, digest.digest()]);
        return (await this.#signInputs(input, 1, priority))[0] as SignResult;
      },
    };
  }

  async #signInputs(inputs: Buffer, count: number, priority: SignPriority): Promise<readonly SignResult[]> {
    this.#mustBeUsable();
    try {
      return await this.#token.sign(this, inputs, count, priority);
    } catch (error) {
      throw error instanceof Problem ? new Problem(error.code, error.message, { field: this.describe }) : error;
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#token.forget(this);
    return Promise.resolve();
  }

  finish(raw: Buffer): Buffer | undefined {
    // A copy: the frame that the signature lies in would be kept whole.
    return this.definition.kind === 'rsa' ? Buffer.from(raw) : rawToDer(raw);
  }

  proven(): void {
    this.#trouble = undefined;
    this.#token.proven(this);
  }

  troubled(status: 'key-missing' | 'key-wrong', reason: string): void {
    this.#trouble = reason;
    this.#token.troubled(this, status === 'key-missing');
  }

  /** The key's own trouble is no reason not to try: the next call looks for it again. */
  #mustBeUsable(): void {
    const obstacle = this.#closed ? 'the key is closed' : this.#token.obstacle;
    if (obstacle !== undefined) throw new Problem('unavailable', obstacle, { field: this.describe });
  }

  async #inputs(tbs: readonly Uint8Array[]): Promise<Buffer> {
    const inputs = Buffer.allocUnsafe(tbs.length * this.inputOctets);
    const digestAt = this.#prefix.length;
    for (const [index, octets] of tbs.entries()) {
      const at = index * this.inputOctets;
      inputs.set(this.#prefix, at);
      if (octets.length > PIECE) inputs.set(await this.#hashInPieces(octets), at + digestAt);
      // A string of octets costs half of what a Buffer of its own does.
      else inputs.write(hash(this.algorithm.hash, octets, 'binary'), at + digestAt, 'latin1');
    }
    return inputs;
  }

  async #hashInPieces(octets: Uint8Array): Promise<Buffer> {
    const digest = createHash(this.algorithm.hash);
    for (let at = 0; at < octets.length; at += PIECE) {
      digest.update(octets.subarray(at, at + PIECE));
      await nextTurn();
    }
    return digest.digest();
  }
}

/** As tokens give them: RSA as long as the modulus, ECDSA r || s. */
const SIGNATURE_OCTETS = {
  'RSA-2048': 256,
  'RSA-3072': 384,
  'RSA-4096': 512,
  'P-256': 64,
  'P-384': 96,
  'P-521': 132,
} as const;
