/**
 * A CA with shards, a CRL of CA certificates and a complete CRL, as its clients see it: certificates by openssl that name their CRL,
 * judged by openssl, GnuTLS and Java with the CRLs that the running service serves.
 */
import assert from 'node:assert/strict';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { type IssuedFile, OpensslCa } from '../support/openssl-ca.ts';
import { runProgram, Service, until } from '../support/service.ts';

const COUNT = 4;
const ISSUERS = '/v1/issuers/sharded';
type Where = number | 'arl' | 'complete';

describe('a CA with sharded CRLs', () => {
  const ca = new OpensslCa({ subject: '/C=JP/O=certstatus tests/CN=Sharded CA' });
  let service: Service;
  /** Two certificates on each CRL; the second of each is revoked. */
  const pairs = new Map<Where, readonly [IssuedFile, IssuedFile]>();

  const name = (where: Where): string => (where === 'complete' ? 'whole' : `shards/${where}`);
  const url = (where: Where): string => service.url(`/crl/${name(where)}.crl`);
  const crlFile = (where: Where): string => join(service.directory, `${where}.crl`);
  const wheres = (): readonly Where[] => [...pairs.keys()];
  const shards = (): readonly Where[] => wheres().filter((where) => where !== 'complete');
  const serials = (certificates: readonly IssuedFile[]): string[] => certificates.map(({ serial }) => serial).sort();
  const whole = ({ file }: IssuedFile): object => ({
    certificate: readFileSync(file, 'utf8')
      .replace(/-----[A-Z ]+-----/g, '')
      .replace(/\s/g, ''),
  });
  const record = async (...certificates: readonly object[]): Promise<readonly { serial: string; id: string }[]> => {
    const { status, body } = await service.api('POST', `${ISSUERS}/certificates`, { certificates });
    assert.equal(status, 200, JSON.stringify(body));
    return body.receipts;
  };
  const revoke = async (...revoked: readonly string[]): Promise<void> => {
    const revocations = revoked.map((serial) => ({ serial, reason: 'superseded' }));
    const { status, body } = await service.api('POST', `${ISSUERS}/revocations`, { revocations });
    assert.equal(status, 200, JSON.stringify(body));
  };
  /** What openssl reads on the CRL that is served there now, after it has verified the signature. */
  const listed = async (where: Where): Promise<{ readonly serials: string[]; readonly text: string }> => {
    const { status, body, headers } = await service.get(`/crl/${name(where)}.crl`);
    assert.equal(status, 200, `${where}: ${status}`);
    assert.equal(headers['content-type'], 'application/pkix-crl');
    writeFileSync(crlFile(where), body);
    const { code, stdout, stderr } = await runProgram('openssl', [
      ...['crl', '-inform', 'DER', '-in', crlFile(where), '-noout', '-text', '-verify', '-CAfile', ca.certificateFile],
    ]).done;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /verify OK/);
    return {
      serials: [...stdout.matchAll(/Serial Number: ([0-9A-F]+)/g)].map(([, hex]) => hex as string).sort(),
      text: stdout,
    };
  };
  const everyRevoked = (): string[] => serials([...pairs.values()].map(([, revoked]) => revoked));
  const settledOn = (where: Where, expected: readonly string[]): Promise<void> =>
    until(`the CRL ${where} lists what is revoked`, async () => {
      const { status } = await service.get(`/crl/${name(where)}.crl`);
      return status === 200 && (await listed(where)).serials.join() === [...expected].sort().join();
    });

  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init')).code, 0);
    const responder = ca.issueResponder();
    const added = await service.run(
      ...['issuer', 'add', 'sharded', '--ca', ca.certificateFile, '--crl-key', ca.keyFile],
      ...['--responder-cert', responder.file, '--responder-key', responder.keyFile],
      ...['--crl-path', '/crl/whole.crl', '--crl-shards', String(COUNT), '--crl-shard-url', url('{shard}' as Where)],
      ...['--crl-authorities-url', url('arl')],
    );
    assert.equal(added.code, 0, added.stderr);
    for (const where of [1, 2, 3, 4, 'arl', 'complete'] as const) {
      const kind = where === 'arl' ? ('subca' as const) : ('leaf' as const);
      const urls = { crlUrl: url(where), ocspUrl: service.url('/ocsp') };
      const [first, second] = ca.issue({ count: 2, kind, urls, subject: `/CN=on CRL ${where}` });
      pairs.set(where, [first as IssuedFile, second as IssuedFile]);
    }
    await service.start();
  });
  after(async () => {
    await service.remove();
    ca.remove();
  });

  it('publishes every shard before there is a certificate, with the URL of the shard', async () => {
    for (const where of shards()) {
      await settledOn(where, []);
      const { text } = await listed(where);
      assert.match(text, /Issuing Distribution Point: critical/);
      assert.equal(/URI:(\S+)/.exec(text)?.[1], url(where));
      assert.match(text, where === 'arl' ? /Only CA Certificates/ : /Only User Certificates/);
      assert.match(text, /No Revoked Certificates/);
    }
    await settledOn('complete', []);
    assert.doesNotMatch((await listed('complete')).text, /Issuing Distribution Point/);
    const urls = await service.json('crl', 'urls', '--issuer', 'sharded');
    assert.deepEqual(urls.ccadb['JSON Array of Partitioned CRLs'], ['']);
  });

  it('says that there is no such shard, and what keeps a CRL from being published', async () => {
    const unknown = await service.run('crl', 'list', '--issuer', 'sharded', '--shard', '99');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no such CRL/);
    const archive = join(service.data, 'crl');
    renameSync(archive, `${archive}-away`);
    writeFileSync(archive, '');
    await sleep(1100);
    const { code, stderr } = await service.run('crl', 'publish', '--issuer', 'sharded');
    rmSync(archive);
    renameSync(`${archive}-away`, archive);
    assert.equal(code, 1);
    assert.match(stderr, /no CRL was published: ENOTDIR/);
  });

  it('lists each revoked certificate on the CRL that it names, and all of them on the complete one', async () => {
    await record(...[...pairs.values()].flat().map(whole));
    await revoke(...everyRevoked());
    for (const where of shards())
      await settledOn(where, serials([(pairs.get(where) as readonly IssuedFile[])[1] as IssuedFile]));
    await settledOn('complete', everyRevoked());
  });

  it('is judged right by openssl, GnuTLS and Java', async () => {
    const questions: string[] = [];
    for (const [where, [good, revoked]] of pairs) {
      const pem = `${crlFile(where)}.pem`;
      await listed(where);
      await runProgram('openssl', ['crl', '-inform', 'DER', '-in', crlFile(where), '-out', pem]).done;
      const verify = (file: string): string[] =>
        ['verify', '-crl_check', '-CAfile', ca.certificateFile, '-CRLfile', pem, file]; // prettier-ignore
      assert.match((await runProgram('openssl', verify(good.file)).done).stdout, /: OK/);
      assert.match((await runProgram('openssl', verify(revoked.file)).done).stderr, /certificate revoked/);
      // The CRL of another shard says nothing about it.
      if (where === 2) {
        const other = await runProgram('openssl', verify((pairs.get(1) as readonly IssuedFile[])[0]?.file as string))
          .done;
        assert.match(other.stderr, /different CRL scope|unable to get certificate CRL/);
      }
      const certtool = ['--verify-crl', '--load-ca-certificate', ca.certificateFile, '--infile', pem];
      const { code, stdout } = await runProgram('certtool', certtool).done;
      assert.equal(code, 0, stdout);
      assert.match(stdout, /Verified/);
      questions.push(`${where} good\t${good.file}\t${ca.certificateFile}`);
      questions.push(`${where} revoked\t${revoked.file}\t${ca.certificateFile}`);
    }
    const source = resolve(import.meta.dirname, '../../../test/clients/AskCrl.java');
    const args = ['-Dcom.sun.security.enableCRLDP=true', source];
    const { code, stdout, stderr } = await runProgram('java', args, { input: `${questions.join('\n')}\n` }).done;
    assert.equal(code, 0, stderr);
    const said = stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t') as [string, string]);
    assert.equal(said.length, questions.length);
    for (const [question, verdict] of said) {
      if (question.endsWith('good')) assert.equal(verdict, 'good', question);
      else assert.match(verdict, /^REVOKED: Certificate has been revoked, reason: SUPERSEDED/, question);
    }
  });

  it('takes the shard of an event, and else the stated hash; the same event again changes nothing', async () => {
    const event = { serial: '51', notAfter: '2028-01-01T00:00:00Z', crlShard: '3' };
    const byHash = { serial: '52', notAfter: '2028-01-01T00:00:00Z' };
    const first = await record(event, byHash);
    assert.deepEqual(await record({ ...event, crlShard: url(3) }, byHash), first);
    await revoke('51', '52');
    // Not by the program: SHA-256 over octet 52, its first 32 bits modulo 4, from 1.
    const { stdout } = await runProgram('openssl', ['dgst', '-sha256', '-r'], { input: 'R' }).done;
    const shard = 1 + (parseInt(stdout.slice(0, 8), 16) % COUNT);
    await until('both are listed', async () =>
      (await listed(3)).serials.includes('51') && (await listed(shard)).serials.includes('52')); // prettier-ignore
  });

  it('refuses what names a CRL that is not published, and a final certificate that contradicts its precertificate', async () => {
    const [stray] = ca.issue({ urls: { crlUrl: url(99) } }) as [IssuedFile];
    const refused = await service.api('POST', `${ISSUERS}/certificates`, { certificates: [whole(stray)] });
    assert.deepEqual([refused.status, refused.body.value], [422, url(99)]);
    assert.match(refused.body.rule, /P-05/);
    const final = { serial: '51', notAfter: '2028-01-01T00:00:00Z', crlShard: '2' };
    const conflict = await service.api('POST', `${ISSUERS}/certificates`, { certificates: [final] });
    assert.equal(conflict.status, 409);
    assert.match(conflict.body.detail, /recorded on the CRL of shard 3/);
  });

  it('has every serial on one shard, and on the complete CRL', async () => {
    await until('the complete CRL lists them too', async () => (await listed('complete')).serials.includes('52'));
    const onShards = (await Promise.all(shards().map(async (where) => (await listed(where)).serials))).flat();
    assert.equal(new Set(onShards).size, onShards.length, 'a serial stands on two shards');
    const alone = serials([(pairs.get('complete') as readonly IssuedFile[])[1] as IssuedFile]);
    assert.deepEqual([...onShards, ...alone].sort(), (await listed('complete')).serials);
  });

  it('prints what the CCADB must have, notes changes, and forgets them when it is told', async () => {
    const { ccadb, open, problems } = await service.json('crl', 'urls', '--issuer', 'sharded');
    assert.deepEqual(
      ccadb['JSON Array of Partitioned CRLs'],
      [1, 2, 3, 4, 'arl'].map((where) => url(where as Where)),
    );
    assert.match(problems.join(), /has no host/);
    assert.deepEqual(
      open.map(({ change }: { change: string }) => change),
      Array.from({ length: 5 }, () => 'added'),
    );
    // Some of them are revoked already: 4 hours, not 7 days.
    for (const { at, dueBy } of open) assert.ok(Date.parse(dueBy) <= Date.parse(at) + 4 * 3_600_000 + 60_000, dueBy);
    assert.deepEqual(await service.json('crl', 'urls', '--issuer', 'sharded', '--acknowledge'), { acknowledged: 5 });
    assert.deepEqual((await service.json('crl', 'urls', '--issuer', 'sharded')).open, []);
    const feed = await service.api('GET', `${ISSUERS}/crl-urls/changes`);
    assert.equal(feed.type, 'application/x-ndjson');
    assert.equal(feed.body.trim().split('\n').length, 6);
    const forecast = await service.json('crl', 'forecast', '--issuer', 'sharded');
    assert.equal(forecast.scopes.find(({ shard }: { shard: string }) => shard === '').certificates, 14);
    assert.equal(forecast.shardsNeeded, 1);
  });

  it('spreads new certificates alone when the count changes, keeps every shard, and remembers across restarts', async () => {
    const file = join(service.data, 'issuers', 'sharded', 'issuer.yaml');
    const yaml = parse(readFileSync(file, 'utf8')) as { crl: { shards: { count: number } } };
    await service.stop();
    yaml.crl.shards.count = 2;
    writeFileSync(file, stringify(yaml));
    const before = new Map<Where, string[]>();
    await service.start();
    assert.match(service.log, /CRLs are published beyond crl\.shards\.highest/);
    for (const where of wheres()) before.set(where, (await listed(where)).serials);
    // Sent again, and one that the old count has put on shard 3 or 4.
    await record(
      { serial: '51', notAfter: '2028-01-01T00:00:00Z' },
      { serial: '52', notAfter: '2028-01-01T00:00:00Z' },
    );
    const fresh = Array.from({ length: 24 }, (_, i) => ({
      serial: (0x6000 + i).toString(16),
      notAfter: '2028-01-01T00:00:00Z',
    }));
    await record(...fresh);
    await revoke(...fresh.map(({ serial }) => serial));
    await until('they are listed', async () => (await listed('complete')).serials.includes('6017'));
    const [one, two] = [(await listed(1)).serials, (await listed(2)).serials];
    await until('they are on shards 1 and 2', async () =>
      (await listed(1)).serials.length + (await listed(2)).serials.length === before.get(1)!.length + before.get(2)!.length + 24); // prettier-ignore
    assert.ok(one.length + two.length > 0);
    for (const where of [3, 4, 'arl'] as const) assert.deepEqual((await listed(where)).serials, before.get(where));
  });

  it('keeps shards published that are not configured any more, and does not give them another URL', async () => {
    const file = join(service.data, 'issuers', 'sharded', 'issuer.yaml');
    const { crl, ...rest } = parse(readFileSync(file, 'utf8')) as { crl: { shards?: { url: string } } };
    await service.stop();
    const { shards: configured, ...unsharded } = crl;
    writeFileSync(file, stringify({ ...rest, crl: unsharded }));
    await service.start();
    const serialsOf4 = (await listed(4)).serials;
    assert.ok(serialsOf4.length > 0);
    assert.deepEqual((await service.json('crl', 'urls', '--issuer', 'sharded')).open, []);
    await service.stop();
    writeFileSync(
      file,
      stringify({ ...rest, crl: { ...crl, shards: { ...configured, url: service.url('/new/{shard}.crl') } } }),
    );
    // Said before somebody starts it.
    const checked = await service.run('check-config');
    assert.equal(checked.code, 1);
    assert.match(checked.stdout, /T-38 .*no other URL can be that of their CRL/);
    const { code, stderr } = await service.run('serve');
    assert.equal(code, 1);
    assert.match(stderr, /no other URL can be that of their CRL/);
    writeFileSync(file, stringify({ ...rest, crl }));
    assert.doesNotMatch((await service.run('check-config')).stdout, /T-38/);
    await service.start();
    assert.deepEqual((await listed(4)).serials, serialsOf4);
  });
});
