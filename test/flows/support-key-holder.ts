/** A key in memory that signs, fails, lies or hangs, as the test says. */
import { sign } from 'node:crypto';
import { algorithmFor, type SignatureAlgorithm } from '../../src/core/signature-algorithm.ts';
import type { KeyHolder, PiecewiseSignature, SignResult } from '../../src/ports/key-holder.ts';
import { ecKey, type KeyPair, spkiOf } from '../core/sample-pki.ts';

/** What becomes of one structure: signed, refused, signed and then spoilt, or signed with a key that is not ours. */
export type Behaviour = 'sign' | 'fail' | 'spoil' | 'other-key';

export class TestKeyHolder implements KeyHolder {
  readonly algorithm: SignatureAlgorithm;
  readonly publicKey: Buffer;
  readonly describe: string;
  /** Asked for each structure. */
  behave: (tbs: Uint8Array) => Behaviour = () => 'sign';
  /** While set, every call waits for it: a device that does not answer. */
  hanging: Promise<void> | undefined;
  /** While set, every call rejects: the device as a whole is gone. */
  gone: Error | undefined;
  /** What it says of itself. */
  failure: string | undefined;
  /** Structures of each call, in order. */
  readonly calls: number[] = [];
  readonly #key: KeyPair;
  readonly #other = ecKey();

  constructor(key: KeyPair, describe: string) {
    this.#key = key;
    this.algorithm = algorithmFor(key.publicKey, describe);
    this.publicKey = spkiOf(key);
    this.describe = describe;
  }

  /** Stops answering until the function that it returns is called. */
  hang(): () => void {
    let release = (): void => undefined;
    this.hanging = new Promise((resolve) => (release = resolve));
    return () => {
      this.hanging = undefined;
      release();
    };
  }

  async sign(tbs: readonly Uint8Array[]): Promise<readonly SignResult[]> {
    this.calls.push(tbs.length);
    await this.hanging;
    if (this.gone !== undefined) throw this.gone;
    return tbs.map((octets): SignResult => {
      const behaviour = this.behave(octets);
      if (behaviour === 'fail') return { ok: false, error: new Error('CKR_DEVICE_ERROR') };
      const { privateKey } = behaviour === 'other-key' ? this.#other : this.#key;
      const signature = sign(this.algorithm.hash, octets, { key: privateKey, dsaEncoding: 'der' });
      // The last octet lies in s: still an ECDSA-Sig-Value, but of nothing.
      if (behaviour === 'spoil')
        signature.writeUInt8(signature.readUInt8(signature.length - 1) ^ 1, signature.length - 1);
      return { ok: true, signature };
    });
  }

  begin(): PiecewiseSignature {
    const pieces: Uint8Array[] = [];
    return {
      update: (octets) => void pieces.push(Uint8Array.from(octets)),
      finish: async () => (await this.sign([Buffer.concat(pieces)]))[0] as SignResult,
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
