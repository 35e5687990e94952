/** Backups of a running service: whole, without keys, restorable; damage is named; the drill finds what is wrong. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runProgram, Service, until, type Ran } from '../support/service.ts';

interface Said {
  readonly journal: { readonly seq: number };
  readonly store: { readonly entries: number; readonly appliedSeq: number };
  readonly leftOut: readonly { readonly path: string }[];
  readonly problems?: readonly string[];
}

const filesBelow = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe('backup', () => {
  let service: Service;
  let backup: string;
  const run = (...args: readonly string[]): Promise<Ran> => service.run('--json', 'backup', ...args);
  /** A copy to be damaged. */
  const copied = (name: string): string => {
    cpSync(backup, join(service.directory, name), { recursive: true });
    return join(service.directory, name);
  };

  before(async () => {
    service = await Service.demo();
    backup = join(service.directory, 'backup-1');
  });
  after(() => service?.remove());

  it('is taken while events arrive, and its journal is never behind its store', async () => {
    let going = true;
    let sent = 0;
    const sending = (async () => {
      const [notBefore, notAfter] = [Date.now() - 3_600_000, Date.now() + 86_400_000 * 30].map((at) =>
        new Date(at).toISOString().replace(/\.\d+/, ''),
      );
      while (going) {
        const certificates = Array.from({ length: 20 }, (_, i) => ({
          serial: (0x4711_0000 + sent * 20 + i).toString(16),
          notBefore,
          notAfter,
        }));
        const { status } = await service.api('POST', '/v1/issuers/demo/certificates', { certificates });
        assert.equal(status, 200);
        sent += 1;
      }
    })();
    await until('events arrive', () => sent > 3);
    const { code, stdout, stderr } = await run('create', '--out', backup).finally(() => (going = false));
    await sending;
    assert.equal(code, 0, stderr);
    const said = JSON.parse(stdout) as Said;
    assert.ok(said.store.appliedSeq > 3 && said.journal.seq >= said.store.appliedSeq, stdout);
    assert.equal(existsSync(join(service.data, 'backup', 'store-1')), false, 'the copy was taken away');
  });

  it('has no private key, and says what it left out (CT-6.2.5)', () => {
    const texts = filesBelow(backup).map((path) => [path, readFileSync(path, 'latin1')] as const);
    for (const [path, text] of texts) assert.ok(!text.includes('PRIVATE KEY-----'), path);
    const { leftOut } = JSON.parse(readFileSync(join(backup, 'manifest.json'), 'utf8')) as Said;
    const keys = filesBelow(service.data).filter((path) => readFileSync(path, 'latin1').includes('PRIVATE KEY-----'));
    assert.deepEqual(leftOut.map(({ path }) => join(service.data, path)).sort(), keys.sort());
    for (const [path] of texts) assert.equal(statSync(path).mode & 0o007, 0, `${path} is for others to read`);
  });

  it('is not taken over another one, and nothing is left of one that could not be taken', async () => {
    const { code, stderr } = await run('create', '--out', backup);
    assert.equal(code, 1);
    assert.match(stderr, /it is there already/);
    writeFileSync(join(service.directory, 'file'), '');
    assert.equal((await run('create', '--out', join(service.directory, 'file', 'x'))).code, 1);
    assert.deepEqual(
      readdirSync(service.directory).filter((name) => name.endsWith('.part')),
      [],
    );
  });

  it('checks out, and each damage is named', async () => {
    const { code, stdout } = await run('check', backup);
    assert.deepEqual([code, (JSON.parse(stdout) as Said).problems], [0, []]);
    const wrong = async (name: string, damage: (directory: string) => void, what: RegExp): Promise<void> => {
      const directory = copied(name);
      damage(directory);
      const ran = await run('check', directory);
      assert.equal(ran.code, 1, name);
      assert.match((JSON.parse(ran.stdout) as Required<Said>).problems.join('\n'), what);
      const into = join(service.directory, `${name}-data`);
      const restored = await run('restore', directory, '--into', into);
      assert.equal(restored.code, 1);
      assert.match(restored.stderr, /the backup is damaged/);
      assert.equal(existsSync(into), false);
    };
    const crl = filesBelow(join(backup, 'crl')).find((path) => path.endsWith('.crl')) as string;
    const inCrl = crl.slice(backup.length + 1);
    await wrong(
      'altered',
      (at) => writeFileSync(join(at, inCrl), Buffer.alloc(statSync(crl).size)),
      /has been altered/,
    );
    await wrong('cut', (at) => truncateSync(join(at, inCrl), 10), /has 10 octets, not \d+/);
    await wrong(
      'more',
      (at) => writeFileSync(join(at, 'issuers', 'new.pem'), ''),
      /issuers\/new\.pem is not in the manifest/,
    );
    await wrong('journal', (at) => appendFileSync(join(at, 'audit', '000000000001.ndjson'), '{}\n'), /octets, not/);
    assert.match((await run('check', service.data)).stderr, /no backup: it has no manifest\.json/);
  });

  it('is restored, and serves what it had recorded when its keys are there again', async () => {
    const other = await Service.create();
    const { data } = other;
    const { code, stderr, stdout } = await run('restore', backup, '--into', data);
    assert.equal(code, 0, stderr);
    for (const { path } of (JSON.parse(stdout) as Said).leftOut) cpSync(join(service.data, path), join(data, path));
    const again = await run('restore', backup, '--into', data);
    assert.match(again.stderr, /the directory is not empty/);
    try {
      await other.start();
      for (const [name, status] of [
        ['valid', 'good'],
        ['revoked', 'revoked'],
      ] as const) {
        const ca = join(data, 'issuers', 'demo', 'ca.pem');
        const args = ['ocsp', '-issuer', ca, '-CAfile', ca, '-cert', join(data, 'issuers', 'demo', 'samples', `${name}.pem`)]; // prettier-ignore
        const asked = await runProgram('openssl', [...args, '-url', other.url('/OcspServer')]).done;
        assert.match(asked.stderr, /Response verify OK/);
        assert.match(asked.stdout, new RegExp(`: ${status}`));
      }
      assert.equal((await other.run('audit', 'verify')).code, 0);
      assert.equal(await other.stop(), 0);
    } finally {
      await other.remove();
    }
  });

  it('is drilled beside the running service, which notices nothing', async () => {
    const report = join(service.directory, 'drill.md');
    const { code, stdout, stderr } = await run('drill', '--certificates', '20', '--out', report);
    assert.equal(code, 0, stderr + stdout);
    const said = JSON.parse(stdout) as {
      verdict: string;
      issuers: { asked: number; right: number; pending: number }[];
    };
    assert.equal(said.verdict, 'passed');
    assert.deepEqual(
      said.issuers.map(({ asked, right, pending }) => [asked, right + pending]),
      [[20, 20]],
    );
    assert.match(readFileSync(report, 'utf8'), /^# Restore drill: passed/);
    const { stdout: records } = await service.run('audit', 'export', '--type', 'backup.drilled');
    assert.match(records, /"verdict":"passed"/);
    // One whose CRL is gone: the drill says so, and does not pass.
    const bad = copied('bad');
    for (const path of filesBelow(join(bad, 'crl'))) if (path.endsWith('.crl')) truncateSync(path, 20);
    const failed = await run('drill', '--backup', bad);
    assert.equal(failed.code, 1);
    assert.match(failed.stdout, /"verdict": "failed"/);
  });
});
