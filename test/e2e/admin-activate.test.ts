/** Two persons enter their shares on the page, each with a certificate of their own: real SoftHSM2, real TLS. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { clientCertificate } from '../support/client-certificate.ts';
import { OpensslCa } from '../support/openssl-ca.ts';
import { Service, type Credentials } from '../support/service.ts';
import { missingSofthsm, softToken, type SoftToken } from '../support/softhsm.ts';

const PIN = 'k7-Vogel-Rand-92';

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly cookie: string;
}

describe('a token that two of three persons activate on the page', { skip: missingSofthsm }, () => {
  let service: Service;
  let token: SoftToken;
  let ca: OpensslCa;
  let shares: readonly string[];
  const people: Record<string, Credentials> = {};

  before(async () => {
    ca = new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Guarded CA', key: 'RSA-2048' });
    const responder = ca.issueResponder();
    token = softToken({ label: 'guarded', pin: PIN });
    token.importKey(createPrivateKey(readFileSync(responder.keyFile)), 'responder', '01');
    service = await Service.create({ SOFTHSM2_CONF: token.env['SOFTHSM2_CONF'] as string });
    assert.equal((await service.run('init')).code, 0);
    const added = await service.run(
      ...['issuer', 'add', 'guarded', '--ca', ca.certificateFile, '--responder-cert', responder.file],
      ...['--responder-key', 'pkcs11:token=ocsp;object=responder', '--crl-key', ca.keyFile, '--ocsp-path', '/ocsp'],
      ...['--crl-path', '/guarded.crl'],
    );
    assert.equal(added.code, 0, added.stderr);
    for (const name of ['alice', 'bob', 'vera']) people[name] = clientCertificate(join(service.data, 'intake'), name);
    const file = join(service.data, 'certstatus.yaml');
    const config = parseDocument(readFileSync(file, 'utf8')).toJS() as {
      listen: { admin: object };
      intake: { clients: object[] };
      tokens?: object[];
    };
    config.listen.admin = { ...config.listen.admin, tls: true };
    config.tokens = [{ name: 'ocsp', module: token.module, label: token.label, activation: { source: 'shares', threshold: 2 } }]; // prettier-ignore
    for (const name of ['alice', 'bob']) config.intake.clients.push({ name, issuers: ['*'], may: ['activate'] });
    config.intake.clients.push({ name: 'vera', issuers: ['*'], may: ['view'] });
    writeFileSync(file, JSON.stringify(config));
    const args = ['--json', 'key', 'split', '--token', 'ocsp', '--shares', '3', '--threshold', '2'];
    shares = (JSON.parse((await service.command(args, `${PIN}\n`).done).stdout) as { shares: string[] }).shares;
    await service.start();
  });
  after(async () => {
    await service?.remove();
    token?.remove();
    ca?.remove();
  });

  /** One request on a connection of its own, with this person's certificate. */
  function send(who: string, path: string, cookie: string, fields?: Readonly<Record<string, string>>): Promise<Answer> {
    const body = fields && new URLSearchParams(fields).toString();
    return new Promise((done, failed) => {
      const outgoing = request(
        {
          ...people[who],
          ...{ host: '127.0.0.1', port: service.ports.admin, path, agent: false },
          ca: readFileSync(join(service.data, 'intake', 'client-ca.pem')),
          method: body === undefined ? 'GET' : 'POST',
          headers: {
            cookie,
            'sec-fetch-site': 'same-origin',
            ...(body !== undefined && { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) }), // prettier-ignore
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const [set = ''] = response.headers['set-cookie'] ?? [];
            done({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString(), cookie: set });
          });
        },
      );
      outgoing.on('error', failed);
      outgoing.end(body);
    });
  }
  const signIn = async (who: string): Promise<string> => {
    const { status, cookie } = await send(who, '/sign-in', '', { with: 'certificate' });
    assert.equal(status, 303);
    assert.match(
      cookie,
      /^__Host-certstatus-\d+=[0-9a-f]{64}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+; Secure$/,
    );
    return cookie.split(';')[0] as string;
  };
  const csrfOf = (text: string): string => /name="csrf" value="([0-9a-f]{64})"/.exec(text)?.[1] ?? '';
  async function enter(who: string, share: string): Promise<Answer> {
    const cookie = await signIn(who);
    const page = await send(who, '/activate/ocsp', cookie);
    assert.equal(page.status, 200);
    assert.match(page.text, /type="password"[^>]*autocomplete="off"/);
    return send(who, '/activate/ocsp', cookie, { csrf: csrfOf(page.text), share });
  }

  it('binds a session to the certificate that opened it', async () => {
    const cookie = await signIn('alice');
    assert.equal((await send('alice', '/activate', cookie)).status, 200);
    assert.equal((await send('bob', '/activate', cookie)).status, 303, 'the cookie alone is worth nothing');
  });

  it('lets nobody near it who may only look', async () => {
    const cookie = await signIn('vera');
    const { text } = await send('vera', '/', cookie);
    assert.equal((await send('vera', '/activate/ocsp', cookie)).status, 403);
    assert.equal(
      (await send('vera', '/activate/ocsp', cookie, { csrf: csrfOf(text), share: shares[0] as string })).status,
      403,
    );
  });

  it('takes a share from each, tells who is still to come, and signs with the last', async () => {
    const wrong = await enter('alice', `${(shares[0] as string).slice(0, -2)}zz`);
    assert.equal(wrong.status, 400);
    const first = await enter('alice', shares[0] as string);
    assert.match(first.text, /1 of 2 persons have entered theirs \(alice\)/);
    const again = await enter('alice', shares[1] as string);
    assert.equal(again.status, 422, 'another person must');
    const last = await enter('bob', shares[1] as string);
    assert.match(last.text, /Token ocsp is active/);
    for (const { text } of [wrong, first, again, last])
      for (const share of shares) assert.ok(!text.includes(share.slice(20, 60)));
  });

  it('ends the activation when both ask for it', async () => {
    for (const [who, said] of [
      ['alice', /1 of 2 persons ask/],
      ['bob', /Token ocsp is deactivated/],
    ] as const) {
      const cookie = await signIn(who);
      const page = await send(who, '/activate/ocsp', cookie);
      const { text } = await send(who, '/tokens/ocsp/deactivate', cookie, { csrf: csrfOf(page.text) });
      assert.match(text, said);
    }
  });

  it('wrote down who did what, and nothing of a share', () => {
    const audit = readFileSync(join(service.data, 'audit', '000000000001.ndjson'), 'utf8');
    for (const what of [
      /"token.share-entered","actor":"alice \(client certificate/,
      /"token.activated".*alice.*bob/,
      /"token.deactivated"/,
      /"access.granted","actor":"bob/,
    ])
      // prettier-ignore
      assert.match(audit, what);
    for (const share of shares)
      for (const text of [audit, service.log, service.out]) assert.ok(!text.includes(share.slice(20, 60)));
  });
});
