/** Who gets into the operators' port, and who does not: what somebody would try who has no business there. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { localAdminToken, signInLink, TOKEN_LIFE_MS } from '../../src/apps/admin/local-secret.ts';
import { AdminClient } from '../support/admin-client.ts';
import { exchange } from '../support/http.ts';
import { Metrics } from '../support/metrics.ts';
import { localBearer, Service, until } from '../support/service.ts';

describe('the admin port', () => {
  let service: Service;
  before(async () => {
    service = await Service.demo();
  });
  after(() => service?.remove());

  const port = (): number => service.ports.admin;
  const stranger = (): AdminClient => new AdminClient(port());
  const operator = (): Promise<AdminClient> => AdminClient.signedIn(service.data, port());
  const link = (nowMs?: number): string => signInLink(service.data, `http://127.0.0.1:${port()}`, nowMs).url;
  interface Line {
    readonly seq: number;
    readonly type: string;
    readonly actor: string;
    readonly description: string;
  }
  const log = (): readonly Line[] =>
    readFileSync(join(service.data, 'audit', '000000000001.ndjson'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);

  const recorded = (type: string, what: RegExp): Promise<void> =>
    until(`${type} ${String(what)} is recorded`, () =>
      log().some((one) => one.type === type && what.test(one.description)),
    );

  it('keeps the secret for the user of the service alone', () => {
    assert.equal(statSync(join(service.data, 'admin', 'secret')).mode & 0o777, 0o600);
  });

  it('is open for probes and scrapers, and for nothing else', async () => {
    for (const path of ['/livez', '/readyz', '/metrics']) assert.equal((await stranger().get(path)).status, 200, path);
    for (const path of ['/', '/certificate', '/audit', '/operate']) {
      const { status, headers, body } = await stranger().get(path);
      assert.deepEqual([status, headers.location, body.length], [303, '/sign-in', 0], path);
    }
    const data = await stranger().get('/status.json');
    assert.deepEqual([data.status, data.headers['content-type']], [401, 'application/problem+json; charset=utf-8']);
    for (const path of [
      '/certificate',
      '/issuers/demo/crl/publish',
      '/mass/x/pause',
      '/activate/x',
      '/tokens/x/deactivate',
      '/sign-out',
    ])
      // prettier-ignore
      assert.equal((await stranger().post(path, { csrf: '' })).status, 401, path);
  });

  it('sends headers that keep its pages to itself', async () => {
    for (const path of ['/', '/sign-in', '/metrics', '/status.json', '/nothing']) {
      const { headers } = await (await operator()).get(path);
      assert.equal(headers['cache-control'], 'no-store', path);
      assert.equal(headers['x-content-type-options'], 'nosniff', path);
      assert.equal(headers['referrer-policy'], 'no-referrer', path);
      const policy = headers['content-security-policy'] ?? '';
      for (const part of [/default-src 'none'/, /frame-ancestors 'none'/, /form-action 'self'/, /base-uri 'none'/]) assert.match(String(policy), part); // prettier-ignore
      assert.doesNotMatch(String(policy), /script-src[^;]*unsafe/);
    }
  });

  it('lets in by a link, once; looking at its page uses none up', async () => {
    const url = link();
    const client = stranger();
    for (let i = 0; i < 2; i++) assert.match((await client.get(new URL(url).pathname + new URL(url).search)).body.toString(), /Sign in as/); // prettier-ignore
    assert.equal((await client.get('/')).status, 303, 'a GET signs nobody in');
    assert.equal((await client.useLink(url)).status, 303);
    assert.equal((await client.get('/')).status, 200);
    const again = await stranger().useLink(url);
    assert.equal(again.status, 403);
    assert.match(again.body.toString(), /was used already/);
    await recorded('access.denied', /was used already/);
    const granted = log()
      .filter(({ type }) => type === 'access.granted')
      .at(-1);
    assert.match(granted?.actor ?? '', / \(local shell\)$/);
  });

  it('refuses a link that ran out, is from before the start, is of another service, or is none', async () => {
    const late = await stranger().useLink(link(Date.now() - TOKEN_LIFE_MS - 1000));
    assert.match(late.body.toString(), /has run out/);
    const before = await stranger().useLink(link(Date.now() - TOKEN_LIFE_MS + 60_000));
    assert.match(before.body.toString(), /before the service was started/);
    assert.match((await stranger().useLink(link(Date.now() + 3_600_000))).body.toString(), /has run out/);
    const good = link();
    const [payload, mac] = (new URL(good).searchParams.get('token') as string).split('.') as [string, string];
    const said = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const other = Buffer.from(JSON.stringify({ ...said, user: 'somebody' })).toString('base64url');
    for (const token of [
      `${other}.${mac}`,
      payload,
      `${payload}.`,
      `${payload}.${mac}x`,
      '',
      'a.b',
      localAdminToken(service.data),
    ]) {
      const { status } = await stranger().post('/sign-in', { token });
      assert.equal(status, 403, token);
    }
    assert.equal((await stranger().useLink(good)).status, 303, 'which none of that has used up');
  });

  it('takes no session that it has not opened', async () => {
    const client = await operator();
    const real = client.cookie;
    const [name, id] = real.split('=') as [string, string];
    for (const cookie of [
      `${name}=${'0'.repeat(64)}`,
      `${name}=`,
      `${name}=${id.toUpperCase()}`,
      `${name}=${id}0`,
      `other=${id}`,
    ]) {
      client.cookie = cookie;
      assert.equal((await client.get('/')).status, 303, cookie);
    }
    client.cookie = real;
    assert.equal((await client.get('/')).status, 200);
  });

  it('gives a new session at each sign-in, whatever the browser brought along (fixation)', async () => {
    const client = stranger();
    client.cookie = `certstatus-${port()}=${'a'.repeat(64)}`;
    assert.equal((await client.useLink(link())).status, 303);
    assert.ok(!client.cookie.includes('a'.repeat(64)));
    const first = client.cookie;
    assert.equal((await client.useLink(link())).status, 303);
    assert.notEqual(client.cookie, first);
    const old = stranger();
    old.cookie = first;
    assert.equal((await old.get('/')).status, 303, 'the session before is closed');
  });

  it('takes a form from its own pages alone', async () => {
    const client = await operator();
    const csrf = await client.csrf();
    const publish = (fields: Record<string, string>, headers: Record<string, string> = {}): Promise<number> =>
      client.post('/issuers/demo/crl/publish', fields, headers).then(({ status }) => status);
    const own = `http://127.0.0.1:${port()}`;
    const before = log().filter(({ type }) => type === 'crl.requested').length;
    for (const [name, headers] of Object.entries({
      'another site': { 'sec-fetch-site': 'cross-site' },
      'another port': { 'sec-fetch-site': 'same-site', origin: 'http://127.0.0.1:1' },
      'another origin': { origin: 'https://evil.example' },
      'an address typed': { 'sec-fetch-site': 'none' },
    }))
      assert.equal(await publish({ csrf }, headers), 403, name);
    const { status } = await exchange({ port: port(), method: 'POST', path: '/issuers/demo/crl/publish', headers: { cookie: client.cookie, 'content-type': 'application/x-www-form-urlencoded' }, body: Buffer.from(`csrf=${csrf}`) }); // prettier-ignore
    assert.equal(status, 403, 'nobody knows from where');
    for (const wrong of ['', '0'.repeat(64), csrf.slice(1), await (await operator()).csrf()])
      assert.equal(await publish({ csrf: wrong }), 403, `csrf ${wrong}`);
    assert.equal(await publish({}), 403, 'no csrf');
    assert.equal(log().filter(({ type }) => type === 'crl.requested').length, before, 'and nothing was done');
    assert.equal(await publish({ csrf }, { origin: own }), 200);
    const record = log()
      .filter(({ type }) => type === 'crl.requested')
      .at(-1);
    assert.match(record?.actor ?? '', / \(local shell\)$/, 'recorded with who it was');
  });

  it('changes nothing by GET', async () => {
    const client = await operator();
    for (const path of ['/issuers/demo/crl/publish', '/mass/x/pause', '/sign-out', '/tokens/x/deactivate'])
      assert.equal((await client.get(path)).status, 404, path);
    assert.equal((await client.get('/')).status, 200);
  });

  it('does not let the local shell activate, and records that it was asked', async () => {
    const client = await operator();
    for (const path of ['/activate', '/activate/ocsp']) assert.equal((await client.get(path)).status, 403, path);
    const { status } = await client.post('/activate/ocsp', {
      csrf: await client.csrf(),
      share: 'certstatus-share:1:x',
    });
    assert.equal(status, 403);
    await recorded('access.denied', /needs the right activate/);
    assert.ok(!JSON.stringify(log()).includes('certstatus-share'));
  });

  it('signs out', async () => {
    const client = await operator();
    const kept = client.cookie;
    assert.equal((await client.post('/sign-out', { csrf: await client.csrf() })).status, 303);
    client.cookie = kept;
    assert.equal((await client.get('/')).status, 303);
    assert.equal(log().at(-1)?.type, 'access.ended');
  });

  it('gives data to commands of this machine, and lets them do nothing', async () => {
    const headers = localBearer(service.data);
    const bearer = headers['authorization'] as string;
    assert.equal((await stranger().get('/status.json', headers)).status, 200);
    assert.equal((await stranger().get('/', headers)).status, 303, 'no page');
    assert.equal((await stranger().post('/issuers/demo/crl/publish', {}, headers)).status, 401);
    const late = localAdminToken(service.data, Date.now() - TOKEN_LIFE_MS - 1000);
    const signIn = new URL(link()).searchParams.get('token') as string;
    for (const wrong of [`Bearer ${late}`, `Bearer ${signIn}`, `${bearer}x`, 'Bearer x', 'Bearer ', 'Basic eDp4'])
      assert.equal((await stranger().get('/status.json', { authorization: wrong })).status, 401, wrong);
  });

  it('stands a flood of wrong sign-ins: few pages, few records, and the right link still works', async () => {
    const records = log().length;
    const answers = await Promise.all(
      Array.from({ length: 500 }, () =>
        stranger()
          .post('/sign-in', { token: 'x.y' })
          .then(({ status }) => status),
      ),
    );
    const refused = answers.filter((status) => status === 403).length;
    assert.ok(refused <= 40, `${refused} pages`);
    assert.equal(answers.filter((status) => status === 429).length, answers.length - refused);
    assert.ok(log().length - records <= 2, `${log().length - records} records`);
    assert.equal((await stranger().useLink(link())).status, 303);
    const metrics = await Metrics.of(port());
    assert.ok(metrics.sum('certstatus_admin_sign_ins_total', { outcome: 'limited' }) >= 400);
  });

  it('takes no body that is no form, and none over 64 kB', async () => {
    const client = await operator();
    const csrf = await client.csrf();
    assert.equal((await client.post('/certificate', { csrf, certificate: 'a'.repeat(70_000) })).status, 413);
    const json = await exchange({ port: port(), method: 'POST', path: '/certificate', headers: { cookie: client.cookie, 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' }, body: Buffer.from('{}') }); // prettier-ignore
    assert.equal(json.status, 415);
  });

  it('forgets who was signed in when it restarts, and takes no link from before', async () => {
    const client = await operator();
    const unused = link();
    await service.stop();
    await service.start();
    assert.equal((await client.get('/')).status, 303);
    assert.match((await stranger().useLink(unused)).body.toString(), /before the service was started/);
  });

  it('asks scrapers for their token where one is configured', async () => {
    await service.stop();
    const file = join(service.data, 'certstatus.yaml');
    const config = parseDocument(readFileSync(file, 'utf8')).toJS() as { listen: { admin: object } };
    config.listen.admin = { ...config.listen.admin, metricsToken: { file: 'scrape' } };
    writeFileSync(file, JSON.stringify(config));
    writeFileSync(join(service.data, 'scrape'), 'for-prometheus\n', { mode: 0o600 });
    await service.start();
    const scrape = (authorization: string): Promise<number> =>
      stranger()
        .get('/metrics', { authorization })
        .then(({ status }) => status);
    assert.equal((await stranger().get('/metrics')).status, 401);
    assert.equal(await scrape('Bearer for-prometheus'), 200);
    assert.equal(await scrape('Bearer for-somebody'), 401);
    assert.equal(await scrape(`Bearer ${localAdminToken(service.data)}`), 200, 'who may view may scrape');
    assert.equal((await stranger().get('/livez')).status, 200);
  });

  it('makes no links with a secret that others can read, says so, and makes another', async () => {
    await service.stop();
    const secret = join(service.data, 'admin', 'secret');
    const old = readFileSync(secret);
    chmodSync(secret, 0o604);
    await service.start();
    assert.match(service.log, /makes no links for this process: others can read it/);
    const ran = await service.run('sign-in');
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /others can read it: remove it, and start the service again/);
    await service.stop();
    rmSync(secret);
    await service.start();
    await until('there is another', () => existsSync(secret));
    assert.notDeepEqual(readFileSync(secret), old);
    assert.equal((await operator()).cookie.length > 64, true);
  });
});
