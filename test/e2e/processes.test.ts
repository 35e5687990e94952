/**
 * Several responder processes behind one port: the same answers from each of them, no `good` from any after a revocation was
 * acknowledged, and no harm when one of them, or the first process, is killed. Embedded store and a real Redis.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDocument } from 'yaml';
import { hasReusePort } from '../../src/adapters/processes/port-share.ts';
import type { HttpAnswer } from '../support/http.ts';
import { getPath, ocspRequest, readAnswer, readCrl, plainSerial } from '../support/ocsp-client.ts';
import { seedFrom } from '../support/random.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';
import { freePorts, Service, until, type Ports } from '../support/service.ts';

const CRL = '/SureServer/demo/cdp.crl';
const CERTIFICATES = '/v1/issuers/demo/certificates';
const REVOCATIONS = '/v1/issuers/demo/revocations';
type Listener = 'public' | 'origin';
const LISTENERS: readonly Listener[] = ['public', 'origin'];

interface ProcessStatus {
  readonly index: number;
  readonly state: string;
  readonly pid?: number;
  readonly restarts: number;
}

const { random, seed } = seedFrom('CERTSTATUS_TEST_SEED');

for (const kind of ['embedded', 'redis'] as const) {
  describe(`2 responder processes, ${kind} store`, { skip: kind === 'redis' && needsRedis }, () => {
    let service: Service;
    let redis: RedisServer | undefined;

    before(async () => {
      service = await Service.create();
      assert.equal((await service.run('init', '--demo')).code, 0);
      if (kind === 'redis') redis = await startRedis();
      const file = join(service.data, 'certstatus.yaml');
      const document = parseDocument(readFileSync(file, 'utf8'));
      document.setIn(['responder', 'processes'], 2);
      if (redis !== undefined)
        document.set('store', { redis: { host: '127.0.0.1', port: redis.port, intakes: ['certstatus'] } });
      writeFileSync(file, document.toString());
      await service.start();
      await serves(2);
      await reliable();
    });
    after(async () => {
      await service?.remove();
      await redis?.remove();
    });

    async function processes(): Promise<readonly ProcessStatus[]> {
      const { body } = await service.get('/status.json', 'admin');
      return (JSON.parse(body.toString()) as { processes: readonly ProcessStatus[] }).processes;
    }

    const serves = (count: number): Promise<void> =>
      until(`${count} processes serve`, async () => {
        const list = await processes();
        return list.filter(({ state }) => state === 'serving').length === count;
      }, 20_000); // prettier-ignore

    const reliable = (): Promise<void> =>
      until(
        'the store is relied on',
        async () => {
          const { body } = await service.get('/status.json', 'admin');
          return (JSON.parse(body.toString()) as { storeFailure?: string }).storeFailure === undefined;
        },
        20_000,
      );

    async function issue(): Promise<string> {
      const serial = random.serial();
      const body = { certificates: [{ serial, notAfter: '2027-06-01T00:00:00Z' }] };
      assert.equal((await service.api('POST', CERTIFICATES, body)).status, 200);
      return serial;
    }

    async function revoke(serial: string): Promise<string> {
      const { status, body } = await service.api('POST', REVOCATIONS, {
        revocations: [{ serial, reason: 'superseded' }],
      });
      assert.equal(status, 200, JSON.stringify(body));
      return body.receipts[0].id as string;
    }

    /** Over connections of their own, all at once. */
    function fresh(count: number, path: string, listeners = LISTENERS, body?: Buffer): Promise<readonly HttpAnswer[]> {
      const one = (_: unknown, i: number): Promise<HttpAnswer> =>
        exchangeOnce(service.ports[listeners[i % listeners.length] as Listener], path, body);
      return Promise.all(Array.from({ length: count }, one));
    }

    async function statuses(serial: string, count: number, listeners = LISTENERS): Promise<readonly string[]> {
      const { issuer } = service.demo;
      const path = getPath('/OcspServer', ocspRequest(issuer, serial, 'sha256'));
      const answers = await fresh(count, path, listeners);
      return answers.map((answer) => readAnswer(answer, issuer, serial, 'sha256').status);
    }

    /**
     * What each process answers: while the others stand still, only it accepts from a port whose one socket they share. Where each
     * has a socket of its own, the kernel spreads many questions over them.
     */
    async function eachProcess<T>(ask: () => Promise<T>): Promise<readonly T[]> {
      if (hasReusePort(process.versions.node)) return Promise.all(Array.from({ length: 40 }, ask));
      const list = await processes();
      const answers: T[] = [];
      for (const { index } of list) {
        const others = list.flatMap(({ index: other, pid }) => (other === index || pid === undefined ? [] : [pid]));
        for (const pid of others) process.kill(pid, 'SIGSTOP');
        try {
          answers.push(await ask());
        } finally {
          for (const pid of others) process.kill(pid, 'SIGCONT');
        }
      }
      return answers;
    }

    async function metric(name: string): Promise<number> {
      const { body } = await service.get('/metrics', 'admin');
      const lines = body.toString().split('\n').filter((line) => line.startsWith(name)); // prettier-ignore
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    }

    it(`gives the same octets and fields from each process, on both listeners, by GET and POST (seed ${seed})`, async () => {
      const { issuer } = service.demo;
      const good = await issue();
      const gone = await issue();
      await revoke(gone);
      await until('the CRL lists it', async () =>
        (await fresh(10, CRL)).every(
          ({ status, body }) => status === 200 && readCrl(body, issuer).entries.has(plainSerial(gone)),
        ),
      );
      for (const hash of ['sha1', 'sha256'] as const) {
        for (const serial of [good, gone, random.serial()]) {
          const der = ocspRequest(issuer, serial, hash);
          const seen = [
            ...(await fresh(40, getPath('/OcspServer', der))),
            ...(await fresh(40, '/OcspServer', LISTENERS, der)),
            ...(await eachProcess(() => exchangeOnce(service.ports.public, getPath('/OcspServer', der)))),
            ...(await eachProcess(() => exchangeOnce(service.ports.public, '/OcspServer', der))),
          ].map(comparable);
          assert.equal(new Set(seen).size, 1, `${serial} ${hash}: ${[...new Set(seen)].join('\n')}`);
        }
      }
      for (const path of [CRL, '/SureServer/demo/demo.crt', '/nothing', '/']) {
        const seen = [
          ...(await fresh(20, path)),
          ...(await eachProcess(() => exchangeOnce(service.ports.public, path))),
        ].map(comparable);
        assert.equal(new Set(seen).size, 1, path);
      }
      for (const index of [1, 2])
        assert.ok(
          (await metric(`certstatus_response_table_entries{process="${index}"}`)) >= 4,
          `process ${index} was asked`,
        );
    });

    it('counts what all of them answered', async () => {
      const name = 'certstatus_answers_total{outcome="not-found"';
      const before = await metric(name);
      await fresh(60, '/nothing');
      assert.equal(await metric(name), before + 60);
    });

    it('says good nowhere after a revocation was acknowledged', async () => {
      let asked = 0;
      const rounds = kind === 'embedded' ? 12 : 4;
      for (let round = 0; round < rounds; round++) {
        const serial = await issue();
        await until('each says good', async () => (await statuses(serial, 12)).every((status) => status === 'good'));
        const answers = await eachProcess(async () => (await statuses(serial, 1, ['public']))[0]);
        assert.deepEqual([...new Set(answers)], ['good']);
        const receipt = await revoke(serial);
        // In a shared store everybody hears within a quarter of a second of the acknowledgement; `visible` waits for it.
        if (kind === 'redis') await visible(receipt);
        const said = await statuses(serial, 30);
        asked += said.length;
        assert.deepEqual([...new Set(said)], ['revoked'], `round ${round}`);
      }
      assert.equal(asked, rounds * 30);
    });

    async function visible(receipt: string): Promise<void> {
      await until('it is visible', async () => {
        const { body } = await service.api('GET', `/v1/receipts/${receipt}`);
        return body.state === 'visible';
      });
    }

    it('serves a CRL everywhere once its receipt says so', async () => {
      const serial = await issue();
      await visible(await revoke(serial));
      const bodies = [
        ...(await fresh(20, CRL)),
        ...(await eachProcess(() => exchangeOnce(service.ports.public, CRL))),
      ].map(({ body }) => body);
      for (const body of bodies) assert.ok(readCrl(body, service.demo.issuer).entries.has(plainSerial(serial)));
    });

    it('kills and replaces a process that stands still, and a revocation does not wait for it longer', async () => {
      const serial = await issue();
      await until('each says good', async () => (await statuses(serial, 12)).every((status) => status === 'good'));
      const before = await metric('certstatus_responder_process_ends_total{reason="stalled"}');
      const [first] = (await processes()) as [ProcessStatus];
      process.kill(first.pid as number, 'SIGSTOP');
      const receipt = await revoke(serial);
      if (kind === 'redis') await visible(receipt);
      // With a store of its own nobody is left to say good; otherwise the silence of a process that stands still harms nobody.
      else assert.throws(() => process.kill(first.pid as number, 0), 'it is gone by then');
      await until('it is killed', () => !isAlive(first.pid as number), 15_000);
      assert.deepEqual([...new Set(await statuses(serial, 30))], ['revoked']);
      await serves(2);
      assert.equal(await metric('certstatus_responder_process_ends_total{reason="stalled"}'), before + 1);
      assert.deepEqual([...new Set(await statuses(serial, 30))], ['revoked']);
    });

    it('goes on when a process is killed under load, and starts another', async () => {
      const good = await issue();
      const gone = await issue();
      await revoke(gone);
      await until('each says revoked', async () => (await statuses(gone, 12)).every((status) => status === 'revoked'));
      let [going, answered, cut] = [true, 0, 0];
      const client = async (n: number): Promise<void> => {
        while (going) {
          const serial = n % 2 === 0 ? good : gone;
          try {
            const [status] = await statuses(serial, 1, [LISTENERS[(n >> 1) % 2] as Listener]);
            assert.equal(status, n % 2 === 0 ? 'good' : 'revoked');
            answered += 1;
          } catch (error) {
            // Requests that the killed process had taken end without an answer; a client asks again.
            if (error instanceof assert.AssertionError) throw error;
            cut += 1;
          }
        }
      };
      const clients = Array.from({ length: 8 }, (_, n) => client(n));
      await sleep(300);
      const [, second] = (await processes()) as [ProcessStatus, ProcessStatus];
      process.kill(second.pid as number, 'SIGKILL');
      await until('another serves', async () => {
        const now = (await processes()).find(({ index }) => index === second.index);
        return now?.state === 'serving' && now.pid !== second.pid;
      }); // prettier-ignore
      const before = answered;
      await until('it goes on', () => answered > before + 100);
      going = false;
      await Promise.all(clients);
      assert.ok(cut <= 8 * 4, `${cut} of ${answered} requests were cut off`);
      assert.equal((await service.get('/readyz', 'admin')).status, 200);
      assert.match(service.log, /"reason":"ended","why":"SIGKILL".*a responder process has ended/);
    });

    it('takes its processes along when it is killed, and comes back with what it had acknowledged', async () => {
      const serial = await issue();
      await until('each says good', async () => (await statuses(serial, 12)).every((status) => status === 'good'));
      await revoke(serial);
      const pids = (await processes()).map(({ pid }) => pid as number);
      await service.kill();
      await until('no process is left', () => !pids.some(isAlive), 3000, 5);
      await service.start();
      await serves(2);
      await reliable();
      assert.deepEqual([...new Set(await statuses(serial, 30))], ['revoked']);
    });

    it(
      'is alone on its ports: another instance is refused, with the port and the reason',
      { skip: kind === 'redis' },
      async () => {
        const second = await Service.create();
        try {
          assert.equal((await second.run('init', '--demo')).code, 0);
          const file = join(second.data, 'certstatus.yaml');
          const document = parseDocument(readFileSync(file, 'utf8'));
          for (const [taken, count] of [
            ['public', 2],
            ['origin', 2],
            ['origin', 1],
          ] as const) {
            Object.assign(second.ports, await otherPorts(), { [taken]: service.ports[taken] });
            document.setIn(['responder', 'processes'], count);
            writeFileSync(file, document.toString());
            const { code, stderr } = await second.run('serve');
            assert.equal(code, 1, `${taken}, ${count}: ${stderr}`);
            assert.ok(stderr.includes(`127.0.0.1:${service.ports[taken]}: cannot listen`), stderr);
          }
        } finally {
          await second.remove();
        }
      },
    );

    it('stops cleanly: what has arrived is answered, nobody is left', async () => {
      const pids = (await processes()).map(({ pid }) => pid as number);
      const serial = await issue();
      const asked = statuses(serial, 60);
      await sleep(20);
      assert.equal(await service.stop(), 0);
      assert.deepEqual([...new Set(await asked)], ['good']);
      assert.deepEqual(pids.filter(isAlive), []);
      assert.equal((await service.run('audit', 'verify')).code, 0);
    });
  });
}

async function otherPorts(): Promise<Ports> {
  const [pub, origin, intake, admin] = (await freePorts(4)) as [number, number, number, number];
  return { public: pub, origin, intake, admin };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** All that must be the same; Date is of the moment, Connection of the client, and uWebSockets.js names itself. */
function comparable({ status, headers, body }: HttpAnswer): string {
  const own = ['date', 'connection', 'keep-alive', 'uwebsockets'];
  const fields = Object.entries(headers).filter(([name]) => !own.includes(name));
  return JSON.stringify([status, fields.sort(), body.toString('hex')]);
}

function exchangeOnce(port: number, path: string, body?: Buffer): Promise<HttpAnswer> {
  return new Promise((done, failed) => {
    const headers =
      body === undefined ? {} : { 'content-type': 'application/ocsp-request', 'content-length': body.length };
    const method = body === undefined ? 'GET' : 'POST';
    const options = { agent: false, host: '127.0.0.1', port, path, method, headers, timeout: 20_000 };
    const outgoing = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', failed);
      response.on('end', () =>
        done({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')));
    outgoing.on('error', failed);
    outgoing.end(body);
  });
}
