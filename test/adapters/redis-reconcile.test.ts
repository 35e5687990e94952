/**
 * Ledger = OCSP = CRL over a real Redis, by a process that has no archive and the rights of a monitor: Redis hands the ledger over in no
 * order. openssl says which serials the CRL has.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { FileJournal } from '../../src/adapters/journal/file-journal.ts';
import { RedisStore } from '../../src/adapters/redis/store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import { completeCrl, type CrlRecord } from '../../src/core/certificate.ts';
import type { ReconcileReport } from '../../src/core/reconcile/report.ts';
import { DAY, wholeSecond } from '../../src/core/time.ts';
import { IssuerCrls } from '../../src/flows/crl/issuer-crls.ts';
import { flowMetrics } from '../../src/flows/metrics.ts';
import { reconcile } from '../../src/flows/monitor/reconcile.ts';
import type { Change } from '../../src/ports/store.ts';
import { all, certificate } from '../contracts/store-records.ts';
import { makeIssuer, serials } from '../flows/support-service.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';

const ACL = resolve(import.meta.dirname, '../../../deploy/redis/users.acl');
const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const [ISSUED, REVOKED] = [2000, 700];

describe('reconcile over Redis, apart from the signer', { skip: needsRedis }, () => {
  const root = mkdtempSync(join(tmpdir(), 'redis-reconcile-'));
  const at = makeIssuer();
  const { tag } = at.served;
  const NOW = wholeSecond(Date.now());
  const issued = serials(ISSUED);
  const undo: (() => Promise<unknown> | void)[] = [];
  let server: RedisServer;
  let intake: RedisStore;
  let monitor: RedisStore;
  let crl: CrlRecord;

  before(async () => {
    const users = join(root, 'users.acl');
    const text = readFileSync(ACL, 'utf8').replace(/^(user (?:certstatus-)?(\w+) on #)0{64} /gm, (_line, start, name) => `${String(start)}${createHash('sha256').update(String(name)).digest('hex')} `); // prettier-ignore
    writeFileSync(users, text);
    server = await startRedis({ acl: users });
    intake = await open('intake');
    await intake.vouch();
    const state = (n: number): Change => ({
      certificate: certificate(0, 1, {
        issuer: tag,
        serial: issued[n] as (typeof issued)[number],
        notAfter: NOW + 90 * DAY,
        recordedAt: NOW,
        ...(n < REVOKED && { revision: 2, revocation: { revokedAt: NOW, reason: n % 2 ? 'superseded' : undefined } }),
      }),
      lane: undefined,
    });
    await intake.replay(Array.from({ length: ISSUED }, (_, n) => state(n)), 1); // prettier-ignore
    const signer = await open('signer', new FileCrlArchive(join(root, 'crl')));
    const journal = await FileJournal.open(join(root, 'audit'), systemClock);
    const crls = new IssuerCrls(at, signer, journal, systemClock, LOG, flowMetrics().crl(at.served.id));
    undo.push(() => journal.close(), () => crls.stop()); // prettier-ignore
    crl = await crls.publishNow();
    monitor = await open('monitor');
  });
  after(async () => {
    for (const step of undo.reverse()) await step();
    await server.remove();
    rmSync(root, { recursive: true, force: true });
  });

  async function open(role: 'intake' | 'signer' | 'monitor', archive?: FileCrlArchive): Promise<RedisStore> {
    const store = await RedisStore.open({
      redis: await server.client({ username: `certstatus-${role}`, password: role }),
      name: role,
      intakes: ['intake'],
      journals: role === 'intake',
      issuers: [tag],
      archive,
      certificates: ISSUED,
      replicas: 0,
    });
    undo.push(() => store.close());
    return store;
  }

  /** Answers are not signed here. */
  const compared = async (mostHeld?: number): Promise<ReconcileReport['listed']> => {
    const options = { issuers: [at.served], limit: 10_000, share: 1, actor: 'test', ...(mostHeld && { mostHeld }) };
    const { listed } = await reconcile({ store: monitor, journal: undefined, clock: systemClock }, options);
    return listed.filter(({ channel }) => channel !== 'ocsp');
  };

  it('finds no difference between the ledger and the CRL, at once and in several passes', async () => {
    const der = await monitor.body(crl);
    const text = execFileSync('openssl', ['crl', '-inform', 'DER', '-noout', '-text'], {
      input: der,
      encoding: 'utf8',
    });
    const onCrl = [...text.matchAll(/Serial Number: ([0-9A-F]+)/g)].map(([, serial = '']) => serial.toLowerCase());
    assert.deepEqual(onCrl.sort(), issued.slice(0, REVOKED).sort());
    const order = (await all(monitor.certificates(tag))).map(({ serial }) => serial);
    assert.notDeepEqual(order, [...order].sort(), 'the ledger comes in no order');
    assert.deepEqual(await compared(), []);
    assert.deepEqual(await compared(100), []);
  });

  it('names what the CRL does not list, and what it lists and the ledger has not', async () => {
    const late = { revokedAt: NOW - DAY, reason: undefined };
    const serial = issued[REVOKED] as (typeof issued)[number];
    const state = certificate(0, 2, { issuer: tag, serial, notAfter: NOW + 90 * DAY, recordedAt: NOW - DAY, revision: 2, revocation: late }); // prettier-ignore
    await intake.replay([{ certificate: state, lane: undefined }], 2);
    const admin = await server.client({ username: 'operator', password: 'operator' });
    const lost = issued[0] as (typeof issued)[number];
    for (const key of await admin.keys(`cs1:{${tag}}:b:*`)) await admin.hdel(key, Buffer.from(lost, 'hex'));
    admin.disconnect();
    assert.deepEqual(
      (await compared()).map(({ serial: of, rule }) => `${of} ${rule}`).sort(),
      [`${serial} C-18, B-14`, `${lost} SR-2.2-a`].sort(),
    );
  });

  it('reads the CRL that has taken the place of another meanwhile', async () => {
    const current = monitor.current.bind(monitor);
    let asked = 0;
    // The first answers are of a CRL that Redis has let go of.
    monitor.current = async (scope) => {
      const record = await current(scope);
      return record && ++asked <= 2 ? { ...record, number: record.number - 1n } : record;
    };
    try {
      const listed = await compared();
      assert.deepEqual(listed.filter(({ channel }) => channel === 'archive'), []); // prettier-ignore
      assert.equal((await current(completeCrl(tag)))?.number, crl.number);
    } finally {
      Object.assign(monitor, { current });
    }
  });
});
