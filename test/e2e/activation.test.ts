/**
 * Keys in a token under the control of several persons: real SoftHSM2, real client certificates, real openssl. One service from
 * its first start to a restart, a token that goes away, and shares that do not belong together.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { formatShare, parseShare } from '../../src/core/share.ts';
import { AdminClient } from '../support/admin-client.ts';
import { clientCertificate } from '../support/client-certificate.ts';
import { ask, issuerFromFile, readCrl, type OcspIssuer } from '../support/ocsp-client.ts';
import { OpensslCa, type IssuedFile } from '../support/openssl-ca.ts';
import { runProgram, Service, until, type ApiAnswer, type Credentials, type Ran } from '../support/service.ts';
import { missingSofthsm, softToken, type SoftToken } from '../support/softhsm.ts';

const PIN = 'k7-Vogel-Rand-92';
const TOKENS = '/v1/tokens';

interface Status {
  readonly verdict: string;
  readonly problems: readonly { readonly severity: string; readonly what: string; readonly todo: string }[];
  readonly tokens: readonly {
    readonly name: string;
    readonly state: string;
    readonly activatedBy: readonly string[];
  }[];
}

describe('keys in a token that three of five persons activate', { skip: missingSofthsm }, () => {
  let service: Service;
  let token: SoftToken;
  let ca: OpensslCa;
  let issuer: OcspIssuer;
  let good: IssuedFile;
  let bad: IssuedFile;
  let later: IssuedFile;
  let shares: readonly string[];
  const people: Record<string, Credentials> = {};

  before(async () => {
    ca = new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Guarded CA', key: 'RSA-2048' });
    [good, bad, later] = ca.issue({ count: 3 }) as [IssuedFile, IssuedFile, IssuedFile];
    const responder = ca.issueResponder();
    issuer = issuerFromFile(ca.certificateFile);
    token = softToken({ label: 'guarded', pin: PIN });
    token.importKey(createPrivateKey(readFileSync(responder.keyFile)), 'responder', '01');
    token.importKey(createPrivateKey(readFileSync(ca.keyFile)), 'ca', '02');

    service = await Service.create({ SOFTHSM2_CONF: token.env['SOFTHSM2_CONF'] as string });
    assert.equal((await service.run('init')).code, 0);
    const added = await service.run(
      ...['issuer', 'add', 'guarded', '--ca', ca.certificateFile, '--responder-cert', responder.file],
      ...['--responder-key', 'pkcs11:token=ocsp;object=responder', '--crl-key', 'pkcs11:token=crl;id=%02'],
      ...['--ocsp-path', '/ocsp', '--crl-path', '/guarded.crl'],
    );
    assert.equal(added.code, 0, added.stderr);
    const intake = join(service.data, 'intake');
    for (const name of ['alice', 'bob', 'carol', 'dora']) people[name] = clientCertificate(intake, name);
    edit((config) => {
      config['tokens'] = [
        {
          ...{ name: 'ocsp', module: token.module, label: token.label },
          activation: { source: 'shares', threshold: 3 },
        },
        {
          ...{ name: 'crl', module: token.module, label: token.label, use: 'per-operation' },
          activation: { source: 'prompt' },
        },
      ];
      const clients = (config['intake'] as { clients: object[] }).clients;
      for (const name of ['alice', 'bob', 'carol']) clients.push({ name, issuers: ['*'], may: ['activate'] });
      clients.push({ name: 'dora', issuers: ['*'], may: ['read', 'keys'] });
    });
    shares = await split(PIN);
  });
  after(async () => {
    await service?.remove();
    token?.remove();
    ca?.remove();
  });

  function edit(change: (config: Record<string, unknown>) => void): void {
    const file = join(service.data, 'certstatus.yaml');
    const config = parseDocument(readFileSync(file, 'utf8')).toJS() as Record<string, unknown>;
    change(config);
    writeFileSync(file, JSON.stringify(config));
  }

  async function split(pin: string): Promise<readonly string[]> {
    const args = ['--json', 'key', 'split', '--token', 'ocsp', '--shares', '5', '--threshold', '3'];
    const ran = await service.command(args, `${pin}\n`).done;
    assert.equal(ran.code, 0, ran.stderr);
    return (JSON.parse(ran.stdout) as { shares: string[] }).shares;
  }

  const enter = (share: string, who: string): Promise<ApiAnswer> =>
    service.api('POST', `${TOKENS}/ocsp/shares`, { share }, people[who]);
  const as = (who: string): readonly string[] => {
    const file = join(service.data, 'intake', who);
    return ['--cert', `${file}.pem`, '--key', `${file}.key`];
  };
  const activateCrl = (): Promise<Ran> =>
    service.command(['key', 'activate', '--token', 'crl', ...as('alice')], `${PIN}\n`).done;
  const stateOf = async (name: string): Promise<string> => {
    const { body } = await service.api('GET', TOKENS, undefined, people['alice']);
    return (body as { tokens: { name: string; state: string }[] }).tokens.find((one) => one.name === name)?.state ?? '';
  };
  const status = async (): Promise<Status> =>
    JSON.parse((await service.get('/status.json', 'admin')).body.toString()) as Status;
  const asked = async ({ serial }: IssuedFile): Promise<string> =>
    (await ask(issuer, serial, { port: service.ports.public, path: '/ocsp' })).status;
  const listed = async (): Promise<readonly string[]> => {
    const { status: code, body } = await service.get('/guarded.crl');
    return code === 200 ? [...readCrl(body, issuer).entries.keys()] : [];
  };
  async function opensslSays(certificate: IssuedFile): Promise<string> {
    const url = `http://127.0.0.1:${service.ports.public}/ocsp`;
    const args = ['ocsp', '-issuer', ca.certificateFile, '-CAfile', ca.certificateFile, '-cert', certificate.file];
    const ran = await runProgram('openssl', [...args, '-url', url]).done;
    assert.match(ran.stderr, /Response verify OK/);
    return /: (good|revoked|unknown)/.exec(ran.stdout)?.[1] ?? ran.stdout;
  }

  it('starts without activation: takes events, signs nothing, says so', async () => {
    await service.start();
    for (const { file } of [good, bad, later])
      assert.equal((await service.run('issue', '--issuer', 'guarded', '--cert', file)).code, 0);
    const revoke = ['revoke', '--issuer', 'guarded', '--serial', bad.serial, '--reason', 'keyCompromise'];
    assert.equal((await service.run(...revoke)).code, 0);
    assert.equal(await asked(good), 'tryLater');
    const { verdict, problems, tokens } = await status();
    assert.equal(verdict, 'failing');
    assert.deepEqual(tokens.map(({ name, state }) => `${name} ${state}`), ['ocsp inactive', 'crl inactive']); // prettier-ignore
    const said = problems.find(({ what }) => /token ocsp is not activated/.test(what));
    assert.match(said?.todo ?? '', /3 persons .*key activate --token ocsp.*none is entered yet/);
    assert.match(
      (await (await AdminClient.signedIn(service.data, service.ports.admin)).get('/')).body.toString(),
      /token ocsp is not activated/,
    );
    const metrics = (await service.get('/metrics', 'admin')).body.toString();
    assert.match(metrics, /certstatus_token_active\{token="ocsp"\} 0/);
    assert.match(metrics, /certstatus_key_usable\{issuer="guarded",key="crl"\} 0/);
    await until('the log says it', () => /token ocsp is not activated: nothing is signed/.test(service.log));
  });

  it('refuses whom and what it must', async () => {
    // dora may make keys, but not activate; the operator neither.
    assert.equal((await enter(shares[0] as string, 'dora')).status, 403);
    assert.equal((await service.api('POST', `${TOKENS}/ocsp/deactivations`)).status, 403);
    const key = { type: 'P-256', label: 'x' };
    assert.equal((await service.api('POST', `${TOKENS}/ocsp/keys`, key, people['alice'])).status, 403);
    assert.equal((await service.api('POST', `${TOKENS}/nope/deactivations`, undefined, people['alice'])).status, 404);
    const typed = (shares[0] as string).replace(/:[A-Za-z0-9_-]{4}([A-Za-z0-9_-]{20,}):/, ':AAAA$1:');
    for (const [body, code, words] of [
      [{ share: typed }, 400, /mistyped/],
      [{ share: (shares[0] as string).slice(0, -3) }, 400, /mistyped|cut off/],
      [{ pin: PIN }, 400, /share/],
      [{ [shares[0] as string]: 1 }, 400, /share/],
      [`{"share": "${shares[0] as string}"`, 400, /JSON/],
      [{ share: shares[0], more: PIN }, 400, /share/],
    ] as const) {
      const answer = await service.api('POST', `${TOKENS}/ocsp/shares`, body, people['alice']);
      assert.equal(answer.status, code, JSON.stringify(answer.body));
      assert.match(JSON.stringify(answer.body), words);
      assert.doesNotMatch(JSON.stringify(answer.body), new RegExp(`${secretOf(shares[0] as string)}|${PIN}`));
    }
    const one = await service.api('POST', `${TOKENS}/ocsp/activations`, { pin: PIN }, people['alice']);
    assert.equal(one.status, 422, 'no one person activates it');
    const argument = await service.run('key', 'activate', '--token', 'crl', '--pin', PIN);
    assert.equal(argument.code, 1);
    assert.match(argument.stderr, /arguments can be read/);
    assert.doesNotMatch(argument.stderr, new RegExp(PIN));
  });

  it('recognises shares that do not belong together before the token is asked', async () => {
    const other = await split('another-PIN-4711');
    assert.equal((await enter(shares[0] as string, 'alice')).status, 200);
    const mixed = await enter(other[1] as string, 'bob');
    assert.equal(mixed.status, 422);
    assert.match(mixed.body.detail as string, /alice/);
    assert.equal((await enter(shares[1] as string, 'alice')).status, 422, 'one person, two shares');
    assert.equal((await enter(shares[0] as string, 'bob')).status, 422, 'one share, two persons');
    // Forged so that only what they make together shows it.
    const { set } = parseShare(shares[0] as string, 'share');
    const forged = formatShare({ ...parseShare(other[1] as string, 'share'), set });
    assert.equal((await enter(forged, 'bob')).status, 200);
    const last = await enter(shares[2] as string, 'carol');
    assert.equal(last.status, 422, JSON.stringify(last.body));
    assert.match(last.body.detail as string, /do not belong together/);
    assert.equal(await stateOf('ocsp'), 'inactive', 'not refused: it was never asked');
    assert.doesNotMatch(token.tool('--list-token-slots'), /PIN count low/);
  });

  it('is activated by three persons with a share each, and the CRL key by its PIN', async () => {
    const first = await enter(shares[4] as string, 'alice');
    assert.deepEqual(first.body.shares.persons, ['alice']);
    const file = join(service.directory, 'bob.txt');
    writeFileSync(file, `${shares[1] as string}\n`);
    const bob = await service.run('key', 'activate', '--token', 'ocsp', '--share-file', file, ...as('bob'));
    assert.match(bob.stdout, /2 of 3 shares are entered \(alice, bob\)/, bob.stderr);
    assert.equal(await asked(good), 'tryLater');
    const activate = ['key', 'activate', '--token', 'ocsp', ...as('carol')];
    const carol = await service.command(activate, ` ${shares[2] as string}\r\n`).done;
    assert.match(carol.stdout, /token ocsp is active/, carol.stderr);
    const crl = await activateCrl();
    assert.match(crl.stdout, /token crl is active/, crl.stderr);
    await until('OCSP answers', async () => (await asked(good)) === 'good' && (await asked(bad)) === 'revoked');
    assert.equal(await opensslSays(good), 'good');
    assert.equal(await opensslSays(bad), 'revoked');
    await until('the CRL is there', async () => (await listed()).length === 1, 20_000);
    await until('all is well', async () => (await status()).verdict === 'ok');
    assert.deepEqual((await status()).tokens[0]?.activatedBy, ['alice', 'bob', 'carol']);
  });

  it('lists keys with their use, and makes new ones', async () => {
    const made = await service.run(
      ...['key', 'generate', '--token', 'ocsp', '--type', 'P-256', '--label', 'next', '--id', '0a', ...as('dora')],
    );
    assert.equal(made.code, 0, made.stderr);
    const again = await service.run(
      ...['key', 'generate', '--token', 'ocsp', '--type', 'P-256', '--label', 'next', ...as('dora')],
    );
    assert.equal(again.code, 1);
    const list = await service.run('key', 'list', '--token', 'ocsp', ...as('dora'));
    assert.equal(list.code, 0, list.stderr);
    assert.match(list.stdout, /activated +\S+ by alice, bob, carol/);
    assert.match(list.stdout, /responder, P-256, id 01, guarded /);
    assert.match(list.stdout, /ca, RSA-2048, id 02, guarded crl/);
    assert.match(list.stdout, /next, P-256, id 0a, used by no issuer/);
  });

  it('goes on serving while the token is away, and signs again when it is back', async () => {
    token.hide();
    const revoke = ['revoke', '--issuer', 'guarded', '--serial', later.serial, '--reason', 'superseded'];
    assert.equal((await service.run(...revoke)).code, 0);
    await until('the loss is noticed', async () => (await stateOf('ocsp')) === 'lost');
    assert.equal(await opensslSays(good), 'good');
    assert.notEqual(await asked(later), 'good', 'P2');
    assert.match(JSON.stringify((await status()).problems), /token ocsp is lost/);
    token.restore();
    await until('the revocation is live', async () => (await asked(later)) === 'revoked', 40_000);
    assert.equal(await stateOf('ocsp'), 'active');
  });

  it('a restart serves what was signed, and signs nothing until it is activated anew', async () => {
    assert.equal(await service.stop(), 0);
    await service.start();
    assert.equal(await opensslSays(good), 'good');
    assert.match(JSON.stringify((await status()).problems), /token ocsp is not activated: nothing is signed .*What is published lasts until 20/); // prettier-ignore
    const [fresh] = ca.issue() as [IssuedFile];
    assert.equal((await service.run('issue', '--issuer', 'guarded', '--cert', fresh.file)).code, 0);
    assert.equal(await asked(fresh), 'tryLater');
    for (const [share, who] of [
      [0, 'carol'],
      [1, 'alice'],
      [3, 'bob'],
    ] as const)
      // prettier-ignore
      assert.equal((await enter(shares[share] as string, who)).status, 200);
    await until('it is signed', async () => (await asked(fresh)) === 'good');
  });

  it('is deactivated by as many persons', async () => {
    const deactivate = (who: string): Promise<ApiAnswer> =>
      service.api('POST', `${TOKENS}/ocsp/deactivations`, undefined, people[who]);
    assert.deepEqual((await deactivate('alice')).body.deactivation.persons, ['alice']);
    assert.equal((await deactivate('alice')).status, 422);
    const bob = await service.run('key', 'deactivate', '--token', 'ocsp', ...as('bob'));
    assert.match(bob.stdout, /asked for by alice, bob; 1 more/, bob.stderr);
    assert.equal(await stateOf('ocsp'), 'active');
    assert.equal((await deactivate('carol')).body.state, 'inactive');
    assert.equal(await opensslSays(good), 'good');
  });

  it('the audit log names the people, and nothing anywhere holds a PIN or a share', async () => {
    const { activations } = (await service.json('audit', 'verify')) as {
      activations: { token: string; persons: string[] }[];
    };
    assert.deepEqual(
      activations.map(({ token: name, persons }) => `${name}: ${persons.join(' ')}`),
      ['ocsp: alice bob carol', 'crl: alice', 'ocsp: carol alice bob'],
    );
    assert.match((await service.run('audit', 'verify')).stdout, /token ocsp activated by alice, bob, carol/);
    const records = (await service.run('audit', 'export')).stdout;
    for (const type of ['share-entered', 'activating', 'activation-failed', 'deactivated', 'lost', 'recovered'])
      assert.match(records, new RegExp(`"type":"token.${type}"`));

    const secrets = [PIN, Buffer.from(PIN).toString('base64'), ...shares.map(secretOf)];
    const clean = (where: string, text: string): void => {
      for (const secret of secrets) assert.ok(!text.includes(secret), where);
    };
    clean('log', service.log + service.out);
    for (const file of filesIn(service.data)) clean(file, readFileSync(file, 'latin1'));
    const pids = [service.pid, ...childrenOf(service.pid)];
    assert.ok(pids.length >= 1);
    for (const pid of pids)
      for (const what of ['environ', 'cmdline'])
        clean(`/proc/${pid}/${what}`, readFileSync(`/proc/${pid}/${what}`, 'latin1'));
  });
});

describe('a token whose PIN is a credential of the service', { skip: missingSofthsm }, () => {
  let service: Service;
  let token: SoftToken;
  let ca: OpensslCa;
  let credentials: string;

  before(async () => {
    ca = new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Unattended CA' });
    const responder = ca.issueResponder();
    token = softToken({ label: 'unattended', pin: PIN });
    token.importKey(createPrivateKey(readFileSync(responder.keyFile)), 'responder', '01');
    credentials = mkdtempSync(join(tmpdir(), 'certstatus-credentials-'));
    writeFileSync(join(credentials, 'pin'), `${PIN}\n`, { mode: 0o600 });
    const env = { SOFTHSM2_CONF: token.env['SOFTHSM2_CONF'] as string, CREDENTIALS_DIRECTORY: credentials };
    service = await Service.create(env);
    assert.equal((await service.run('init')).code, 0);
    const added = await service.run(
      ...['issuer', 'add', 'unattended', '--ca', ca.certificateFile, '--responder-cert', responder.file],
      ...['--responder-key', 'pkcs11:token=ocsp;object=responder', '--crl-key', ca.keyFile, '--ocsp-path', '/ocsp'],
    );
    assert.equal(added.code, 0, added.stderr);
  });
  after(async () => {
    await service?.remove();
    token?.remove();
    ca?.remove();
    if (credentials !== undefined) rmSync(credentials, { recursive: true });
  });

  function configure(module: string, name = 'ocsp', credential = 'pin'): void {
    const file = join(service.data, 'certstatus.yaml');
    const config = parseDocument(readFileSync(file, 'utf8'));
    const activation = { source: 'credential', credential };
    config.set('tokens', [{ name, module, label: token.label, activation }]);
    writeFileSync(file, config.toString());
  }
  const tokenState = async (): Promise<string | undefined> =>
    (JSON.parse((await service.get('/status.json', 'admin')).body.toString()) as Status).tokens[0]?.state;

  it('check-config names a token that is not there', async () => {
    configure(token.module, 'other');
    const { code, stdout } = await service.run('check-config');
    assert.equal(code, 1);
    assert.match(stdout, /no token ocsp under tokens; there are other/);
  });

  it('a module that cannot be loaded keeps nothing from serving', async () => {
    configure('/nonexistent/module.so');
    await service.start();
    await until('the log says why', () => /could not be activated at start/.test(service.log));
    assert.match(service.log, /nonexistent/);
    assert.equal((await service.get('/readyz', 'admin')).status, 200);
    assert.equal(await tokenState(), 'inactive');
    assert.equal(await service.stop(), 0);
  });

  it('a token that is away at start is activated when it is there', async () => {
    configure(token.module);
    token.hide();
    await service.start();
    await until('it was tried', () =>
      /could not be activated at start.*\n[^]*could not be activated/.test(service.log),
    );
    token.restore();
    await until('it is active', async () => (await tokenState()) === 'active', 20_000);
    const [{ serial, file }] = ca.issue() as [IssuedFile];
    assert.equal((await service.run('issue', '--issuer', 'unattended', '--cert', file, '--wait')).code, 0);
    const answer = await ask(issuerFromFile(ca.certificateFile), serial, { port: service.ports.public, path: '/ocsp' });
    assert.equal(answer.status, 'good');
    assert.equal(await service.stop(), 0);
    const { activations } = (await service.json('audit', 'verify')) as { activations: { persons: string[] }[] };
    assert.deepEqual(activations.map(({ persons }) => persons), [['credential pin']]); // prettier-ignore
    assert.doesNotMatch(service.log, new RegExp(PIN));
  });

  it('a PIN that the token refuses is not tried at every start: tokens lock themselves', async () => {
    const tries = async (): Promise<number> => {
      const { stdout } = await service.run('--json', 'audit', 'export');
      return stdout.split('\n').filter((line) => line.includes('"token.activating"')).length;
    };
    const before = await tries();
    writeFileSync(join(credentials, 'pin'), 'another-PIN-4711\n');
    for (const why of [
      /refuses the PIN/,
      /refuses the PIN/,
      /not asked with that one again/,
      /not asked with that one again/,
    ]) {
      // prettier-ignore
      const from = service.log.length;
      await service.start();
      await until('the log says why', () => /could not be activated at start/.test(service.log.slice(from)));
      assert.match(service.log.slice(from), why);
      assert.equal(await service.stop(), 0);
    }
    assert.equal((await tries()) - before, 2);
    // The right one, under a name of its own; when the token has taken it, the old name is as good as any.
    for (const credential of ['pin-2', 'pin']) {
      writeFileSync(join(credentials, credential), `${PIN}\n`, { mode: 0o600 });
      configure(token.module, 'ocsp', credential);
      await service.start();
      await until('it is active', async () => (await tokenState()) === 'active', 20_000);
      assert.equal(await service.stop(), 0);
    }
  });
});

/** The part of a share that is secret. */
function secretOf(share: string): string {
  return share.split(':')[6] as string;
}

function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile());
}

function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => {
      try {
        return readFileSync(`/proc/${child}/stat`, 'latin1').split(') ')[1]?.split(' ')[1] === String(pid);
      } catch {
        return false; // ended meanwhile
      }
    });
}
