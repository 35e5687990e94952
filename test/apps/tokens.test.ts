/** What is asked of tokens before anything starts, and where a PIN may come from. */
import { COMPLETE_ONLY } from '../../src/core/crl/shards.ts';
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { IssuerSetup } from '../../src/apps/issuer-files.ts';
import { readCredential, readDescriptor } from '../../src/apps/pin-sources.ts';
import { Keyring } from '../../src/apps/signing-keys.ts';
import type { TokenConfig } from '../../src/apps/token-config.ts';
import { checkTokens } from '../../src/apps/token-rules.ts';
import { loadConfig } from '../../src/apps/config.ts';
import { parseKeyReference } from '../../src/core/key-reference.ts';
import type { Profile } from '../../src/core/policy/profile.ts';
import { Problem } from '../../src/core/problem.ts';
import type { KeyHolder } from '../../src/ports/key-holder.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { makeIssuer } from '../flows/support-service.ts';

const TOKEN: TokenConfig = {
  name: 'hsm',
  module: '/nonexistent/module.so',
  label: 'hsm',
  serial: undefined,
  sessions: 2,
  use: 'held',
  activation: { source: 'prompt' },
};
const SHARES: TokenConfig = { ...TOKEN, activation: { source: 'shares', threshold: 2 } };

const { served } = makeIssuer();
function setup(profile: Profile, responderKey: string, crlKey?: string): IssuerSetup {
  const keys = (text: string): IssuerSetup['responders'][number]['keys'] => [parseKeyReference(text, 'key')];
  return {
    id: 'test',
    issuer: served.issuer,
    profile,
    responders: served.responders.list.map(({ certificate }) => ({
      certificate,
      use: 'signing' as const,
      keys: keys(responderKey),
    })),
    crlKeys: crlKey === undefined ? undefined : keys(crlKey),
    ocspSignedBy: 'responder',
    crls: COMPLETE_ONLY,
    urls: { ocsp: [], crl: [], caCertificate: [] },
  };
}
const IN_HSM = 'pkcs11:token=hsm;object=a';
const of = (authority: Profile['authorities'][number]): Profile => ({
  ...PROFILE,
  authorities: [...PROFILE.authorities, authority],
});
const rules = (tokens: readonly TokenConfig[], issuer: IssuerSetup): (string | undefined)[] =>
  checkTokens(tokens, [issuer]).map(({ rule }) => rule);

describe('checkTokens', () => {
  it('asks for several persons where the documents do (CT-6.2.2, SR-6.4.1)', () => {
    for (const authority of ['cybertrust', 'secom'] as const) {
      assert.deepEqual(rules([TOKEN], setup(of(authority), IN_HSM)), ['CT-6.2.2, SR-6.4.1']);
      assert.deepEqual(rules([TOKEN], setup(of(authority), 'a.key', IN_HSM)), ['CT-6.2.2, SR-6.4.1']);
      assert.deepEqual(rules([SHARES], setup(of(authority), IN_HSM, IN_HSM)), []);
      // A key in a file has its own warning.
      assert.deepEqual(rules([TOKEN], setup(of(authority), 'a.key')), []);
    }
    assert.deepEqual(rules([TOKEN], setup(PROFILE, IN_HSM)), []);
  });

  it('refuses a CRL key that stays logged in where the profile forbids it, and names both (SR-6.2.9)', () => {
    const profile: Profile = { ...PROFILE, crl: { ...PROFILE.crl, keyUse: 'per-operation' } };
    const [problem] = checkTokens([SHARES], [setup(profile, IN_HSM, IN_HSM)]) as [Problem];
    assert.equal(problem.rule, 'SR-6.2.9');
    assert.match(problem.line, /tokens\.hsm\.use = held.*pkcs11:token=hsm;object=a of issuer test/);
    assert.deepEqual(rules([{ ...SHARES, use: 'per-operation' }], setup(profile, IN_HSM, IN_HSM)), []);
    assert.deepEqual(rules([SHARES], setup(profile, IN_HSM, 'crl.key')), []);
    assert.deepEqual(rules([SHARES], setup(profile, IN_HSM)), []);
  });

  it('names a token that is not configured, and those that are', () => {
    const [problem] = checkTokens([TOKEN], [setup(PROFILE, 'pkcs11:token=other;object=a')]) as [Problem];
    assert.match(problem.line, /token=other;object=a: no token other under tokens; there are hsm/);
  });
});

describe('Keyring', () => {
  it('hands out keys of a token that cannot be reached, which say why they cannot sign', async () => {
    const keyring = new Keyring([TOKEN], () => undefined);
    const { ocsp, crl } = await keyring.keysOf(setup(PROFILE, IN_HSM, IN_HSM), served);
    assert.equal(ocsp.size, 1);
    for (const key of [...ocsp.values(), crl]) {
      const holder = key?.holder as KeyHolder;
      assert.match(holder.failure ?? '', /token hsm is not activated/);
      await assert.rejects(holder.sign([Buffer.alloc(1)], 'bulk'), { code: 'unavailable' });
    }
    const token = keyring.tokens[0]?.token;
    await assert.rejects(token?.activate(Buffer.from('Rand-812')) ?? Promise.resolve(), Problem);
    await keyring.close();
  });
});

describe('where a PIN comes from', () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-pin-'));
  after(() => rmSync(directory, { recursive: true }));
  const env = { CREDENTIALS_DIRECTORY: directory };
  const file = (name: string, content: string, mode: number): string => {
    writeFileSync(join(directory, name), content);
    chmodSync(join(directory, name), mode);
    return join(directory, name);
  };

  it('a credential, without its one newline', () => {
    for (const [content, pin] of [
      ['Rand-812', 'Rand-812'],
      ['Rand-812\n', 'Rand-812'],
      ['Rand-812\r\n', 'Rand-812'],
      ['Rand-812\n\n', 'Rand-812\n'],
      [' Rand 812 ', ' Rand 812 '],
    ] as const) {
      // prettier-ignore
      file('pin', content, 0o400);
      assert.equal(readCredential('pin', env).toString(), pin);
    }
  });

  it('not one that others can read, nor none, nor anything but a PIN; and no message repeats it', () => {
    file('open', 'Rand-812', 0o444);
    file('empty', '\n', 0o400);
    file('long', 'Rand-812'.repeat(40), 0o400);
    file('endless', 'Rand-812'.repeat(4000), 0o400);
    for (const [name, why] of [
      ['open', /others can read it/],
      ['empty', /holds no PIN/],
      ['long', /holds no PIN/],
      ['endless', /more than/],
      ['none', /cannot be read/],
    ] as const)
      // prettier-ignore
      assert.throws(
        () => readCredential(name, env),
        (error) => error instanceof Problem && why.test(error.message) && !error.line.includes('Rand'),
      );
    assert.throws(() => readCredential('pin', {}), /hands over no credentials/);
  });

  it('an open descriptor, once', () => {
    const descriptor = openSync(file('fd', 'Rand-812\n', 0o400), 'r');
    assert.equal(readDescriptor(descriptor).toString(), 'Rand-812');
    assert.throws(() => readDescriptor(descriptor), /EBADF/);
  });

  it('never the environment', () => {
    for (const variable of ['CERTSTATUS_PIN', 'CERTSTATUS_TOKEN_OCSP_PIN'])
      assert.throws(
        () => loadConfig({ env: { [variable]: 'Rand-812' }, nowMs: 0 }),
        (error) => error instanceof Problem && error.rule === 'CT-6.2.2' && !error.line.includes('Rand'),
      );
  });
});
