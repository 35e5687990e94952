import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, createPrivateKey, generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { keyEvidence, keyIn } from '../../src/core/compromised-key.ts';
import { Problem } from '../../src/core/problem.ts';

const dir = mkdtempSync(join(tmpdir(), 'certstatus-keys-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const openssl = (...args: string[]): string => execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] }).toString('latin1'); // prettier-ignore
const file = (name: string): Buffer => readFileSync(join(dir, name));
/** As a registration authority would compute it: openssl writes the SubjectPublicKeyInfo, the test hashes it. */
function hashOf(keyFile: string): string {
  openssl('pkey', '-in', keyFile, '-pubout', '-outform', 'DER', '-out', 'spki.der');
  return createHash('sha256').update(file('spki.der')).digest('hex').slice(0, 32);
}

const KINDS = {
  rsa: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  p256: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  ed25519: ['-algorithm', 'ED25519'],
} as const;
for (const [name, options] of Object.entries(KINDS)) openssl('genpkey', ...options, '-out', `${name}.pem`);

function refused(attempt: () => unknown, message: RegExp): void {
  assert.throws(attempt, (error) => error instanceof Problem && message.test(error.message));
}

describe('compromised keys: a private key', () => {
  for (const name of Object.keys(KINDS)) {
    it(`is proven by itself, in PEM and DER: ${name}`, () => {
      openssl('pkey', '-in', `${name}.pem`, '-outform', 'DER', '-out', `${name}.der`);
      for (const form of ['pem', 'der']) {
        const evidence = keyEvidence(file(`${name}.${form}`), undefined, 'file');
        assert.deepEqual([evidence.kind, evidence.proven], ['private-key', true]);
        assert.equal(evidence.spkiHash, hashOf(`${name}.pem`));
      }
    });
  }

  it('is read in the old forms too: PKCS #1 and SEC 1', () => {
    openssl('rsa', '-in', 'rsa.pem', '-traditional', '-out', 'rsa1.pem');
    openssl('ec', '-in', 'p256.pem', '-out', 'sec1.pem');
    openssl('rsa', '-in', 'rsa.pem', '-traditional', '-outform', 'DER', '-out', 'rsa1.der');
    openssl('ec', '-in', 'p256.pem', '-outform', 'DER', '-out', 'sec1.der');
    for (const name of ['rsa1.pem', 'rsa1.der']) assert.equal(keyEvidence(file(name), undefined, 'f').spkiHash, hashOf('rsa.pem')); // prettier-ignore
    for (const name of ['sec1.pem', 'sec1.der']) assert.equal(keyEvidence(file(name), undefined, 'f').spkiHash, hashOf('p256.pem')); // prettier-ignore
  });

  it("proves nothing with somebody else's public part: EC and RSA", () => {
    // Anybody can make such a file from a certificate: the victim's public numbers, and private ones of his own.
    const jwk = (key: KeyObject): Record<string, string> => key.export({ format: 'jwk' }) as Record<string, string>;
    const forge = (type: 'ec' | 'rsa'): Buffer => {
      const make = (): KeyObject =>
        type === 'ec'
          ? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
          : generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
      const [victim, own] = [jwk(make()), jwk(make())];
      const mixed =
        type === 'ec' ? { ...own, x: victim['x'], y: victim['y'] } : { ...own, n: victim['n'], e: victim['e'] };
      const forged = createPrivateKey({ key: mixed as JsonWebKey, format: 'jwk' });
      return forged.export({ format: 'pem', type: 'pkcs8' }) as Buffer;
    };
    for (const type of ['ec', 'rsa'] as const)
      refused(() => keyEvidence(Buffer.from(forge(type)), undefined, 'file'), /proves nothing|neither/);
  });

  it('is not guessed when it is encrypted, cut off or something else', () => {
    openssl('pkey', '-in', 'p256.pem', '-aes256', '-passout', 'pass:secret', '-out', 'locked.pem');
    refused(() => keyEvidence(file('locked.pem'), undefined, 'file'), /decrypt/);
    refused(() => keyEvidence(file('p256.pem').subarray(0, 100), undefined, 'file'), /neither/);
    refused(() => keyEvidence(Buffer.from('x'), undefined, 'file'), /neither/);
    openssl('pkey', '-in', 'p256.pem', '-pubout', '-out', 'public.pem');
    refused(() => keyEvidence(file('public.pem'), undefined, 'file'), /proves nothing/);
    // For a suspicion, and for selecting, the public part is enough.
    assert.deepEqual(keyIn(file('public.pem'), 'file'), { kind: 'public-key', proven: false, spkiHash: hashOf('p256.pem'), key: 'ec prime256v1' }); // prettier-ignore
  });

  it('says nothing of what is in the file', () => {
    const secret = file('p256.pem').subarray(0, 150);
    try {
      keyEvidence(secret, undefined, 'file');
      assert.fail('it was taken');
    } catch (error) {
      const said = JSON.stringify({ ...(error as Problem), message: (error as Problem).message });
      for (let at = 40; at + 8 < secret.length; at += 8)
        assert.ok(!said.includes(secret.toString('latin1', at, at + 8)));
    }
  });
});

describe('compromised keys: a certification request (CT-4.9.12-a)', () => {
  for (const name of ['rsa', 'p256', 'p384', 'ed25519']) {
    it(`proves it with the challenge as its common name: ${name}`, () => {
      openssl('req', '-new', '-key', `${name}.pem`, '-subj', '/CN=certstatus-challenge-42', '-out', `${name}.csr`);
      openssl('req', '-in', `${name}.csr`, '-outform', 'DER', '-out', `${name}.csr.der`);
      for (const form of ['csr', 'csr.der']) {
        const evidence = keyEvidence(file(`${name}.${form}`), 'certstatus-challenge-42', 'file');
        assert.deepEqual([evidence.kind, evidence.proven, evidence.spkiHash], ['certification-request', true, hashOf(`${name}.pem`)]); // prettier-ignore
      }
    });
  }

  it('does not with another name, two names, none to compare with, or a signature of nothing', () => {
    openssl('req', '-new', '-key', 'p256.pem', '-subj', '/CN=challenge', '-outform', 'DER', '-out', 'one.der');
    openssl('req', '-new', '-key', 'p256.pem', '-subj', '/CN=challenge/CN=other', '-out', 'two.csr');
    refused(() => keyEvidence(file('one.der'), 'challenge2', 'file'), /not the challenge/);
    refused(() => keyEvidence(file('two.csr'), 'challenge', 'file'), /not the challenge/);
    refused(() => keyEvidence(file('one.der'), undefined, 'file'), /without the common name/);
    const spoilt = file('one.der');
    // In the subject: the digest no longer fits.
    const at = spoilt.indexOf('challenge');
    spoilt[at] = (spoilt[at] as number) ^ 1;
    writeFileSync(join(dir, 'spoilt.der'), spoilt);
    refused(() => keyEvidence(spoilt, 'bhallenge', 'file'), /not signed by its own key/);
  });
});
