/** The ladder of one session, with a module that fails as the test says: what a SoftHSM cannot be made to do. */
import assert from 'node:assert/strict';
import { constants as crypto, createHash, type KeyObject, privateEncrypt, publicDecrypt } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Handle } from 'pkcs11js';
import { isLost } from '../../src/adapters/pkcs11/ckr.ts';
import type { Constants, Cryptoki, OpenedModule } from '../../src/adapters/pkcs11/module.ts';
import { signatureInput } from '../../src/adapters/pkcs11/signature-input.ts';
import { SigningSession } from '../../src/adapters/pkcs11/signing-session.ts';
import { type ChunkAnswer, type KeyDefinition, readAnswer } from '../../src/adapters/pkcs11/wire.ts';
import { rsaKey, spkiOf } from '../core/sample-pki.ts';
import { missingPkcs11js } from '../support/softhsm.ts';

const constants = (missingPkcs11js === false ? (await import('pkcs11js')).default : {}) as Constants;

const pair = rsaKey();
const definition: KeyDefinition = {
  object: 'responder',
  spki: spkiOf(pair).toString('base64'),
  kind: 'rsa',
  hash: 'sha256',
  signatureOctets: 256,
};
const input = (n: number): Buffer => signatureInput('rsa', 'sha256', createHash('sha256').update(String(n)).digest());

/** CKM_RSA_PKCS with keys in memory. Sessions are numbers; a closed one is CKR_SESSION_HANDLE_INVALID. */
class TestModule {
  keys: KeyObject[] = [pair.privateKey];
  alwaysAuthenticate = false;
  /** Thrown by the next calls of C_Sign, in order; undefined: that one signs. The proof of a key is such a call too. */
  failures: (string | undefined)[] = [];
  signed = 0;
  opened = 0;
  readonly #open = new Set<number>();
  #key: KeyObject | undefined;

  loseSessions(): void {
    this.#open.clear();
  }

  C_OpenSession(): Handle {
    this.#open.add(++this.opened);
    return Buffer.of(this.opened);
  }
  C_CloseSession(session: Handle): void {
    this.#mustBeOpen(session);
    this.#open.delete(session.readUInt8(0));
  }
  C_FindObjectsInit(session: Handle): void {
    this.#mustBeOpen(session);
  }
  C_FindObjects(): Handle[] {
    return this.keys.map((_, n) => Buffer.of(n));
  }
  C_FindObjectsFinal(): void {
    return;
  }
  C_GetAttributeValue(_session: Handle, _key: Handle, [{ type }]: [{ type: number }]): unknown {
    if (type === constants.CKA_KEY_TYPE) return [{ type, value: Buffer.alloc(8) }];
    return [{ type, value: Buffer.of(this.alwaysAuthenticate ? 1 : 0) }];
  }
  C_SignInit(session: Handle, _mechanism: unknown, key: Handle): void {
    this.#mustBeOpen(session);
    this.#key = this.keys[key.readUInt8(0)];
  }
  C_Sign(_session: Handle, data: Buffer, output: Buffer): Buffer {
    this.signed++;
    const failure = this.failures.shift();
    if (failure !== undefined) throw new Error(`${failure}\n    at PKCS11.C_Sign`);
    const signature = privateEncrypt({ key: this.#key as KeyObject, padding: crypto.RSA_PKCS1_PADDING }, data);
    signature.copy(output);
    return output.subarray(0, signature.length);
  }

  #mustBeOpen(session: Handle): void {
    if (!this.#open.has(session.readUInt8(0))) throw new Error('CKR_SESSION_HANDLE_INVALID:179');
  }
}

function begin(): { module: TestModule; sign: (count: number) => ChunkAnswer } {
  const module = new TestModule();
  const opened: OpenedModule = {
    cryptoki: module as unknown as Cryptoki,
    constants,
    slot: Buffer.of(0),
    token: { label: '', serial: '', manufacturer: '', model: '' },
    maxSessions: Infinity,
  };
  const session = new SigningSession(opened);
  const sign = (count: number): ChunkAnswer => {
    const inputs = Buffer.concat(Array.from({ length: count }, (_, n) => input(n)));
    return readAnswer(Buffer.from(session.sign(definition, inputs, count)).subarray(4));
  };
  return { module, sign };
}

/** `+` where the item is signed as it should be, else the return value. */
function outcome(answer: ChunkAnswer): string {
  if (answer.failure !== undefined) return `${answer.status}: ${answer.failure.text}`;
  return answer.items
    .map((item, n) => {
      if (!Buffer.isBuffer(item)) return item.text;
      assert.deepEqual(publicDecrypt(pair.publicKey, item), input(n));
      return '+';
    })
    .join(' ');
}

describe('SigningSession', { skip: missingPkcs11js }, () => {
  it('proves a key once, then signs', () => {
    const { module, sign } = begin();
    assert.equal(outcome(sign(0)), '');
    assert.equal(module.signed, 1);
    assert.equal(outcome(sign(3)), '+ + +');
    assert.equal(module.signed, 4);
    assert.equal(module.opened, 1);
  });

  it('fails an item alone for its own sake', () => {
    const { module, sign } = begin();
    sign(0);
    module.failures = [undefined, 'CKR_DATA_LEN_RANGE:33'];
    const answer = sign(4);
    assert.equal(outcome(answer), '+ CKR_DATA_LEN_RANGE + +');
    assert.ok(!isLost((answer.items[1] as { code: number }).code));
    assert.equal(module.opened, 1);
  });

  it('opens a session that went stale, proves the key again, tries the item once more', () => {
    const { module, sign } = begin();
    sign(0);
    module.loseSessions();
    assert.equal(outcome(sign(3)), '+ + +');
    assert.equal(module.opened, 2);
    module.failures = [undefined, 'CKR_KEY_HANDLE_INVALID:96'];
    assert.equal(outcome(sign(3)), '+ + +');
    assert.equal(module.opened, 3);
  });

  it('gives up what stays stale, without trying the rest', () => {
    const { module, sign } = begin();
    sign(0);
    const before = module.signed;
    module.failures = [undefined, 'CKR_SESSION_CLOSED:176', undefined, 'CKR_SESSION_CLOSED:176'];
    const answer = sign(5);
    assert.equal(outcome(answer), '+ CKR_SESSION_CLOSED CKR_SESSION_CLOSED CKR_SESSION_CLOSED CKR_SESSION_CLOSED');
    assert.ok(answer.items.slice(1).every((item) => isLost((item as { code: number }).code)));
    assert.equal(module.signed - before, 4);
  });

  it('tries nothing more when the device fails', () => {
    const { module, sign } = begin();
    sign(0);
    module.failures = ['CKR_DEVICE_ERROR:48'];
    const answer = sign(3);
    assert.equal(outcome(answer), 'CKR_DEVICE_ERROR CKR_DEVICE_ERROR CKR_DEVICE_ERROR');
    assert.ok(isLost((answer.items[2] as { code: number }).code));
    assert.equal(module.signed, 2);
    module.failures = [];
    assert.equal(outcome(sign(1)), '+');
  });

  it('says when the token fails while the key is looked for', () => {
    const { module, sign } = begin();
    module.failures = ['CKR_DEVICE_REMOVED:50'];
    assert.equal(outcome(sign(2)), 'token-failed: CKR_DEVICE_REMOVED');
    assert.equal(outcome(sign(2)), '+ +');
  });

  it('signs with no key that does not prove itself (P7)', () => {
    const { module, sign } = begin();
    module.keys = [];
    assert.match(outcome(sign(2)), /^key-missing: .*object=responder/);
    module.keys = [rsaKey().privateKey];
    assert.match(outcome(sign(2)), /^key-wrong: .*does not belong to the public key/);
    assert.equal(module.signed, 1, 'the proof alone');
    module.keys = [rsaKey().privateKey, pair.privateKey];
    assert.equal(outcome(sign(2)), '+ +');
    // Exchanged behind its back: found out when the handle goes stale.
    module.keys = [rsaKey().privateKey];
    module.loseSessions();
    assert.match(outcome(sign(2)), /^key-wrong/);
  });

  it('refuses a key that wants the PIN for each signature', () => {
    const { module, sign } = begin();
    module.alwaysAuthenticate = true;
    assert.match(outcome(sign(1)), /^key-wrong: .*CKA_ALWAYS_AUTHENTICATE/);
    assert.equal(module.signed, 0);
  });
});
