/**
 * One machine without a load balancer is upgraded and rolled back under load: the service manager's socket holds the clients that
 * come while no process is there (deploy/systemd/certstatus@.socket), and none of them is lost. With one process that answers, and with two.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDocument } from 'yaml';
import { OtherVersion, thisVersion } from '../support/other-version.ts';
import { ask, getPath, ocspRequest } from '../support/ocsp-client.ts';
import { RawConnection } from '../support/raw-connection.ts';
import { freePorts, Service, until } from '../support/service.ts';
import { SteadyClients } from '../support/steady-clients.ts';

/** As systemd starts a process that it passes a socket to (sd_listen_fds(3)); $$ is the process that sh becomes. */
const WITH_SOCKET = ['sh', '-c', 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=public exec "$@"', 'sh'];

interface Socket {
  readonly fd: number;
  close(): void;
}

/** A socket that is bound by the test, as it would be by systemd, and that nobody in the test accepts from. */
function socketOn(port: number): Socket {
  const { _createServerHandle: create } = net as unknown as {
    _createServerHandle: (address: string, port: number, family: 4) => Socket | number;
  };
  const socket = create('127.0.0.1', port, 4);
  if (typeof socket === 'number') throw new Error(`cannot bind ${port}: ${socket}`);
  return socket;
}

/** Versions that were started, by the audit log. */
function versionsStarted(service: Service): readonly string[] {
  const audit = join(service.data, 'audit');
  return readdirSync(audit)
    .sort()
    .flatMap((name) => readFileSync(join(audit, name), 'utf8').split('\n'))
    .filter((line) => line.includes('"service.started"'))
    .map((line) => /certstatus (\S+) on Node/.exec(line)?.[1] as string);
}

const serialOf = (service: Service): string =>
  new X509Certificate(readFileSync(service.demo.valid)).serialNumber.toLowerCase();

for (const processes of [1, 2]) {
  describe(`one machine, ${processes} answering, its public socket held by the service manager`, () => {
    let service: Service;
    let socket: Socket;
    let newer: OtherVersion;

    before(async () => {
      newer = new OtherVersion('9.9.9');
      service = await Service.create();
      assert.equal((await service.run('init', '--demo')).code, 0);
      const file = join(service.data, 'certstatus.yaml');
      const document = parseDocument(readFileSync(file, 'utf8'));
      document.setIn(['responder', 'processes'], processes);
      writeFileSync(file, document.toString());
      socket = socketOn(service.ports.public);
      service.launcher = WITH_SOCKET;
      service.passed = socket.fd;
      await service.start('--demo');
    });
    after(async () => {
      await service?.remove();
      socket?.close();
      newer?.remove();
    });

    it('is upgraded and rolled back, and no request is lost', async (t) => {
      const own = service.program;
      const clients = new SteadyClients({
        port: service.ports.public,
        path: '/OcspServer',
        issuer: service.demo.issuer,
        serial: serialOf(service),
      });
      const further = (count: number): Promise<void> => {
        const goal = clients.answered + count;
        return until(`${count} more answers`, () => clients.answered >= goal || clients.lost.length > 0);
      };
      await further(100);
      for (const program of [newer.program, own, newer.program, own]) {
        assert.equal(await service.stop(), 0);
        service.program = program;
        await service.start();
        await further(100);
      }
      await clients.stop();
      t.diagnostic(`${clients.answered} answered; the longest wait was ${clients.slowestMs} ms`);
      assert.deepEqual(clients.lost, []);
      assert.equal(clients.unannounced, 0, 'kept connections that ended without a word');
      const old = thisVersion();
      assert.deepEqual(versionsStarted(service), [old, '9.9.9', old, '9.9.9', old]);
    });

    it('what both versions have written is one unbroken audit log', async () => {
      await service.stop();
      assert.equal((await service.run('audit', 'verify')).code, 0);
    });
  });
}

describe('a responder with a drain', () => {
  let service: Service;
  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
    const file = join(service.data, 'certstatus.yaml');
    const document = parseDocument(readFileSync(file, 'utf8'));
    document.setIn(['responder', 'drain'], '5m');
    writeFileSync(file, document.toString());
    await service.start('--demo');
  });
  after(() => service?.remove());

  it('is not ready from SIGTERM on, and answers everybody until the drain is over', async () => {
    const kept = new RawConnection(service.ports.public);
    const path = getPath('/OcspServer', ocspRequest(service.demo.issuer, serialOf(service), 'sha1'));
    const question = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`);
    assert.equal((await kept.ask(question, false)).last, false);
    process.kill(service.pid, 'SIGTERM');
    await until('it is not ready', async () => (await service.get('/readyz', 'admin')).status === 503);
    for (const connection of [kept, new RawConnection(service.ports.public)]) {
      const answer = await connection.ask(question, false);
      assert.deepEqual([answer.status, answer.last], [200, true]);
    }
    assert.equal((await service.get('/livez', 'admin')).status, 200, 'alive: it must not be killed for it');
  });

  it('ends at once at a second signal', async () => {
    process.kill(service.pid, 'SIGTERM');
    assert.equal(await service.exited, 1);
  });
});

describe('systemd-socket-activate, which passes sockets as systemd does', () => {
  let service: Service;
  let activate: ChildProcess | undefined;
  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
  });
  after(async () => {
    activate?.kill('SIGKILL');
    await service?.remove();
  });

  it('starts the service with the first client, who gets an answer from the port that it listens on', async () => {
    const [port] = (await freePorts(1)) as [number];
    const names = Object.entries(service.ports).flatMap(([name, at]) => [`--${name}-port`, String(at)]);
    const serve = [process.execPath, service.program, '--data', service.data, ...names, 'serve', '--demo'];
    activate = spawn('systemd-socket-activate', ['-l', `127.0.0.1:${port}`, '--fdname=public', ...serve], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [activate.stdout, activate.stderr])
      stream?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const at = { port, path: '/OcspServer' };
    await until('it listens', () => said.includes('Listening on'));
    const first = new net.Socket().connect(port, '127.0.0.1').on('error', () => undefined);
    await until('it serves', () => said.includes('Ctrl-C'));
    first.destroy();
    assert.equal((await ask(service.demo.issuer, serialOf(service), at)).status, 'good');
    assert.match(said, new RegExp(`"public":"127.0.0.1:${port}"`));
    const ended = new Promise((done) => activate?.once('close', done));
    activate.kill('SIGTERM');
    assert.equal(await ended, 0);
  });
});
