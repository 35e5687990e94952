import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, describe, it } from 'node:test';
import { openToken, type Pkcs11Token, type TokenOptions } from '../../src/adapters/pkcs11/token.ts';
import type { Problem } from '../../src/core/problem.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { failover } from '../../src/flows/sign/failover-key.ts';
import type { KeyHolder } from '../../src/ports/key-holder.ts';
import { opensslAccepts } from '../contracts/key-holder.ts';
import { missingSofthsm, type SoftToken, softToken } from '../support/softhsm.ts';

const PIN = 'unguessable-4711';
const softTokens: SoftToken[] = [];
const opened: Pkcs11Token[] = [];
after(async () => {
  await Promise.all(opened.map((token) => token.close()));
  for (const token of softTokens) token.remove();
});

function newSoftToken(label = 'test token'): SoftToken {
  const token = softToken({ label, pin: PIN });
  softTokens.push(token);
  return token;
}

function open(device: SoftToken, options: Partial<TokenOptions> = {}): Pkcs11Token {
  const { module, label, env } = device;
  const token = openToken({ name: 'ocsp', module, label, sessions: 2, use: 'held', env, ...options });
  opened.push(token);
  return token;
}

const ecPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const holderOf = (token: Pkcs11Token, id: string, publicKey: KeyObject): KeyHolder =>
  token.key({ id }, publicKey, algorithmFor(publicKey, 'key'));
const items = (count: number): Buffer[] => Array.from({ length: count }, (_, i) => Buffer.from(`to be signed ${i}`));
const pin = (text = PIN): Buffer => Buffer.from(text);
const code = (expected: string, words?: RegExp) => (error: Problem) =>
  error.code === expected && (words === undefined || words.test(error.message)) && !error.line.includes(PIN);

async function signs(holder: KeyHolder, publicKey: KeyObject, count = 3): Promise<void> {
  const tbs = items(count);
  const results = await holder.sign(tbs, 'urgent');
  assert.equal(results.length, count);
  for (const [i, result] of results.entries())
    assert.ok(result.ok && verify('sha256', tbs[i] as Buffer, publicKey, result.signature));
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const patience = Date.now() + 20_000;
  while (!holds()) {
    assert.ok(Date.now() < patience, `never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Gone, or only waiting to be reaped. */
function isGone(pid: number): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/.*\)/, ''));
  } catch {
    return true;
  }
}

/** What the module was asked, by the log of spied(). */
function callsIn(log: string): Record<'logins' | 'logouts' | 'opened' | 'closed', number> {
  const text = readFileSync(log, 'latin1');
  const count = (call: string): number => text.match(new RegExp(`: ${call}$`, 'gm'))?.length ?? 0;
  return {
    logins: count('C_Login'),
    logouts: count('C_Logout'),
    opened: count('C_OpenSession'),
    closed: count('C_CloseSession'),
  };
}

/** A token with one P-256 key, active. */
async function activeToken(options: Partial<TokenOptions> = {}): Promise<{
  device: SoftToken;
  token: Pkcs11Token;
  holder: KeyHolder;
  privateKey: KeyObject;
  publicKey: KeyObject;
}> {
  const device = newSoftToken();
  const { privateKey, publicKey } = ecPair();
  device.importKey(privateKey, 'responder', '01');
  const token = open(device, options);
  const holder = holderOf(token, '01', publicKey);
  await token.activate(pin());
  return { device, token, holder, privateKey, publicKey };
}

describe('pkcs11: activation', { skip: missingSofthsm }, () => {
  it('signs only while it is activated, and tells each change', async () => {
    const device = newSoftToken();
    const { privateKey, publicKey } = ecPair();
    device.importKey(privateKey, 'responder', '01');
    const token = open(device);
    const holder = holderOf(token, '01', publicKey);
    const told: string[] = [];
    token.onChange(() => told.push(token.state));
    assert.equal(token.state, 'inactive');
    assert.match(holder.failure ?? '', /ocsp is not activated/);
    await assert.rejects(holder.sign(items(1), 'urgent'), code('unavailable', /not activated/));

    const own = pin();
    await token.activate(own);
    assert.ok(own.equals(pin()), "the caller's PIN is the caller's");
    assert.equal(token.state, 'active');
    assert.equal(token.failure, undefined);
    assert.match(token.describe, /SoftHSM/);
    assert.equal(holder.failure, undefined);
    await signs(holder, publicKey);
    const host = token.hostPid;
    await token.activate(pin('anything'));
    assert.equal(token.hostPid, host, 'activating an active token changes nothing');

    await token.deactivate();
    assert.ok(isGone(host as number));
    await assert.rejects(holder.sign(items(1), 'urgent'), code('unavailable', /not activated/));
    await token.activate(pin());
    await signs(holder, publicKey);
    await token.close();
    await assert.rejects(token.activate(pin()), code('unavailable', /closed/));
    assert.deepEqual(told, ['active', 'inactive', 'active', 'inactive', 'inactive']);
  });

  it('tries a refused PIN once: it stays refused when the token would take it', async () => {
    const device = newSoftToken();
    const { privateKey, publicKey } = ecPair();
    device.importKey(privateKey, 'responder', '01');
    const { module, env, log } = device.spied();
    const token = open(device, { module, env });
    const holder = holderOf(token, '01', publicKey);
    await assert.rejects(token.activate(pin('wrong-pin')), code('refused', /CKR_PIN_INCORRECT/));
    assert.equal(token.state, 'refused');
    assert.equal(token.hostPid, undefined);
    device.changePin('wrong-pin');
    await assert.rejects(holder.sign(items(1), 'urgent'), code('unavailable', /refuses the PIN/));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.equal(token.state, 'refused');
    assert.equal(callsIn(log).logins, 1);
    await token.activate(pin('wrong-pin'));
    await signs(holder, publicKey);
    assert.equal(callsIn(log).logins, 2);
  });

  it('forgets the kept PIN when the token refuses it after a restart', async () => {
    const { device, token, holder, publicKey } = await activeToken();
    device.changePin('another-pin');
    process.kill(token.hostPid as number, 'SIGKILL');
    await until('refused', () => token.state === 'refused');
    device.changePin(PIN);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.equal(token.state, 'refused');
    await assert.rejects(holder.sign(items(1), 'bulk'), code('unavailable', /refuses the PIN/));
    await token.activate(pin());
    await signs(holder, publicKey);
  });

  it('shows the PIN neither in arguments nor in environments, and ends with its parent', async () => {
    const device = newSoftToken();
    device.importKey(ecPair().privateKey, 'responder', '01');
    const file = fileURLToPath(new URL('pkcs11-parent.js', import.meta.url));
    const parent = spawn(process.execPath, [file, device.module, device.label], {
      env: device.env,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      parent.stdin.write(PIN);
      const [line] = (await once(parent.stdout, 'data')) as [Buffer];
      const host = Number(line.toString());
      for (const pid of [parent.pid as number, host]) {
        for (const file of ['cmdline', 'environ']) {
          const text = readFileSync(`/proc/${pid}/${file}`, 'latin1');
          assert.ok(text.length > 0 && !text.includes(PIN), `${file} of ${pid}`);
        }
      }
      parent.kill('SIGKILL');
      await once(parent, 'exit');
      await until('the end of the host', () => isGone(host));
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('ends with its parent also while the module hangs', async () => {
    const device = newSoftToken();
    // The module waits in C_Initialize for somebody to write its configuration, which this test never does.
    const fifo = join(device.directory, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const file = fileURLToPath(new URL('pkcs11-parent.js', import.meta.url));
    const parent = spawn(process.execPath, [file, device.module, device.label], {
      env: { ...device.env, SOFTHSM2_CONF: fifo },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { pid } = parent;
    let host = 0;
    let writer: number | undefined;
    try {
      parent.stdin.write(PIN);
      await until('a host', () => {
        host = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim());
        return host > 0;
      });
      await until('the module to hang', () => {
        try {
          writer = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
        } catch {
          // Nobody has opened it for reading yet.
        }
        return writer !== undefined;
      });
      parent.kill('SIGKILL');
      await once(parent, 'exit');
      await until('the end of the host', () => isGone(host));
    } finally {
      parent.kill('SIGKILL');
      if (host > 0 && !isGone(host)) process.kill(host, 'SIGKILL');
      if (writer !== undefined) closeSync(writer);
    }
  });

  it('says what is missing: module, token, options', async () => {
    const device = newSoftToken();
    await assert.rejects(open(device, { module: '/nowhere/module.so' }).activate(pin()), code('config', /module/));
    const token = open(device, { label: 'nobody' });
    await assert.rejects(token.activate(pin()), code('unavailable', /label nobody .*present: "test token"/));
    await assert.rejects(token.keys(), code('unavailable', /nobody/));
    assert.equal(token.state, 'inactive');
    for (const wrong of [Buffer.alloc(0), Buffer.of(0xff), Buffer.alloc(256, 0x30)])
      await assert.rejects(token.activate(wrong), code('invalid'));
    for (const wrong of [{ sessions: 0 }, { sessions: 65 }, { label: '' }, { module: '' }])
      assert.throws(() => open(device, wrong), code('config'));
    assert.throws(() => token.key({}, ecPair().publicKey, algorithmFor(ecPair().publicKey, 'key')), code('config'));
  });
});

describe('pkcs11: what fails comes back', { skip: missingSofthsm }, () => {
  it('the token is unplugged for a while', async () => {
    const { device, token, holder, publicKey } = await activeToken();
    device.hide();
    await assert.rejects(holder.sign(items(5), 'bulk'), code('unavailable'));
    assert.equal(token.state, 'lost');
    assert.match(holder.failure ?? '', /ocsp is lost/);
    await until('the search for a token that is not there', () => /no token with/.test(token.failure ?? ''));
    await assert.rejects(holder.sign(items(1), 'urgent'), code('unavailable', /lost/));
    device.restore();
    await until('active', () => token.state === 'active');
    await signs(holder, publicKey);
    assert.equal(holder.failure, undefined);
  });

  it('the token is unplugged while nothing is signed: it is known all the same, and known again', async () => {
    const { device, token, holder, publicKey } = await activeToken({ lookMs: 100 });
    device.hide();
    await until('lost', () => token.state === 'lost');
    assert.match(holder.failure ?? '', /ocsp is lost/);
    device.restore();
    await until('active', () => token.state === 'active');
    await signs(holder, publicKey);
  });

  it('a token with a login for each access is not looked at: nobody logs in unasked (SR-6.2.9)', async () => {
    const device = newSoftToken();
    const { privateKey, publicKey } = ecPair();
    device.importKey(privateKey, 'responder', '01');
    const { module, env, log } = device.spied();
    const token = open(device, { use: 'per-operation', lookMs: 10, module, env });
    holderOf(token, '01', publicKey);
    await token.activate(pin());
    const before = callsIn(log).logins;
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(callsIn(log).logins, before);
  });

  it('the token is made anew, with another serial number and the same key', async () => {
    const { device, token, holder, privateKey, publicKey } = await activeToken();
    device.destroy();
    await assert.rejects(holder.sign(items(5), 'bulk'), code('unavailable'));
    device.create();
    device.importKey(privateKey, 'responder', '01');
    await until('the key', () => token.state === 'active' && holder.failure === undefined);
    await signs(holder, publicKey);
  });

  it('the host is killed while it signs', async () => {
    const { token, holder, publicKey } = await activeToken();
    const tbs = items(20_000);
    const underWay = holder.sign(tbs, 'bulk').then(
      (results) => results,
      (error: Problem) => (assert.equal(error.code, 'unavailable'), []),
    );
    await holder.sign(items(1), 'urgent');
    process.kill(token.hostPid as number, 'SIGKILL');
    const results = await underWay;
    assert.ok(results.some((result) => !result.ok) || results.length === 0, 'it was not finished');
    for (const [i, result] of results.entries()) {
      if (result.ok) assert.ok(verify('sha256', tbs[i] as Buffer, publicKey, result.signature));
      else assert.equal((result.error as Problem).code, 'unavailable');
    }
    assert.equal(token.state, 'lost');
    await until('active', () => token.state === 'active');
    await signs(holder, publicKey);
  });

  it('the host hangs: the call settles by its deadline, and another host is started', async () => {
    const { token, holder, publicKey } = await activeToken({ deadlineMs: 2000 });
    const host = token.hostPid as number;
    process.kill(host, 'SIGSTOP');
    await assert.rejects(
      Promise.all([holder.sign(items(500), 'bulk'), holder.sign(items(1), 'urgent')]),
      code('unavailable', /2000 ms/),
    );
    await until('the end of the host', () => isGone(host));
    await until('active', () => token.state === 'active');
    await signs(holder, publicKey);
  });

  it('the key is deleted and imported again', async () => {
    const { device, token, holder, privateKey, publicKey } = await activeToken();
    const other = ecPair();
    device.importKey(other.privateKey, 'other', '02');
    const otherHolder = holderOf(token, '02', other.publicKey);
    await signs(otherHolder, other.publicKey);
    // Between two calls: the handle is stale, a new search finds it, and the item is signed.
    const host = token.hostPid;
    device.deleteKey('01');
    device.importKey(privateKey, 'responder', '01');
    await signs(holder, publicKey);
    assert.equal(token.hostPid, host);
    device.deleteKey('01');
    await assert.rejects(holder.sign(items(2), 'bulk'), code('unavailable', /no private key id=01/));
    await until('the missing key to be told', () => token.state === 'active' && holder.failure !== undefined);
    await signs(otherHolder, other.publicKey);
    device.importKey(privateKey, 'responder', '01');
    await until('the key to be found', () => holder.failure === undefined);
    await signs(holder, publicKey);
  });

  it('another key under the id signs nothing (P7)', async () => {
    const device = newSoftToken();
    const [ours, other] = [ecPair(), generateKeyPairSync('rsa', { modulusLength: 2048 })];
    device.importKey(ecPair().privateKey, 'responder', '01');
    device.importKey(other.privateKey, 'responder', '02');
    const token = open(device);
    const [byId, byType] = [holderOf(token, '01', ours.publicKey), holderOf(token, '02', ours.publicKey)];
    await token.activate(pin());
    for (const holder of [byId, byType]) {
      assert.match(holder.failure ?? '', /does not belong to the public key/);
      await assert.rejects(holder.sign(items(1), 'urgent'), code('unavailable', /does not belong/));
    }
    assert.equal(token.state, 'active', 'which is no fault of the token');
    // Of several keys with one label it takes the one that belongs to the certificate.
    device.importKey(ours.privateKey, 'responder', '03');
    const byLabel = token.key({ object: 'responder' }, ours.publicKey, algorithmFor(ours.publicKey, 'key'));
    await signs(byLabel, ours.publicKey);
  });
});

describe('pkcs11: use', { skip: missingSofthsm }, () => {
  it('per-operation logs in for each call, and out again (SR-6.2.9)', async () => {
    const device = newSoftToken();
    const { privateKey, publicKey } = ecPair();
    device.importKey(privateKey, 'responder', '01');
    const { module, env, log } = device.spied();
    const token = open(device, { use: 'per-operation', module, env });
    const holder = holderOf(token, '01', publicKey);
    await token.activate(pin());
    assert.equal(holder.failure, undefined);
    const before = callsIn(log);
    assert.equal(before.logins, before.logouts);
    await signs(holder, publicKey, 64);
    await signs(holder, publicKey, 1);
    const after = callsIn(log);
    assert.equal(after.logins - before.logins, 2);
    assert.equal(after.logouts, after.logins);
    assert.equal(after.opened, after.closed, 'no session stays open');
    await Promise.all([signs(holder, publicKey, 70), signs(holder, publicKey, 1)]);
    assert.equal((await token.keys())[0]?.sensitive, true, 'it sees private keys');
    assert.equal((await token.generate('P-256', 'another', Buffer.of(7))).type, 'P-256');
    // A host that starts anew proves the PIN once, like an activation.
    device.changePin('another-pin');
    process.kill(token.hostPid as number, 'SIGKILL');
    await until('refused', () => token.state === 'refused');
    await assert.rejects(holder.sign(items(1), 'urgent'), code('unavailable', /refuses the PIN/));
    await token.activate(pin('another-pin'));
    await signs(holder, publicKey);
  });

  it('signs what is urgent before what is bulk', async () => {
    const device = newSoftToken();
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    device.importKey(privateKey, 'responder', '01');
    const token = open(device, { sessions: 1 });
    const holder = holderOf(token, '01', publicKey);
    await token.activate(pin());
    const settled: string[] = [];
    const call = (name: string, count: number, priority: 'urgent' | 'bulk') =>
      holder.sign(items(count), priority).then(() => settled.push(name));
    await Promise.all([
      call('bulk 1', 100, 'bulk'),
      call('bulk 2', 100, 'bulk'),
      call('urgent 1', 5, 'urgent'),
      call('urgent 2', 1, 'urgent'),
    ]);
    assert.deepEqual(settled, ['urgent 1', 'urgent 2', 'bulk 1', 'bulk 2']);
  });

  it('generates keys that never leave, and lists them as pkcs11-tool does', async () => {
    const { device, token } = await activeToken();
    for (const [n, type] of (['P-256', 'P-384', 'RSA-2048'] as const).entries()) {
      const made = await token.generate(type, `new ${type}`, Buffer.of(0xa0, n));
      assert.deepEqual(
        { ...made, publicKey: undefined },
        { label: `new ${type}`, id: `a00${n}`, type, publicKey: undefined, sensitive: true, extractable: false },
      );
      const publicKey = createPublicKey({ key: made.publicKey as Buffer, format: 'der', type: 'spki' });
      const algorithm = algorithmFor(publicKey, 'key');
      const [result] = await token.key({ object: made.label }, publicKey, algorithm).sign(items(1), 'bulk');
      assert.ok(result?.ok);
      assert.ok(opensslAccepts(made.publicKey as Buffer, algorithm.hash, items(1)[0] as Buffer, result.signature));
    }
    await assert.rejects(token.generate('P-256', 'new P-256', Buffer.of(9)), code('conflict', /label/));
    await assert.rejects(token.generate('P-256', 'free', Buffer.of(0xa0, 0)), code('conflict', /id/));
    await assert.rejects(token.generate('P-256', '', Buffer.of(9)), code('invalid'));
    await assert.rejects(token.generate('P-256', 'free', Buffer.alloc(65)), code('invalid'));
    const listed = await token.keys();
    assert.deepEqual(listed.map(({ id, type }) => `${id} ${type}`).sort(), [
      '01 P-256',
      'a000 P-256',
      'a001 P-384',
      'a002 RSA-2048',
    ]);
    const seen = device.tool('--login', '--pin', PIN, '--list-objects', '--type', 'privkey');
    assert.equal(seen.match(/Private Key Object/g)?.length, 4);
    assert.equal(seen.match(/never extractable/g)?.length, 3, 'all but the imported one');
    await token.deactivate();
    assert.equal((await token.keys()).length, 4, 'public keys are seen without a login');
    await assert.rejects(token.generate('P-256', 'free', Buffer.of(9)), code('unavailable', /not activated/));
  });

  it('is one place of two, and is gone back to', async () => {
    const { privateKey, publicKey } = ecPair();
    const places = ['first', 'second'].map((name) => {
      const device = newSoftToken(name);
      device.importKey(privateKey, 'responder', '01');
      const token = open(device, { name });
      return { device, token, holder: holderOf(token, '01', publicKey) };
    });
    const [first, second] = places as [(typeof places)[number], (typeof places)[number]];
    const key = failover([first.holder, second.holder]);
    await assert.rejects(key.sign(items(1), 'urgent'), code('unavailable', /first is not activated/));
    await first.token.activate(pin());
    await second.token.activate(pin());
    first.device.hide();
    await signs(key, publicKey, 200);
    assert.equal(first.token.state, 'lost', 'tried, and the next within the same call');
    assert.equal(key.failure, undefined);
    await signs(key, publicKey);
    first.device.restore();
    await until('the first place', () => first.holder.failure === undefined);
    await second.token.deactivate();
    await signs(key, publicKey);
  });
});
