/** The store itself, opened by the users of deploy/redis/users.acl: each is allowed everything that its role does. */
import { publishCrl } from '../contracts/store-records.ts';
import { completeCrl } from '../../src/core/certificate.ts';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { RedisStore } from '../../src/adapters/redis/store.ts';
import type { Certificate, CrlRecord, IssuerTag, Lane, PublishedResponse } from '../../src/core/certificate.ts';
import { certificateKey } from '../../src/core/precedence.ts';
import { serialFromHex, type Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, wholeSecond } from '../../src/core/time.ts';
import type { QueueItem } from '../../src/ports/store.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { until } from '../support/service.ts';

const shipped = resolve(import.meta.dirname, '../../../deploy/redis');
const tag = '0a0b0c0d' as IssuerTag;
const [first, second, third] = ['01', '02', '03'].map((hex) => serialFromHex(hex)) as [Serial, Serial, Serial];
const NOW = wholeSecond(Date.now());

describe('the store with the users of deploy/redis/users.acl', { skip: needsRedis }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-redis-users-'));
  let server: RedisServer;
  const stores = {} as Record<'intake' | 'signer' | 'responder' | 'monitor', RedisStore>;
  before(async () => {
    const acl = join(directory, 'users.acl');
    const text = readFileSync(join(shipped, 'users.acl'), 'utf8');
    // Each user's password is its name.
    const known = text.replace(/^(user (?:certstatus-)?(\w+) on #)0{64} /gm, (_line, start: string, name: string) => {
      return `${start}${createHash('sha256').update(name).digest('hex')} `;
    });
    writeFileSync(acl, known);
    server = await startRedis({ configFile: join(shipped, 'redis.conf'), acl });
    for (const user of ['intake', 'signer', 'responder', 'monitor'] as const) {
      stores[user] = await RedisStore.open({
        redis: await server.client({ username: `certstatus-${user}`, password: user }),
        name: user,
        intakes: ['intake'],
        journals: user === 'intake',
        issuers: [tag],
        ...(user === 'signer' ? { archive: new FileCrlArchive(join(directory, 'crl')) } : {}),
        certificates: 1000,
        replicas: 0,
      });
      if (user !== 'intake') continue;
      await stores.intake.appliedSeq();
      await stores.intake.vouch();
    }
  });
  after(async () => {
    for (const store of Object.values(stores)) await store.close();
    await server.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('an intake records, replays and revokes', async () => {
    const { intake } = stores;
    const recorded = [first, second].map((serial) => ({ certificate: certificate(serial), lane: 'issue' as const }));
    assert.equal(await intake.apply(recorded, 1, new Map()), 'applied');
    await intake.replay([{ certificate: certificate(third), lane: 'issue' }], 2);
    const [good] = await intake.find(tag, [third]);
    assert.ok(good !== undefined);
    const revocation = { revokedAt: NOW, reason: 'keyCompromise' as const };
    const change = { certificate: { ...good, revision: 2, revocation }, lane: 'revocation' as const };
    assert.equal(await intake.apply([change], 3, new Map([[certificateKey(good), good]])), 'applied');
  });

  it('a signer takes, publishes, gives back, drops and retires', async () => {
    const { signer } = stores;
    const [one, two] = (await take('issue')) as [QueueItem, QueueItem];
    assert.deepEqual(await signer.publish([{ item: one, response: response(one.serial) }]), ['published']);
    await signer.postpone([two], NOW);
    await signer.retire(await take('issue'));
    await signer.drop(await take('revocation'));
    for await (const page of signer.revokedEntries(completeCrl(tag)).pages)
      assert.deepEqual(
        page.map(({ serial }) => serial),
        [third],
      );
  });

  it('a signer publishes CRLs and responder certificates', async () => {
    const { signer } = stores;
    assert.equal(await signer.claimCrl(tag), true);
    const number = await signer.reserveNumber(completeCrl(tag), 1n);
    assert.equal(await publishCrl(signer, crl(number), CRL, undefined), true);
    assert.equal((await signer.restoreCrl(completeCrl(tag)))?.number, number);
    const shard = { issuer: tag, shard: '1' };
    for (const [next, previous] of [[7n], [8n, 7n]] as const) {
      const der = Buffer.from(`3003020${next}`, 'hex');
      const sha256 = createHash('sha256').update(der).digest('hex');
      const record = { ...crl(next), ...shard, bytes: der.length, sha256 };
      assert.equal(await publishCrl(signer, record, der, previous), true, 'the octets of the one before expire');
    }
    await signer.addResponder(tag, CRL);
  });

  for (const user of ['responder', 'monitor'] as const)
    it(`a ${user} reads all of it`, async () => {
      const store = stores[user];
      await until('it has heard of everything', () => store.failure === undefined);
      assert.equal((await store.lookup(tag, first)).kind, 'published');
      assert.equal((await store.lookup(tag, serialFromHex('7f'))).kind, 'unknown');
      assert.deepEqual(await store.responders(tag), [CRL]);
      const current = await store.current(completeCrl(tag));
      assert.ok(current !== undefined);
      assert.deepEqual(await store.body(current), CRL);
      let certificates = 0;
      for await (const page of store.certificates(tag)) certificates += page.length;
      assert.equal(certificates, 3);
      for await (const record of store.list(completeCrl(tag))) assert.equal(record.number, 1n);
      await assert.rejects(store.addResponder(tag, Buffer.from('other')));
    });

  it('a signer hears what a responder asks for', async () => {
    const heard = new Promise<string>((done) => stores.signer.onAsk((_issuer, serial) => done(serial)));
    // The subscription takes a moment, and a call that nobody hears is lost.
    const calling = setInterval(() => stores.responder.ask(tag, first), 100);
    assert.equal(await heard.finally(() => clearInterval(calling)), first);
  });

  it('a responder is answered when it brings a nonce', async () => {
    const nonce = Buffer.alloc(32, 1);
    const { responder: by, signatures, ...said } = response(first);
    const answer = { ...said, responder: by, signature: signatures.sha1 };
    stores.signer.onLive({ able: () => true, answer: () => Promise.resolve(answer) });
    await until('it is answered', async () => {
      const found = await stores.responder.askLive({ issuer: tag, serial: first, hash: 'sha1', nonce }, 200);
      return typeof found === 'object' && signatures.sha1.every((octet, i) => found.signature[i] === octet);
    });
  });

  const take = (lane: Lane): Promise<readonly QueueItem[]> => stores.signer.takeDue(lane, NOW + HOUR, 10);
});

function certificate(serial: Serial): Certificate {
  return {
    issuer: tag,
    serial,
    revision: 1,
    notBefore: NOW - HOUR,
    notAfter: NOW + 90 * DAY,
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: undefined,
    revocation: undefined,
    recordedAt: NOW,
    recordedSeq: 0,
  };
}

function response(serial: Serial): PublishedResponse {
  return {
    issuer: tag,
    serial,
    revision: 1,
    revocation: undefined,
    thisUpdate: NOW,
    nextUpdate: NOW + 4 * DAY,
    refreshAt: NOW + DAY,
    publishedAt: NOW,
    responder: '00112233',
    signatures: { sha1: Buffer.alloc(256, 1), sha256: Buffer.alloc(256, 2) },
  };
}

const CRL = Buffer.from('30030a0100', 'hex');
function crl(number: bigint): CrlRecord {
  return {
    ...completeCrl(tag),
    number,
    thisUpdate: NOW,
    nextUpdate: NOW + DAY,
    publishedAt: NOW,
    kind: 'scheduled',
    scheduledAt: NOW,
    scheduledAsOfSeq: 1,
    entries: 0,
    bytes: CRL.length,
    sha256: createHash('sha256').update(CRL).digest('hex'),
    asOfSeq: 1,
  };
}
