/** `npm run fleet`: one command, and everything that it starts ends with it. */
import { after, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { missingSofthsm } from '../support/softhsm.ts';
import { needsRedis } from '../support/redis.ts';
import { freePorts, runProgram, until } from '../support/service.ts';

const FLEET = resolve(import.meta.dirname, '../../deploy/try/fleet.js');
const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
const START_MS = 120_000;

describe('npm run fleet', { skip: needsRedis || missingSofthsm }, () => {
  const data = mkdtempSync(join(tmpdir(), 'certstatus-fleet-'));
  const runs: ReturnType<typeof start>[] = [];
  after(() => {
    for (const { child } of runs) child.kill('SIGKILL');
    rmSync(data, { recursive: true, force: true });
  });

  function start(basePort: number): { readonly child: ReturnType<typeof spawn>; said: string; ended: boolean } {
    const child = spawn(process.execPath, [FLEET, '--data', data, '--base-port', String(basePort)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const run = { child, said: '', ended: false };
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (run.said += chunk.toString())); // prettier-ignore
    child.once('close', () => (run.ended = true));
    return run;
  }

  async function started(basePort: number): Promise<ReturnType<typeof start>> {
    const run = start(basePort);
    runs.push(run);
    await until(
      'the fleet says what to try',
      () => {
        if (run.ended) throw new Error(run.said);
        return run.said.includes('Ctrl-C');
      },
      START_MS,
    );
    return run;
  }

  /** The lines to paste that begin with this. */
  const lines = (said: string, begins: string): string[] =>
    said.split('\n').map((line) => line.trim()).filter((line) => line.startsWith(begins)); // prettier-ignore
  const shell = (line: string): Promise<{ code: number | null; stdout: string; stderr: string }> =>
    runProgram('sh', ['-c', line.replace(/^npx certstatus/, `${process.execPath} ${CLI}`)]).done;

  /** Every process whose arguments name this fleet's data. */
  const processes = (): readonly string[] =>
    spawnSync('pgrep', ['-f', data], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean);

  it('does what it says, and leaves nothing behind on Ctrl-C', async () => {
    const base = await freeRange();
    const run = await started(base);
    const { child, said } = run;
    const asked = lines(said, 'openssl ocsp');
    assert.equal(asked.length, 4, said);
    for (const line of asked.slice(0, 3)) {
      const { stdout, stderr } = await shell(line);
      assert.match(stdout, /: good/, stdout + stderr);
    }
    assert.match((await shell(asked[3] as string)).stdout, /: revoked/);
    const [revoke] = lines(said, 'npx certstatus').filter((line) => line.includes(' revoke '));
    const { code, stderr } = await shell(revoke as string);
    assert.equal(code, 0, stderr);
    for (const line of asked.slice(0, 3)) assert.match((await shell(line)).stdout, /: revoked/);
    const audit = await shell(lines(said, 'npx certstatus').find((line) => line.includes('audit verify')) as string);
    assert.match(audit.stdout, /alice[^]*bob|bob[^]*alice/);
    // Eight of certstatus, and the command itself; the Redis hides its arguments.
    assert.ok(processes().length >= 9, 'processes can be found');
    child.kill('SIGINT');
    await until('it has ended', () => run.ended, 30_000);
    assert.deepEqual(processes(), []);
    assert.ok(await isFree(base), 'the Redis has ended too');
  });

  it('finds again what it holds, and takes everything along when it is killed', async () => {
    const base = await freeRange();
    const { child, said } = await started(base);
    const [asked] = lines(said, 'openssl ocsp');
    assert.match((await shell(asked as string)).stdout, /: revoked/, 'of the run before');
    child.kill('SIGKILL');
    await until('nothing of it is left', async () => processes().length === 0 && (await isFree(base)), 10_000, 50);
  });
});

/** The first of 40 free ports in a row. */
async function freeRange(): Promise<number> {
  for (;;) {
    const [base] = (await freePorts(1)) as [number];
    const free = await Promise.all(Array.from({ length: 40 }, (_, i) => isFree(base + i)));
    if (free.every(Boolean)) return base;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => done(true)));
  });
}
