import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Metrics } from '../support/metrics.ts';
import { ACCESS_KEY, BUCKET, S3Server, s3Missing, SECRET_KEY } from '../support/s3.ts';
import { runProgram, Service, until } from '../support/service.ts';

const PREFIX = 'ca/';
const sha256 = (octets: Uint8Array): string => createHash('sha256').update(octets).digest('hex');

interface Listed {
  readonly issuer: string;
  readonly shard: string;
  readonly verdict: string;
  readonly missing: readonly string[];
  readonly crls: readonly { readonly number: string; readonly sha256: string; readonly link: string }[];
}

describe('the archive and its copies', { skip: s3Missing }, () => {
  let server: S3Server;
  let service: Service;
  const list = async (): Promise<Listed> => {
    const { stdout } = await service.run('--json', 'archive', 'list', '--issuer', 'demo');
    const listed = JSON.parse(stdout) as Listed[];
    return listed.find(({ shard }) => shard === 'complete') as Listed;
  };
  const gauge = async (name: string): Promise<number> => {
    const metrics = await Metrics.of(service.ports.admin);
    return metrics.has(name) ? metrics.sum(name) : NaN;
  };
  const publish = async (): Promise<void> => {
    const { code, stderr } = await service.run('crl', 'publish', '--issuer', 'demo');
    assert.equal(code, 0, stderr);
  };
  const copied = (): Promise<void> =>
    until('everything is copied', async () => (await gauge('certstatus_archive_copies_waiting')) === 0);
  const objectOf = ({ issuer }: Listed, crl: Listed['crls'][number] | undefined): string =>
    `${PREFIX}crl/${issuer}/complete/${crl?.number}-${crl?.sha256}.crl`;
  const fileOf = ({ issuer }: Listed, crl: Listed['crls'][number] | undefined): string =>
    join(service.data, 'crl', issuer, `${crl?.number}.crl`);

  before(async () => {
    server = await S3Server.start('conditional');
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
    mkdirSync(join(service.data, 's3'));
    writeFileSync(join(service.data, 's3', 'access-key'), `${ACCESS_KEY}\n`);
    writeFileSync(join(service.data, 's3', 'secret-key'), `${SECRET_KEY}\n`);
    const file = join(service.data, 'certstatus.yaml');
    const copies = `\n  copies:\n    endpoint: ${server.endpoint}\n    bucket: ${BUCKET}\n    prefix: ${PREFIX}\n    pathStyle: true\n    accessKeyId: { file: s3/access-key }\n    secretAccessKey: { file: s3/secret-key }\n`;
    const yaml = readFileSync(file, 'utf8');
    if (/^archive:/m.test(yaml)) writeFileSync(file, yaml.replace(/^( {2}verifyEvery: .*)$/m, `$1${copies.trimEnd()}`));
    else appendFileSync(file, `\narchive:${copies}`);
    await service.start('--demo');
  });
  after(async () => {
    await service?.remove();
    await server?.remove();
  });

  it('holds every CRL in both places, and the certificates, soon after it was published', async () => {
    await publish();
    await publish();
    await copied();
    const listed = await list();
    assert.match(listed.verdict, /^unbroken: \d+ CRLs from /);
    assert.ok(listed.crls.length >= 3 && listed.crls.slice(1).every(({ link }) => link === 'named'), listed.verdict);
    for (const crl of listed.crls) {
      const octets = await server.fetch(objectOf(listed, crl));
      assert.equal(sha256(octets), crl.sha256);
      assert.deepEqual(octets, readFileSync(fileOf(listed, crl)));
      const path = join(service.directory, 'copy.crl');
      writeFileSync(path, octets);
      const args = [
        'crl',
        '-inform',
        'DER',
        '-in',
        path,
        '-noout',
        '-crlnumber',
        '-CAfile',
        service.demo.ca,
        '-verify',
      ];
      const { stdout, stderr } = await runProgram('openssl', args).done;
      const said = /crlNumber=(?:0x)?([0-9A-F]+)/i.exec(stdout)?.[1];
      assert.equal(BigInt(`0x${said}`), BigInt(crl.number));
      assert.match(`${stdout}${stderr}`, /verify OK/);
    }
    const certificates = (await server.names()).filter((name) => name.startsWith(`${PREFIX}certificates/`));
    assert.equal(certificates.length, 2);
    const digests = await Promise.all(certificates.map(async (name) => sha256(await server.fetch(name))));
    assert.ok(certificates.every((name, i) => name.endsWith(`${digests[i]}.cer`)));
  });

  it('goes on publishing while the other side is away, and copies when it is back', async () => {
    await server.down();
    await publish();
    await publish();
    await until('the lag shows', async () => {
      const waiting = await gauge('certstatus_archive_copies_waiting');
      return waiting === 2 && (await gauge('certstatus_archive_copy_lag_seconds')) > 1;
    });
    assert.equal(service.log.match(/the archive cannot be copied/g)?.length, 1);
    assert.ok(!service.log.includes(SECRET_KEY));
    await server.up('conditional');
    await copied();
    assert.equal(await gauge('certstatus_archive_copy_lag_seconds'), 0);
    const listed = await list();
    for (const crl of listed.crls) assert.equal(sha256(await server.fetch(objectOf(listed, crl))), crl.sha256);
  });

  it('finds what was altered in either place, and mends it from the other', async () => {
    assert.match((await service.run('archive', 'verify')).stdout, /^verified /);
    const listed = await list();
    const [first, second, third] = listed.crls;
    // Here one bit, there another CRL under the name, and a third that is gone.
    const damaged = readFileSync(fileOf(listed, first));
    damaged[damaged.length - 1] = (damaged.at(-1) as number) ^ 1;
    writeFileSync(fileOf(listed, first), damaged);
    await server.overwrite(objectOf(listed, second), await server.fetch(objectOf(listed, first)));
    await server.delete(objectOf(listed, third));

    const found = await service.run('archive', 'verify');
    assert.equal(found.code, 1, found.stdout);
    assert.match(found.stdout, new RegExp(`WRONG +archive .*/${first?.number}\\.crl: its SHA-256`));
    assert.match(found.stdout, new RegExp(`WRONG +copy .*/${second?.number}-.*: its SHA-256`));
    assert.match(found.stdout, new RegExp(`WRONG +copy .*/${third?.number}-.*: it is not there`));
    const status = JSON.parse((await service.get('/status.json', 'admin')).body.toString()) as { archive: object };
    assert.equal((status.archive as { problems: number }).problems, 3);

    const mended = await service.run('archive', 'verify', '--repair');
    assert.equal(mended.code, 0, mended.stdout);
    assert.match(mended.stdout, /3 mended/);
    assert.equal(sha256(readFileSync(fileOf(listed, first))), first?.sha256);
    assert.equal(sha256(await server.fetch(objectOf(listed, second))), second?.sha256);
    assert.ok(readdirSync(join(service.data, 'crl', listed.issuer)).some((name) => name.includes('.damaged-')));
    const again = await service.run('archive', 'verify');
    assert.equal(again.code, 0, again.stdout);
    const records = await service.run('audit', 'export', '--type', 'archive.verified');
    assert.equal(records.stdout.trim().split('\n').length, 4);
  });

  it('says which CRL is missing', async () => {
    const listed = await list();
    const gone = listed.crls[1];
    const [crl, json] = [fileOf(listed, gone), fileOf(listed, gone).replace(/crl$/, 'json')];
    const [octets, record] = [readFileSync(crl), readFileSync(json)];
    rmSync(crl);
    rmSync(json);
    const { code, stdout } = await service.run('archive', 'list', '--issuer', 'demo');
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`MISSING CRL ${gone?.number}, which CRL ${listed.crls[2]?.number} replaced`));
    writeFileSync(crl, octets);
    writeFileSync(json, record);
    assert.match((await list()).verdict, /^unbroken/);
  });

  it('keeps what has no retention, and says so', async () => {
    const { code, stdout } = await service.run('archive', 'prune', '--issuer', 'demo', '--remove');
    assert.equal(code, 0);
    assert.match(stdout, /^0 CRLs dropped/);
  });

  it('brings everything back onto a machine that has lost archive and ledger', async () => {
    const before = await list();
    assert.equal(await service.stop(), 0);
    for (const name of readdirSync(service.data))
      if (!['audit', 'issuers', 'intake', 's3', 'certstatus.yaml'].includes(name))
        rmSync(join(service.data, name), { recursive: true });
    assert.ok(!existsSync(join(service.data, 'crl')));

    const apart = join(service.directory, 'apart');
    const elsewhere = await service.run('archive', 'restore', '--out', apart);
    assert.equal(elsewhere.code, 0, elsewhere.stderr);
    assert.ok(!existsSync(join(service.data, 'crl')));
    const restored = await service.run('archive', 'restore');
    assert.equal(restored.code, 0, `${restored.stdout}${restored.stderr}`);
    assert.match(restored.stdout, new RegExp(`^restored ${before.crls.length} CRLs and 2 certificates`));
    assert.match(
      (await service.run('archive', 'restore')).stdout,
      new RegExp(`^restored 0 .*${before.crls.length} were there`),
    );
    assert.deepEqual((await list()).crls, before.crls);

    await service.start('--demo');
    await publish();
    const after = await list();
    assert.match(after.verdict, /^unbroken/);
    assert.deepEqual(after.crls.slice(0, before.crls.length), before.crls);
    const numbers = after.crls.map(({ number }) => BigInt(number));
    assert.ok(
      numbers.every((number, i) => i === 0 || number > (numbers[i - 1] as bigint)),
      numbers.join(),
    );
    assert.equal(after.crls[before.crls.length]?.link, 'named');
    await copied();
    assert.equal((await service.run('archive', 'verify')).code, 0);
    // Nothing is lost: what was revoked before is revoked.
    const serial = new X509Certificate(readFileSync(service.demo.revoked)).serialNumber.toLowerCase();
    const { status } = (await service.json('status', '--issuer', 'demo', '--serial', serial)) as { status: string };
    assert.equal(status, 'revoked');
  });
});
