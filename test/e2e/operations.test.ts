/** What operators live through: starts that cannot work, stops under load, second starts, metrics, health, privacy. */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { request } from 'node:http';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminClient } from '../support/admin-client.ts';
import { exchange, rawExchange } from '../support/http.ts';
import { ask, getPath, ocspRequest, readCrl } from '../support/ocsp-client.ts';
import { RawConnection } from '../support/raw-connection.ts';
import { Service, until, type Ports, type Ran } from '../support/service.ts';

/** What was said to a person: the log is JSON lines. */
const words = ({ stderr }: Ran): string[] => stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'));

describe('a start that cannot work says why in one line', () => {
  let service: Service;
  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
  });
  after(() => service.remove());

  async function refused(because: RegExp, ...args: string[]): Promise<void> {
    const ran = await service.run(...(args.length > 0 ? args : ['serve']));
    assert.equal(ran.code, 1, ran.stderr);
    const said = words(ran);
    assert.equal(said.length, 1, ran.stderr);
    assert.match(said[0] as string, /^certstatus: /);
    assert.match(said[0] as string, because);
  }

  for (const name of ['public', 'origin', 'intake', 'admin'] as const satisfies readonly (keyof Ports)[]) {
    it(`the ${name} port is taken`, async () => {
      const port = service.ports[name];
      const server: Server = createServer();
      await new Promise<void>((done) => server.listen({ port, host: '127.0.0.1' }, done));
      // A neighbour that is no intake must not be taken for one either.
      try {
        await refused(new RegExp(String(port)));
      } finally {
        await new Promise((done) => server.close(done));
      }
    });
  }

  it('the data directory cannot be used', async () => {
    const file = join(service.directory, 'a-file');
    writeFileSync(file, '');
    await refused(/a-file/, '--data', file, 'serve');
    await refused(/no configuration: looked for .*nowhere/, '--data', join(service.directory, 'nowhere'), 'serve');
  });

  /** With another content of a file for as long as `test` runs. */
  async function withFile(path: string, change: (text: string) => string, test: () => Promise<void>): Promise<void> {
    const file = join(service.data, path);
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, change(before));
    try {
      await test();
    } finally {
      writeFileSync(file, before);
    }
  }

  it('the configuration is broken', async () => {
    const file = 'certstatus.yaml';
    await withFile(file, (text) => `${text}\nlogLevle: info\n`, () => refused(/certstatus\.yaml.*logLevle/)); // prettier-ignore
    await withFile(file, (text) => `${text}\n\t- : [\n`, () => refused(/certstatus\.yaml/)); // prettier-ignore
    await withFile(file, (text) => text.replace(/^( +port:) \d+/m, '$1 99999'), () => refused(/certstatus\.yaml.*listen.*99999/)); // prettier-ignore
  });

  it('an issuer is broken', async () => {
    await withFile('issuers/demo/ca.pem', () => 'nonsense', () => refused(/ca\.pem/)); // prettier-ignore
    await withFile('issuers/demo/responder.key', () => 'nonsense', () => refused(/responder\.key/)); // prettier-ignore
    await withFile('issuers/demo/issuer.yaml', (text) => text.replace(/preset: .*/, 'preset: nonsuch'), () => refused(/issuer\.yaml.*nonsuch/)); // prettier-ignore
    // P7: a key that is not its certificate's.
    const key = readFileSync(join(service.data, 'issuers/demo/samples/valid.key'), 'utf8');
    await withFile('issuers/demo/responder.key', () => key, () => refused(/responder\.key.*key/)); // prettier-ignore
  });

  it('wrong usage is exit 2', async () => {
    for (const args of [
      ['nonsense'],
      ['serve', '--nope'],
      ['--public-port', 'x', 'serve'],
      ['revoke', '--issuer', 'demo'],
      ['audit'],
      ['import', 'index'],
      ['issue', '--issuer', 'demo'],
      ['issuer', 'add', 'new'],
      ['crl', 'list', '--issuer', 'demo', '--limit', 'x'],
    ]) {
      assert.equal((await service.run(...args)).code, 2, args.join(' '));
    }
    for (const args of [['--help'], ['serve', '--help'], ['--version']])
      assert.equal((await service.run(...args)).code, 0, args.join(' '));
  });

  it('a second process on one data directory', async () => {
    await service.start('--demo');
    const other = await Service.create();
    const ran = await other.run('--data', service.data, 'serve');
    assert.equal(ran.code, 1, ran.stderr);
    assert.equal(words(ran).length, 1, ran.stderr);
    assert.match(words(ran)[0] as string, /data directory|dataDir|another/);
    await other.remove();
    assert.equal((await ask(service.demo.issuer, '51aa', { port: service.ports.public })).status, 'unauthorized');
  });
});

it('port 0 takes a free one, and the log says which', async () => {
  const service = await Service.create();
  try {
    const ports = Object.keys(service.ports).flatMap((name) => [`--${name}-port`, '0']);
    const { child, done } = service.command([...ports, 'serve', '--demo']);
    let log = '';
    child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()));
    await until('it is serving', () => log.includes('"msg":"serving"') || child.exitCode !== null);
    const serving = JSON.parse(log.split('\n').find((line) => line.includes('"msg":"serving"')) ?? '{}') as Record<
      keyof Ports,
      string
    >;
    for (const [name, path] of [
      ['public', '/'],
      ['origin', '/'],
      ['admin', '/livez'],
    ] as const) {
      const { status } = await exchange({ port: Number(serving[name].split(':')[1]), path });
      assert.equal(status, 200, name);
    }
    assert.doesNotMatch(serving.intake, /:0$/);
    child.kill('SIGTERM');
    assert.equal((await done).code, 0);
  } finally {
    await service.remove();
  }
});

describe('a running service', () => {
  let service: Service;
  let serial: string;
  const CLIENT = '127.0.0.77';
  before(async () => {
    service = await Service.demo();
    serial = '5123456789abcdef0123456789abcdef';
    await service.api('POST', '/v1/issuers/demo/certificates', {
      certificates: [{ serial, notAfter: '2027-06-01T00:00:00Z' }],
    });
  });
  after(() => service.remove());

  it('is alive, ready, and says how it is', async () => {
    for (const path of ['/livez', '/readyz']) {
      const { status, body } = await service.get(path, 'admin');
      assert.deepEqual([status, body.toString()], [200, 'ok\n'], path);
    }
    await until(
      'all is well',
      async () =>
        (JSON.parse((await service.get('/status.json', 'admin')).body.toString()) as { verdict: string }).verdict ===
        'ok',
    );
    const page = await (await AdminClient.signedIn(service.data, service.ports.admin)).get('/');
    assert.match(page.headers['content-type'] ?? '', /^text\/html/);
    assert.match(page.body.toString(), /All is well/);
    assert.notEqual((await service.get('/metrics', 'admin')).status, 404);
  });

  it('has metrics in the text format, each with help and type, and counts what is asked', async () => {
    const read = async (): Promise<Map<string, number>> =>
      samplesOf((await service.get('/metrics', 'admin')).body.toString());
    const name = 'certstatus_answers_total{outcome="good",method="GET",http_version="1.1",certid_hash="sha256"}';
    const before = (await read()).get(name) ?? 0;
    for (let i = 0; i < 5; i++)
      await ask(service.demo.issuer, serial, { port: service.ports.public, method: 'GET', hash: 'sha256' });
    const after = await read();
    assert.equal(after.get(name), before + 5);
    for (const needed of [
      'certstatus_audit_writable',
      'certstatus_crl_age_seconds{issuer="demo"}',
      'certstatus_least_time_to_next_update_seconds{issuer="demo"}',
    ])
      assert.ok(after.has(needed), needed);
  });

  it('keeps clients’ addresses out of logs, metrics and records', async () => {
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/nothing'],
      ['POST', '/OcspServer'],
      ['PUT', '/OcspServer'],
      ['GET', '/OcspServer/xx'],
    ] as const) {
      for (const listener of ['public', 'origin'] as const) {
        await new Promise<void>((done, failed) => {
          const outgoing = request(
            {
              host: '127.0.0.1',
              port: service.ports[listener],
              path,
              method,
              localAddress: CLIENT,
              agent: false,
              headers: { 'x-forwarded-for': CLIENT },
            },
            (response) => response.resume().on('end', done),
          );
          outgoing.on('error', failed);
          outgoing.end(method === 'GET' ? undefined : 'nonsense');
        });
      }
    }
    assert.ok(!service.log.includes(CLIENT), 'log');
    assert.ok(!(await service.get('/metrics', 'admin')).body.includes(CLIENT), 'metrics');
    assert.ok(!(await service.run('audit', 'export')).stdout.includes(CLIENT), 'audit log');
  });

  it('answers every request that has arrived when it is told to stop', async (t) => {
    const post = ((): Buffer => {
      const body = ocspRequest(service.demo.issuer, serial);
      return Buffer.concat([
        Buffer.from(
          `POST /OcspServer HTTP/1.1\r\nHost: ocsp.test\r\nContent-Type: application/ocsp-request\r\nContent-Length: ${body.length}\r\n\r\n`,
        ),
        body,
      ]);
    })();
    let stoppedAt = Infinity;
    let answered = 0;
    const lost: string[] = [];
    const clients = (['public', 'origin'] as const).flatMap((listener) =>
      Array.from({ length: 8 }, async () => {
        const connection = new RawConnection(service.ports[listener]);
        for (;;) {
          const sentAt = Date.now();
          try {
            const { status, last } = await connection.ask(post, false);
            assert.equal(status, 200);
            answered += 1;
            if (last) break;
          } catch (error) {
            // Sent before the signal, with time to arrive: then it has to be answered. Later ones may find the door closed.
            if (sentAt < stoppedAt - 5) lost.push(`${listener}: ${(error as Error).message}`);
            break;
          }
        }
        connection.end();
      }),
    );
    // And clients of one request per connection, as stapling servers are.
    const path = getPath('/OcspServer', ocspRequest(service.demo.issuer, serial));
    const singles = Array.from({ length: 6 }, async () => {
      for (;;) {
        const sentAt = Date.now();
        const octets = await rawExchange(service.ports.public, `GET ${path} HTTP/1.0\r\n\r\n`).catch(() =>
          Buffer.alloc(0),
        );
        if (/^HTTP\/1\.[01] 200 /.test(octets.toString('latin1', 0, 20))) answered += 1;
        else {
          if (sentAt < stoppedAt - 20) lost.push(`one per connection: ${octets.length} octets`);
          return;
        }
      }
    });
    await sleep(500);
    stoppedAt = Date.now();
    const code = await service.stop();
    const stopMs = Date.now() - stoppedAt;
    await Promise.all([...clients, ...singles]);
    assert.deepEqual(lost, []);
    assert.equal(code, 0);
    t.diagnostic(`${answered} answers, stopped within ${stopMs} ms`);
    assert.ok(stopMs < 10_000);
  });

  it('finds everything as it was when it starts again', async () => {
    const { ca } = service.demo;
    const look = async (): Promise<{ ca: string; view: unknown; number: bigint; seq: number }> => {
      const { body } = await service.api('GET', `/v1/issuers/demo/certificates/${serial}`);
      const { status, revision, notAfter } = body as Record<string, unknown>;
      const { number } = readCrl((await service.get('/SureServer/demo/cdp.crl')).body, service.demo.issuer);
      const { seq } = (await service.api('GET', '/v1/audit/head')).body as { seq: number };
      return { ca: readFileSync(ca, 'utf8'), view: { status, revision, notAfter }, number, seq };
    };
    await service.start('--demo');
    const first = await look();
    assert.equal(await service.stop(), 0);
    await service.start('--demo');
    const second = await look();
    assert.deepEqual([second.ca, second.view], [first.ca, first.view]);
    assert.ok(second.number >= first.number);
    assert.ok(second.seq > first.seq);
    assert.doesNotMatch(service.log, /the last stop was not clean/);
  });
});

/** Prometheus' text format 0.0.4, strictly. @returns value by name and labels. */
function samplesOf(text: string): Map<string, number> {
  assert.ok(text.endsWith('\n'));
  const described = new Map<string, Set<string>>();
  const samples = new Map<string, number>();
  for (const line of text.split('\n').filter(Boolean)) {
    const [, kind, subject] = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) \S/.exec(line) ?? [];
    if (kind !== undefined && subject !== undefined) {
      const kinds = described.get(subject) ?? new Set();
      assert.ok(!kinds.has(kind), `a second ${kind} of ${subject}`);
      described.set(subject, kinds.add(kind));
      continue;
    }
    const [, series, name, value] =
      /^(([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})?) ([Nn]a[Nn]|[+-]Inf|-?[0-9.e+-]+)$/.exec(
        line,
      ) ?? [];
    assert.ok(series !== undefined && name !== undefined, line);
    const family = described.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
    assert.equal(described.get(family)?.size, 2, `${name} has help and type`);
    assert.ok(!samples.has(series), `twice: ${series}`);
    samples.set(series, Number(value));
  }
  return samples;
}
