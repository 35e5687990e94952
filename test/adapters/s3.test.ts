import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openS3, type S3Options } from '../../src/adapters/s3/copies.ts';
import { Problem } from '../../src/core/problem.ts';
import type { ArchiveCopies } from '../../src/ports/archive-copies.ts';
import type { CrlSource } from '../../src/ports/crl-archive.ts';
import { ACCESS_KEY, BUCKET, Passage, S3Server, s3Missing, SECRET_KEY } from '../support/s3.ts';
import { runProgram } from '../support/service.ts';

const sourceOf = (octets: Buffer): CrlSource => ({
  octets: octets.length,
  read: (at, length) => Promise.resolve(octets.subarray(at, at + length)),
});
const sha256 = (octets: Buffer): string => createHash('sha256').update(octets).digest('hex');

async function fetched(copies: ArchiveCopies, name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of copies.get(name)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function named(copies: ArchiveCopies, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, octets } of copies.list(prefix)) names.push(`${name} ${octets}`);
  return names.sort();
}

const problem = (code: Problem['code'], message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Problem, String(error));
  assert.equal(error.code, code, error.line);
  assert.match(error.line, message);
  assert.ok(!error.line.includes('\n') && !error.line.includes(SECRET_KEY), error.line);
  return true;
};

for (const conditional of [true, false])
  describe(`S3 whose PUT ${conditional ? 'is' : 'cannot be'} conditional`, { skip: s3Missing }, () => {
    let server: S3Server;
    let copies: ArchiveCopies;
    const options = (more: Partial<S3Options> = {}): S3Options => ({
      endpoint: server.endpoint,
      region: 'us-east-1',
      bucket: BUCKET,
      prefix: 'ca/one/',
      pathStyle: true,
      ca: undefined,
      accessKeyId: ACCESS_KEY,
      secretAccessKey: SECRET_KEY,
      objectLock: undefined,
      ...more,
    });
    before(async () => {
      server = await (conditional ? S3Server.start('conditional') : S3Server.start());
      copies = await openS3(options(), Date.now);
    });
    after(async () => {
      copies?.close();
      await server?.remove();
    });

    it('stores in pieces, gives back, lists below its prefix, removes', async () => {
      const large = randomBytes((3 << 20) + 17);
      assert.equal(await copies.size('crl/a/1.crl'), undefined);
      await copies.put('crl/a/1.crl', sourceOf(large), sha256(large));
      assert.equal(await copies.size('crl/a/1.crl'), large.length);
      assert.deepEqual(await fetched(copies, 'crl/a/1.crl'), large);
      await copies.put('other/2.json', sourceOf(Buffer.from('{}')), sha256(Buffer.from('{}')));
      assert.deepEqual(await named(copies, 'crl/'), [`crl/a/1.crl ${large.length}`]);
      assert.deepEqual(await server.names(), [
        ...(conditional ? ['ca/one/about.txt'] : []),
        'ca/one/crl/a/1.crl',
        'ca/one/other/2.json',
      ]);
      // Another client finds the same octets.
      assert.equal((await server.fetch('ca/one/other/2.json')).toString(), '{}');
      await copies.remove('other/2.json');
      assert.equal(await copies.size('other/2.json'), undefined);
      await assert.rejects(fetched(copies, 'other/2.json'), problem('not-found', /no such object/));
    });

    it('lists more than fits into one answer', async () => {
      const empty = Buffer.from('x');
      // The server of the tests gives 20 at a time.
      const names = Array.from({ length: 45 }, (_, i) => `many/${i}`);
      await Promise.all(names.map((name) => copies.put(name, sourceOf(empty), sha256(empty))));
      assert.deepEqual(await named(copies, 'many/'), names.map((name) => `${name} 1`).sort());
    });

    it('never replaces what is there', async () => {
      const [first, second] = [Buffer.from('first'), Buffer.from('other')];
      await copies.put('once', sourceOf(first), sha256(first));
      await copies.put('once', sourceOf(second), sha256(second));
      assert.deepEqual(await fetched(copies, 'once'), first);
    });

    if (conditional)
      it('not even when somebody is quicker between the look and the PUT', async () => {
        const [theirs, ours] = [Buffer.from('theirs'), Buffer.from('ours')];
        const quicker: CrlSource = {
          octets: ours.length,
          // Read when the PUT is under way: after the look.
          read: async () => {
            await server.overwrite('ca/one/race', theirs);
            return ours;
          },
        };
        await copies.put('race', quicker, sha256(ours));
        assert.deepEqual(await fetched(copies, 'race'), theirs);
      });

    it('is refused what does not have the digest that was signed', async () => {
      const octets = Buffer.from('as they were');
      await assert.rejects(
        copies.put('damaged', sourceOf(Buffer.from('as they are!')), sha256(octets)),
        problem('unavailable', /SHA256|sha256|Sha256|digest/i),
      );
      assert.equal(await copies.size('damaged'), undefined);
    });

    it('says in one line what is wrong with key or bucket', async () => {
      const octets = Buffer.from('x');
      const put = async (more: Partial<S3Options>): Promise<void> => {
        const other = await openS3(options(more), Date.now);
        try {
          await fetched(other, 'once');
          await other.put('y', sourceOf(octets), sha256(octets));
        } finally {
          other.close();
        }
      };
      await assert.rejects(put({ secretAccessKey: 'wrong' }), problem('unavailable', /SignatureDoesNotMatch.*secret/));
      await assert.rejects(
        put({ accessKeyId: 'test:nobody' }),
        problem('unavailable', /SignatureDoesNotMatch|InvalidAccessKeyId/),
      );
      await assert.rejects(
        put({ bucket: 'not-there' }),
        problem('unavailable', /NoSuchBucket.*archive\.copies\.bucket/),
      );
      await assert.rejects(put({ endpoint: 'http://127.0.0.1:1' }), problem('unavailable', /ECONNREFUSED/));
    });

    it('asks for object locks where they are configured', async () => {
      const locked = await openS3(options({ objectLock: { mode: 'COMPLIANCE', forMs: 86_400_000 } }), () => 0);
      const octets = Buffer.from('locked');
      // Swift passes over what it does not know; that the headers are signed and well-formed is what it shows.
      await locked.put('locked', sourceOf(octets), sha256(octets));
      assert.deepEqual(await fetched(copies, 'locked'), octets);
      locked.close();
    });

    it('is found full, away, and back', async () => {
      const octets = randomBytes(1000);
      await server.down();
      await assert.rejects(
        copies.put('later', sourceOf(octets), sha256(octets)),
        problem('unavailable', /ECONNREFUSED/),
      );
      await server.up('full', ...(conditional ? (['conditional'] as const) : []));
      await assert.rejects(copies.put('later', sourceOf(octets), sha256(octets)), problem('unavailable', /./));
      await server.down();
      await server.up(...(conditional ? (['conditional'] as const) : []));
      await copies.put('later', sourceOf(octets), sha256(octets));
      assert.deepEqual(await fetched(copies, 'later'), octets);
    });

    it('may be slow, or break off', async () => {
      const passage = await Passage.to(server.port);
      const through = await openS3(options({ endpoint: `http://127.0.0.1:${passage.port}` }), Date.now);
      const octets = randomBytes(400_000);
      passage.pace = 400_000;
      await through.put('slow', sourceOf(octets), sha256(octets));
      assert.equal(await copies.size('slow'), octets.length);
      passage.pace = 0;
      const cut = assert.rejects(through.put('cut', sourceOf(octets), sha256(octets)), problem('unavailable', /./));
      setTimeout(() => passage.cut(), 50);
      await cut;
      assert.equal(await copies.size('cut'), undefined);
      through.close();
      await passage.close();
    });
  });

describe('S3 over TLS', { skip: s3Missing }, () => {
  it('is trusted by the CA file that is configured, and by no other', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'certstatus-s3-tls-'));
    const server = await S3Server.start();
    const { stdout: pem } = await runProgram('openssl', [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        '-',
        '-days',
        '2',
      ],
      ...['-subj', '/CN=storage', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ]).done;
    const passage = await Passage.to(server.port, { key: pem, cert: pem });
    const ca = join(directory, 'ca.pem');
    writeFileSync(ca, pem.slice(pem.indexOf('-----BEGIN CERTIFICATE')));
    const options = {
      endpoint: `https://127.0.0.1:${passage.port}`,
      region: 'us-east-1',
      bucket: BUCKET,
      prefix: '',
      pathStyle: true,
      accessKeyId: ACCESS_KEY,
      secretAccessKey: SECRET_KEY,
      objectLock: undefined,
    };
    const [trusting, other] = [
      await openS3({ ...options, ca }, Date.now),
      await openS3({ ...options, ca: undefined }, Date.now),
    ];
    const octets = Buffer.from('over TLS');
    await assert.rejects(other.put('tls', sourceOf(octets), sha256(octets)), problem('unavailable', /certificate/i));
    await trusting.put('tls', sourceOf(octets), sha256(octets));
    assert.deepEqual(await fetched(trusting, 'tls'), octets);
    await assert.rejects(openS3({ ...options, ca: join(directory, 'none') }, Date.now), problem('config', /ENOENT/));
    trusting.close();
    other.close();
    await passage.close();
    await server.remove();
    rmSync(directory, { recursive: true });
  });
});
