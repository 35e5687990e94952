/** A monitor in a process of its own, with its own rights in Redis and no archive, compares ledger, answers and CRLs. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import type { Member } from '../support/member.ts';
import { Metrics } from '../support/metrics.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { freePorts, until } from '../support/service.ts';

const ACL = resolve(import.meta.dirname, '../../../deploy/redis/users.acl');
const passwordOf = (role: string): string => `password-of-${role}`;
const SERIALS = Array.from({ length: 120 }, (_, i) => `4a${createHash('sha256').update(String(i)).digest('hex').slice(0, 30)}`); // prettier-ignore
const REVOKED = SERIALS.slice(0, 40);

describe('a monitor apart from the signer', { skip: needsRedis }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-monitor-'));
  let redis: RedisServer;
  let fleet: Fleet;
  let monitor: Member;

  before(async () => {
    const acl = join(directory, 'users.acl');
    writeFileSync(
      acl,
      readFileSync(ACL, 'utf8').replace(
        /^(user certstatus-(\w+) on #)0{64} /gm,
        (_line, start, role) => `${String(start)}${createHash('sha256').update(passwordOf(String(role))).digest('hex')} `, // prettier-ignore
      ),
    );
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
    });
    monitor = fleet.monitors[0] as Member;
    const others = fleet.members.filter((member) => member !== monitor);
    await Promise.all(others.map((member) => member.start()));
    await fleet.whenReliable();
  });
  after(async () => {
    await fleet?.kill();
    await redis?.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it('finds that all agree in its first run', async () => {
    const intake = fleet.intakes[0] as Member;
    const certificates = SERIALS.map((serial) => ({ serial, notBefore: '2026-01-01T00:00:00Z', notAfter: '2030-01-01T00:00:00Z' })); // prettier-ignore
    const issued = await fleet.api(intake, 'POST', '/v1/issuers/demo/certificates', { certificates });
    assert.equal(issued.status, 200, JSON.stringify(issued.body));
    const revoked = await fleet.api(intake, 'POST', '/v1/issuers/demo/revocations', { revocations: REVOKED.map((serial) => ({ serial })) }); // prettier-ignore
    assert.equal(revoked.status, 200, JSON.stringify(revoked.body));
    const signer = fleet.signers[0] as Member;
    const published = await signer.run('crl', 'publish', '--issuer', 'demo');
    assert.equal(published.code, 0, published.stderr);
    await until('every answer is signed', async () => {
      const status = await signer.status();
      return status !== undefined && status.lanes.every(({ waiting }) => waiting === 0);
    });
    await monitor.start();
    await monitor.whenReliable();
    let metrics = await Metrics.of(monitor.ports.admin);
    await until(
      'its first run is over',
      async () => {
        metrics = await Metrics.of(monitor.ports.admin);
        return metrics.has('certstatus_reconcile_differences');
      },
      20_000,
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${monitor.log.slice(-3000)}`);
    });
    const counted = /"msg":"(difference \d+ at [^"]*)"/.exec(monitor.log)?.[1] ?? monitor.log;
    assert.equal(metrics.sum('certstatus_reconcile_differences'), 0, monitor.log.slice(-3000));
    assert.ok(metrics.has('certstatus_certificates_without_answer'));
    assert.equal(metrics.sum('certstatus_certificates_without_answer', { issuer: 'demo' }), 0);
    assert.match(counted, /: 120 certificates, 40 revoked, 1 CRL/, 'all of them were looked at');
  });
});
