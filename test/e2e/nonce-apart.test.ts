/**
 * Nonces where the roles run apart: the responder has no key, so a signer makes each answer and it comes back over the Redis (P7).
 * OpenSSL decides whether the nonce is right.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDocument } from 'yaml';
import { Fleet } from '../support/fleet.ts';
import { exchange } from '../support/http.ts';
import type { Member } from '../support/member.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { freePorts, runProgram, until, type Ran } from '../support/service.ts';

const COUNTS = { intakes: 1, signers: 2, responders: 1 } as const;
const SERIAL = '5a000000000000000000000000009654';

describe('nonces, live, with the roles apart', { skip: needsRedis }, () => {
  let redis: RedisServer;
  let fleet: Fleet;
  before(async () => {
    redis = await startRedis();
    fleet = await Fleet.create({
      directory: mkdtempSync(join(tmpdir(), 'certstatus-fleet-')),
      ports: await freePorts(3 * Fleet.names(COUNTS).length),
      store: () => ({ host: '127.0.0.1', port: redis.port, certificates: 10_000 }),
      ...COUNTS,
    });
    for (const { directory } of fleet.members) {
      const file = join(directory, 'issuers', 'demo', 'issuer.yaml');
      const document = parseDocument(readFileSync(file, 'utf8'));
      document.setIn(['ocsp', 'nonce'], 'live');
      document.setIn(['ocsp', 'live'], { perSecond: 500 });
      writeFileSync(file, document.toString());
    }
    await fleet.start();
    await post('certificates', { certificates: [{ serial: SERIAL, notAfter: '2027-06-01T00:00:00Z' }] });
    await until('it is good', async () => (await ocsp()).stdout.includes(': good'), 20_000, 50);
  });
  after(async () => {
    await fleet?.kill();
    fleet?.remove();
    await redis?.remove();
  });

  const post = async (what: string, body: unknown): Promise<void> => {
    const { status } = await fleet.api(fleet.intakes[0] as Member, 'POST', `/v1/issuers/demo/${what}`, body);
    assert.equal(status, 200);
  };
  const responder = (): Member => fleet.responders[0] as Member;
  const ocsp = (...more: readonly string[]): Promise<Ran> => {
    const ca = fleet.demoFile('ca.pem');
    const url = `http://127.0.0.1:${responder().ports.public}/OcspServer`;
    const args = ['ocsp', '-issuer', ca, '-CAfile', ca, '-url', url, '-resp_text', ...more, '-serial', `0x${SERIAL}`];
    return runProgram('openssl', args).done;
  };
  const echoed = ({ stdout, stderr }: Ran): boolean => {
    assert.match(stderr, /Response verify OK/);
    return /OCSP Nonce/.test(stdout) && !/nonce/i.test(stderr);
  };

  for (const hash of ['-sha1', '-sha256'])
    it(`openssl ocsp ${hash} finds its nonce`, async () => {
      await until('a signer hears', async () => echoed(await ocsp(hash)), 20_000, 50);
      const said = await ocsp(hash);
      assert.ok(echoed(said), said.stderr);
      assert.match(said.stdout, /: good/);
    });

  it('an answer with a nonce that is asked for after the acknowledgement of a revocation never says good (P2)', async () => {
    await post('revocations', { revocations: [{ serial: SERIAL, reason: 'keyCompromise' }] });
    let withNonce = 0;
    await until('three answers came with their nonce', async () => {
      const said = await ocsp();
      if (!echoed(said)) return false;
      assert.match(said.stdout, /: revoked/);
      withNonce += 1;
      return withNonce === 3;
    }, 20_000, 10); // prettier-ignore
  });

  it('each is in the audit log of the signer that made it, and each log holds (P8)', async () => {
    let live = 0;
    for (const signer of fleet.signers) {
      live +=
        (await signer.run('audit', 'show', '--serial', SERIAL)).stdout.split('for one request with a nonce').length - 1;
      const verified = await signer.run('audit', 'verify');
      assert.equal(verified.code, 0, verified.stdout + verified.stderr);
    }
    const { body } = await exchange({ port: responder().ports.admin, path: '/metrics' });
    const signed = Number(/^certstatus_live_answers_total\{outcome="signed"\} (\d+)$/m.exec(body.toString())?.[1]);
    assert.ok(signed >= 7, `${signed} came`);
    assert.ok(live >= signed, `${live} of ${signed}`);
  });

  it('without a signer OpenSSL gets the pre-signed answer, and warns that there is no nonce', async () => {
    await Promise.all(fleet.signers.map((signer) => signer.kill()));
    for (let i = 0; i < 3; i++) {
      const said = await ocsp();
      assert.equal(said.code, 0, said.stderr);
      assert.match(said.stdout, /: revoked/);
      assert.match(said.stderr, /Response verify OK/);
      assert.match(said.stderr, /no nonce in response/);
    }
  });
});
