/** The words of sd_notify(3), as a socket of systemd's kind gets them: Python listens, because Node has no such sockets. */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { serviceManager } from '../../src/adapters/system/service-manager.ts';
import { until } from '../support/service.ts';

const LISTEN = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True: print(s.recv(4096).decode().strip(), flush=True)
`;
const skip = spawnSync('systemd-notify', ['--version']).error === undefined ? false : 'needs systemd-notify';

describe('serviceManager', { skip }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-notify-'));
  const path = join(directory, 'socket');
  let systemd: ChildProcess;
  let heard = '';
  before(async () => {
    systemd = spawn('python3', ['-c', LISTEN, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    systemd.stdout?.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    await until('it listens', () => heard.startsWith('bound'));
  });
  after(() => {
    over = true;
    systemd?.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  });
  const heardAt = (socket: string): NodeJS.ProcessEnv => ({ ...process.env, NOTIFY_SOCKET: socket });
  // Its watchdog outlives a test.
  let over = false;
  const never = (reason: string): void => assert.ok(over, reason);

  it('says that it serves, goes on saying that it turns, and says that it stops', async () => {
    const manager = serviceManager({ ...heardAt(path), WATCHDOG_USEC: '300000' }, process.pid, never);
    manager.ready();
    await until('the watchdog has heard twice', () => heard.split('WATCHDOG=1').length > 2);
    assert.match(heard, /^READY=1$/m);
    assert.doesNotMatch(heard, /STOPPING/);
    manager.stopping();
    await until('it has heard of the stop', () => /^STOPPING=1$/m.test(heard));
  });

  it('says nothing to the watchdog of another process', async () => {
    heard = '';
    const of = { ...heardAt(path), WATCHDOG_USEC: '30000', WATCHDOG_PID: '1' };
    serviceManager(of, process.pid, never).ready();
    serviceManager(heardAt(path), process.pid, never).stopping();
    await until('it has heard of both', () => heard.includes('READY=1') && heard.includes('STOPPING=1'));
  });

  it('says why it cannot, once, and is silent where nobody listens', async () => {
    const reasons: string[] = [];
    const manager = serviceManager(heardAt(`${path}-not`), process.pid, (reason) => reasons.push(reason));
    manager.ready();
    manager.stopping();
    await until('it has given up', () => reasons.length > 0);
    manager.stopping();
    serviceManager({}, process.pid, never).ready();
    assert.equal(reasons.length, 1);
  });
});
