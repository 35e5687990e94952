/** A token is a key holder like any other. Its failures are in pkcs11.test.ts. */
import { createPublicKey } from 'node:crypto';
import { after } from 'node:test';
import { openToken, type Pkcs11Token } from '../../src/adapters/pkcs11/token.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { keyHolderContract } from '../contracts/key-holder.ts';
import { missingSofthsm, type SoftToken, softToken } from '../support/softhsm.ts';

const PIN = '123456';
let device: SoftToken | undefined;
let token: Pkcs11Token | undefined;
let keys = 0;
after(async () => {
  await token?.close();
  device?.remove();
});

// All keys of it share the sessions of one token.
keyHolderContract(
  'pkcs11',
  async (privateKey, rsaHash) => {
    device ??= softToken({ label: 'contract', pin: PIN });
    const { module, label, env } = device;
    token ??= openToken({ name: 'contract', module, label, sessions: 2, use: 'held', env });
    await token.activate(Buffer.from(PIN));
    const object = `key ${++keys}`;
    device.importKey(privateKey, object, `c${(keys + 256).toString(16)}`);
    const publicKey = createPublicKey(privateKey);
    return token.key({ object }, publicKey, algorithmFor(publicKey, object, rsaHash));
  },
  { skip: missingSofthsm },
);
