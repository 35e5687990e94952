/** A service whose log goes nowhere: a full disk, or a terminal that is closed (a pseudo-terminal, which Python opens: Node has none). */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runProgram, Service, until } from '../support/service.ts';

const CLI = fileURLToPath(new URL('../../src/apps/cli.js', import.meta.url));

/** Waits until it serves, signals it while the terminal is there, then closes the terminal; prints the status of waitpid(2). */
const TERMINAL = `
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
said = b''
def until(what):
    global said
    while what not in said:
        said += os.read(terminal, 65536)
until(b'"serving"')
os.kill(pid, signal.SIGHUP)
until(b'reloaded')
os.close(terminal)
print(os.waitpid(pid, 0)[1])
`;

describe('standard error that takes nothing', () => {
  let service: Service;
  before(async () => {
    service = await Service.create();
    assert.equal((await service.run('init', '--demo')).code, 0);
  });
  after(() => service?.remove());

  it('is no reason to end: the disk under the log is full', async () => {
    const ports = Object.entries(service.ports).flatMap(([name, port]) => [`--${name}-port`, String(port)]);
    const child = spawn('sh', ['-c', 'exec "$@" 2> /dev/full', 'sh', process.execPath, CLI, '--data', service.data, ...ports, 'serve'], { stdio: 'ignore' }); // prettier-ignore
    const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));
    let code: number | null | undefined;
    void ended.then((value) => (code = value));
    try {
      await until('it answers', async () => {
        if (code !== undefined) throw new Error(`it ended with ${code}`);
        return service.get('/readyz', 'admin').then(({ status }) => status === 200, () => false); // prettier-ignore
      });
    } finally {
      child.kill('SIGTERM');
    }
    await ended;
  });

  it('ends the service as SIGTERM does when it was a terminal that is closed; before, SIGHUP was a reload', async () => {
    const ports = Object.entries(service.ports).flatMap(([name, port]) => [`--${name}-port`, String(port)]);
    const program = [process.execPath, CLI, '--data', service.data, ...ports, 'serve'];
    const { stdout, stderr } = await runProgram('python3', ['-c', TERMINAL, ...program]).done;
    // 1: by SIGHUP, without a core file.
    assert.equal(stdout.trim(), '1', stderr);
    const audit = join(service.data, 'audit');
    const records = readdirSync(audit).map((name) => readFileSync(join(audit, name), 'utf8'));
    assert.match(records.join('').trim().split('\n').at(-1) ?? '', /"type":"service\.stopped".*"SIGHUP"/);
  });
});
