/**
 * Each process has what its role needs and no more (P7), and no secret is where somebody might read it: a fleet with real Redis users and
 * a real token, looked at through /proc while it runs.
 */
import assert from 'node:assert/strict';
import { createHash, createPrivateKey } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDocument } from 'yaml';
import { Fleet, type Person } from '../support/fleet.ts';
import { exchange } from '../support/http.ts';
import type { Member, MemberRole } from '../support/member.ts';
import {
  argumentsOf,
  environmentOf,
  familyOf,
  listeningPorts,
  mappedFiles,
  openFiles,
} from '../support/process-facts.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { freePorts, runProgram, Service, until, type ApiAnswer } from '../support/service.ts';
import { missingSofthsm, softToken, type SoftToken } from '../support/softhsm.ts';

const ACL = resolve(import.meta.dirname, '../../../deploy/redis/users.acl');
const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
const PIN = 'marked-PIN-Vogel-4711';
const S3_SECRET = 'marked-s3-secret-0815';
const TOKEN = 'hsm';
const passwordOf = (role: string): string => `marked-redis-password-${role}`;

describe('a fleet', { skip: needsRedis || missingSofthsm }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-least-'));
  let redis: RedisServer;
  let token: SoftToken;
  let fleet: Fleet;
  let shares: readonly string[];
  const said: string[] = [];

  before(async () => {
    const acl = join(directory, 'users.acl');
    const known = readFileSync(ACL, 'utf8').replace(/^(user certstatus-(\w+) on #)0{64} /gm, (_line, start, role) => {
      return `${String(start)}${createHash('sha256')
        .update(passwordOf(String(role)))
        .digest('hex')} `;
    });
    writeFileSync(acl, known);
    redis = await startRedis({ acl });
    fleet = await Fleet.create({
      directory,
      ports: await freePorts(12),
      intakes: 1,
      signers: 1,
      responders: 1,
      monitor: true,
      store: (role, home) => {
        writeFileSync(join(home, 'redis.password'), passwordOf(role), { mode: 0o600 });
        const user = { username: `certstatus-${role}`, passwordFile: 'redis.password' };
        return { host: '127.0.0.1', port: redis.port, ...user, certificates: 10_000 };
      },
      token: (keys) => Promise.resolve(tokenOf(keys)),
    });
    const split = ['--json', 'key', 'split', '--token', TOKEN, '--shares', '2', '--threshold', '2'];
    const { stdout } = await runProgram(process.execPath, [CLI, ...split], { input: `${PIN}\n` }).done;
    ({ shares } = JSON.parse(stdout) as { shares: readonly string[] });
    for (const member of fleet.members) {
      const config = parseDocument(readFileSync(member.configFile, 'utf8'));
      config.set('logLevel', 'trace');
      if (member.role === 'signer') {
        writeFileSync(join(member.directory, 's3.secret'), S3_SECRET, { mode: 0o600 });
        // Nobody listens there: what becomes of a secret when its use fails?
        const copies = { endpoint: 'http://127.0.0.1:9', bucket: 'crl', accessKeyId: { file: 's3.secret' }, secretAccessKey: { file: 's3.secret' } }; // prettier-ignore
        config.set('archive', { copies });
      }
      writeFileSync(member.configFile, config.toString());
    }
    await fleet.start();
  });
  after(async () => {
    await fleet?.kill();
    await redis?.remove();
    token?.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  function tokenOf(keys: string): { config: { name: string } & Record<string, unknown>; env: NodeJS.ProcessEnv } {
    token = softToken({ label: TOKEN, pin: PIN });
    for (const [i, label] of ['ca', 'responder'].entries()) {
      token.importKey(createPrivateKey(readFileSync(join(keys, `${label}.key`))), label, `0${i + 1}`);
      rmSync(join(keys, `${label}.key`));
    }
    const activation = { source: 'shares', threshold: 2 };
    return {
      config: { name: TOKEN, module: token.module, label: TOKEN, sessions: 2, activation },
      env: { SOFTHSM2_CONF: token.env['SOFTHSM2_CONF'] as string },
    };
  }

  const admin = async ({ ports }: Member, path: string): Promise<string> =>
    (await exchange({ port: ports.admin, path })).body.toString();
  const of = (role: MemberRole): Member => fleet.members.find((member) => member.role === role) as Member;
  const enter = async (share: string, person: Person): Promise<ApiAnswer> => {
    const answer = await of('signer').api('POST', `/v1/tokens/${TOKEN}/shares`, fleet.credentials(person), { share });
    said.push(JSON.stringify(answer));
    return answer;
  };

  it('is activated by two persons, after a share that is none', async () => {
    const wrong = `${(shares[0] as string).slice(0, -4)}aaaa`;
    assert.notEqual((await enter(wrong, 'alice')).status, 200);
    assert.equal((await enter(shares[0] as string, 'alice')).status, 200);
    assert.equal((await enter(shares[1] as string, 'bob')).status, 200);
    await until('the token is active', async () => {
      const metrics = await admin(of('signer'), '/metrics');
      return /^certstatus_token_active\{[^}]*\} 1$/m.test(metrics);
    });
  });

  it('listens on the ports of its roles alone: only a responder has the public one', () => {
    const ports = (role: MemberRole): readonly number[] => listeningPorts(of(role).pid);
    const sorted = (...list: readonly number[]): readonly number[] => [...list].sort((a, b) => a - b);
    const { intake, signer, responder, monitor } = { intake: of('intake').ports, signer: of('signer').ports, responder: of('responder').ports, monitor: of('monitor').ports }; // prettier-ignore
    assert.deepEqual(ports('intake'), sorted(intake.intake, intake.admin));
    assert.deepEqual(ports('signer'), sorted(signer.intake, signer.admin));
    assert.deepEqual(ports('responder'), sorted(responder.public, responder.admin));
    assert.deepEqual(ports('monitor'), [monitor.admin]);
  });

  for (const role of ['intake', 'responder', 'monitor'] as const)
    it(`${role}: has no PKCS#11 in its memory, no child process, and no key of a CA or responder`, () => {
      const { pid, directory: home } = of(role);
      assert.deepEqual(familyOf(pid), [pid]);
      assert.deepEqual(mappedFiles(pid).filter((file) => /pkcs11|softhsm/i.test(file)), []); // prettier-ignore
      assert.deepEqual(openFiles(pid).filter((file) => /\.key$|softhsm/.test(file)), []); // prettier-ignore
      assert.deepEqual(filesBelow(home).filter((file) => /\.key$/.test(file)), []); // prettier-ignore
      assert.doesNotMatch(environmentOf(pid), /SOFTHSM2_CONF/);
    });

  it('signer: only the process that holds the sessions has the module in its memory', () => {
    const { pid } = of('signer');
    const holding = familyOf(pid).filter((one) => mappedFiles(one).some((file) => file.includes('libsofthsm2')));
    assert.ok(holding.length >= 1 && !holding.includes(pid), `${holding.join(', ')} of ${familyOf(pid).join(', ')}`);
  });

  it('responder: writes nothing to its directory but what is logged', () => {
    const { directory: home } = of('responder');
    // The secret of its sign-in links is made at the first start.
    const given = /\/(certstatus\.yaml|admin\/secret|redis\.password|log\.ndjson|issuers\/demo\/[a-z.]+)$/;
    assert.deepEqual(
      filesBelow(home).filter((file) => !given.test(file)),
      [],
    );
  });

  it('shows no secret in its logs at trace level, files, pages, errors, arguments and environment', async () => {
    const serial = fleet.serialOf('samples/valid.pem');
    await fleet.api(of('intake'), 'GET', `/v1/issuers/demo/certificates/${serial}`);
    await until('a copy has failed', () => /the archive cannot be copied/.test(of('signer').log));
    const seen = new Map<string, string>([['answers of the API', said.join('\n')]]);
    for (const member of fleet.members) {
      const { name, pid } = member;
      seen.set(`${name}: log`, member.log);
      for (const path of ['/metrics', '/status.json', '/']) seen.set(`${name}: ${path}`, await admin(member, path));
      for (const one of familyOf(pid)) {
        seen.set(`${name}: arguments of ${one}`, argumentsOf(one));
        seen.set(`${name}: environment of ${one}`, environmentOf(one));
      }
      for (const file of filesBelow(member.directory))
        if (!/\.(password|secret)$/.test(file)) seen.set(file, readFileSync(file, 'latin1'));
    }
    const secrets = [PIN, S3_SECRET, ...shares, ...fleet.members.map(({ role }) => passwordOf(role))];
    for (const [where, text] of seen)
      for (const secret of secrets) {
        const forms = [secret, Buffer.from(secret).toString('base64').replace(/=+$/, ''), Buffer.from(secret).toString('hex')]; // prettier-ignore
        for (const form of forms) assert.ok(!text.includes(form), `${form} stands in ${where}`);
      }
    assert.ok(seen.size > 30, String(seen.size));
  });
});

describe('every file of a service', () => {
  let service: Service;
  const umask = process.umask(0);
  before(async () => {
    service = await Service.create();
    // Children inherit the umask: that of a service manager that sets none.
    process.umask(0);
    await service.start('--demo');
    assert.equal((await service.run('crl', 'publish', '--issuer', 'demo')).code, 0);
  });
  after(async () => {
    process.umask(umask);
    await service.remove();
  });

  it('is closed to others, and its group cannot write it, whatever the umask; keys are for their user alone', () => {
    const files = filesBelow(service.data);
    assert.ok(files.some((file) => file.includes('/audit/')) && files.some((file) => file.includes('/store/')));
    for (const file of [...files, ...new Set(files.map((one) => resolve(one, '..')))])
      assert.equal(statSync(file).mode & 0o027, 0, `${file} ${(statSync(file).mode & 0o777).toString(8)}`);
    const keys = files.filter((file) => file.endsWith('.key'));
    assert.ok(keys.length >= 4);
    for (const key of keys) assert.equal(statSync(key).mode & 0o777, 0o600, key);
  });

  it('opens no debugger when it is sent the signal for one', async () => {
    const before = listeningPorts(service.pid);
    process.kill(service.pid, 'SIGUSR1');
    assert.equal((await service.get('/livez', 'admin')).status, 200);
    await new Promise((done) => setTimeout(done, 300));
    assert.deepEqual(listeningPorts(service.pid), before);
    assert.doesNotMatch(service.log, /Debugger listening/);
  });
});

function filesBelow(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
