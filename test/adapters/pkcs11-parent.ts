/**
 * A process that signs with a token until it is killed; pkcs11.test.ts starts it. The PIN comes as the first line of stdin; prints
 * the id of the host process when the first signatures are made.
 *
 *   node pkcs11-parent.js <module> <label>
 */
import { once } from 'node:events';
import { createPublicKey } from 'node:crypto';
import { openToken } from '../../src/adapters/pkcs11/token.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';

const [module, label] = process.argv.slice(2) as [string, string];
const [pin] = (await once(process.stdin, 'data')) as [Buffer];
const token = openToken({ name: 'ocsp', module, label, sessions: 2, use: 'held' });
await token.activate(pin);
const [pair] = await token.keys();
const publicKey = createPublicKey({ key: pair?.publicKey as Buffer, format: 'der', type: 'spki' });
const key = token.key({ object: pair?.label }, publicKey, algorithmFor(publicKey, 'key'));
await key.sign([Buffer.from('first')], 'bulk');
console.log(token.hostPid);
for (;;)
  await key.sign(
    Array.from({ length: 200 }, (_, i) => Buffer.from(String(i))),
    'bulk',
  );
