/**
 * One session with the keys it has found: signs chunk by chunk, in the thread that calls. The ladder when the token refuses:
 *
 *   the input's own fault     that signature fails, the next one is tried
 *   a stale session or handle (ckr.ts)  a new session, the key searched and proven again, the input tried once more
 *   still, or the token is gone         the rest of the chunk fails with it; the signer's process starts a new host
 *
 * A found key signs nothing before it has proven that it belongs to the public key of the certificate (P7): it signs random octets,
 * and node:crypto verifies.
 */
import { createPublicKey, hash, type KeyObject, randomBytes, verify } from 'node:crypto';
import type { Handle } from 'pkcs11js';
import { type CkrFailure, failureOf, isLost, isStale } from './ckr.ts';
import type { OpenedModule } from './module.ts';
import { signatureInput } from './signature-input.ts';
import { AnswerFrame, type KeyDefinition, troubleFrame } from './wire.ts';

/** Keys with one label: more than a few are a mistake, and each costs a proof. */
const MAX_CANDIDATES = 8;

interface FoundKey {
  readonly handle: Handle;
  readonly mechanism: { readonly mechanism: number };
}

export class SigningSession {
  readonly #module: OpenedModule;
  readonly #answer = new AnswerFrame();
  readonly #keys = new Map<KeyDefinition, FoundKey>();
  #session: Handle | undefined;

  constructor(module: OpenedModule) {
    this.#module = module;
  }

  /**
   * @param inputs packed, `count` of the same length. None: the key is searched and proven anew, whatever was found before.
   * @returns an answer frame, valid until the next call, or a frame that says what is wrong with key or token.
   */
  sign(key: KeyDefinition, inputs: Buffer, count: number): Buffer {
    let found: FoundKey;
    if (count === 0) this.#keys.delete(key);
    try {
      found = this.#find(key);
    } catch (error) {
      return this.#trouble(error);
    }
    const answer = this.#answer;
    answer.begin();
    const octets = count === 0 ? 0 : inputs.length / count;
    const started = performance.now();
    for (let i = 0; i < count; i++) {
      const input = inputs.subarray(i * octets, (i + 1) * octets);
      let failure = this.#signOne(found, input, key.signatureOctets);
      if (failure !== undefined && isStale(failure.code)) {
        try {
          this.close();
          found = this.#find(key);
        } catch (error) {
          return this.#trouble(error);
        }
        failure = this.#signOne(found, input, key.signatureOctets);
      }
      if (failure === undefined) continue;
      answer.failed(failure);
      if (!isLost(failure.code)) continue;
      for (i++; i < count; i++) answer.failed(failure);
    }
    return answer.finish((performance.now() - started) * 1000);
  }

  /** Forgets session and handles; the next use opens a new one. */
  close(): void {
    const session = this.#session;
    this.#session = undefined;
    this.#keys.clear();
    if (session === undefined) return;
    try {
      this.#module.cryptoki.C_CloseSession(session);
    } catch {
      // It may be what was wrong with it.
    }
  }

  #signOne({ handle, mechanism }: FoundKey, input: Buffer, octets: number): CkrFailure | undefined {
    const { cryptoki } = this.#module;
    const session = this.#session as Handle;
    try {
      cryptoki.C_SignInit(session, mechanism, handle);
      const signature = cryptoki.C_Sign(session, input, this.#answer.room(octets));
      if (signature.length !== octets) return { code: 0, text: `a signature of ${signature.length} octets` };
      this.#answer.signed(octets);
      return undefined;
    } catch (error) {
      return failureOf(error);
    }
  }

  #find(key: KeyDefinition): FoundKey {
    const known = this.#keys.get(key);
    if (known !== undefined) return known;
    try {
      return this.#search(key);
    } catch (error) {
      // The session may have gone stale since its last use; an answer about the key needs a fresh one.
      if (error instanceof KeyTrouble || !isStale(failureOf(error).code)) throw error;
      this.close();
      return this.#search(key);
    }
  }

  #search(key: KeyDefinition): FoundKey {
    const { cryptoki, constants, slot } = this.#module;
    const session = (this.#session ??= cryptoki.C_OpenSession(slot, constants.CKF_SERIAL_SESSION));
    const handles = this.#handlesOf(session, key);
    if (handles.length === 0) throw new KeyTrouble('key-missing', `the token holds no private key ${nameOf(key)}`);
    const publicKey = createPublicKey({ key: Buffer.from(key.spki, 'base64'), format: 'der', type: 'spki' });
    const mechanism = { mechanism: key.kind === 'rsa' ? constants.CKM_RSA_PKCS : constants.CKM_ECDSA };
    for (const handle of handles) {
      const found = { handle, mechanism };
      // Asked first: some tokens call a mechanism of another type a general error, which would look like the end of the token.
      if (!this.#isOfKind(session, handle, key)) continue;
      if (this.#wantsPinEachTime(session, handle)) {
        throw new KeyTrouble('key-wrong', `the private key ${nameOf(key)} has CKA_ALWAYS_AUTHENTICATE`);
      }
      if (!this.#proves(session, found, key, publicKey)) continue;
      this.#keys.set(key, found);
      return found;
    }
    throw new KeyTrouble(
      'key-wrong',
      `the private key ${nameOf(key)} in the token does not belong to the public key of the certificate`,
    );
  }

  #handlesOf(session: Handle, key: KeyDefinition): readonly Handle[] {
    const { cryptoki, constants } = this.#module;
    cryptoki.C_FindObjectsInit(session, [
      { type: constants.CKA_CLASS, value: constants.CKO_PRIVATE_KEY },
      { type: constants.CKA_TOKEN, value: true },
      ...(key.object === undefined ? [] : [{ type: constants.CKA_LABEL, value: key.object }]),
      ...(key.id === undefined ? [] : [{ type: constants.CKA_ID, value: Buffer.from(key.id, 'hex') }]),
    ]);
    try {
      return cryptoki.C_FindObjects(session, MAX_CANDIDATES);
    } finally {
      cryptoki.C_FindObjectsFinal(session);
    }
  }

  #isOfKind(session: Handle, handle: Handle, key: KeyDefinition): boolean {
    const { cryptoki, constants } = this.#module;
    const [attribute] = cryptoki.C_GetAttributeValue(session, handle, [{ type: constants.CKA_KEY_TYPE }]);
    return attribute?.value.readUInt32LE(0) === (key.kind === 'rsa' ? constants.CKK_RSA : constants.CKK_EC);
  }

  /** Such a key takes its PIN before each signature, and nobody holds it ready here. */
  #wantsPinEachTime(session: Handle, handle: Handle): boolean {
    const { cryptoki, constants } = this.#module;
    try {
      const [attribute] = cryptoki.C_GetAttributeValue(session, handle, [{ type: constants.CKA_ALWAYS_AUTHENTICATE }]);
      return attribute?.value[0] === 1;
    } catch {
      // Before v2.20 there was no such attribute.
      return false;
    }
  }

  #proves(session: Handle, { handle, mechanism }: FoundKey, key: KeyDefinition, publicKey: KeyObject): boolean {
    const { cryptoki } = this.#module;
    // No SEQUENCE, so never the to-be-signed part of anything.
    const challenge = Buffer.concat([Buffer.from('certstatus key proof'), randomBytes(32)]);
    let signature: Buffer;
    try {
      cryptoki.C_SignInit(session, mechanism, handle);
      const input = signatureInput(key.kind, key.hash, hash(key.hash, challenge, 'buffer'));
      signature = cryptoki.C_Sign(session, input, Buffer.alloc(Math.max(key.signatureOctets, 1024)));
    } catch (error) {
      // A key that may not sign like this is not ours. Anything about the token is told as that.
      if (isLost(failureOf(error).code)) throw error;
      return false;
    }
    return verify(key.hash, challenge, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature);
  }

  #trouble(error: unknown): Buffer {
    // Whatever was found before is in doubt now.
    this.close();
    if (error instanceof KeyTrouble) return troubleFrame(error.status, { code: 0, text: error.message });
    return troubleFrame('token-failed', failureOf(error));
  }
}

class KeyTrouble extends Error {
  readonly status: 'key-missing' | 'key-wrong';

  constructor(status: 'key-missing' | 'key-wrong', message: string) {
    super(message);
    this.status = status;
  }
}

function nameOf({ object, id }: KeyDefinition): string {
  return [object === undefined ? '' : `object=${object}`, id === undefined ? '' : `id=${id}`]
    .filter((text) => text !== '')
    .join(' ');
}
