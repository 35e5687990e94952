/** The units of deploy/systemd, as systemd itself reads them: no line that it ignores, and no door left open by a typing error. */
import { after, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { passedPublicSocket } from '../../src/apps/passed-sockets.ts';

const UNITS = resolve(import.meta.dirname, '../../../deploy/systemd');
const CLI = resolve(import.meta.dirname, '../../src/apps/cli.js');
const analyze = (...args: readonly string[]): { status: number | null; said: string } => {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8', timeout: 60_000 });
  return { status, said: stdout + stderr };
};
const skip = spawnSync('systemd-analyze', ['--version']).error === undefined ? false : 'needs systemd-analyze';
/** `systemd-analyze security`: 0 is locked up, 10 is open. What is left is the network, /proc, and 0.1 here and there. */
const MOST_EXPOSED = 20;

describe('the systemd units', { skip }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-units-'));
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** The unit of a process with its drop-ins, and with the programs of this machine in place of the installed ones. */
  function install(name: string, dropIns: readonly string[], change = (text: string): string => text): string {
    const unit = join(directory, `certstatus@${name}.service`);
    const text = readFileSync(join(UNITS, 'certstatus@.service'), 'utf8')
      .replace('/usr/bin/node ', `${process.execPath} `)
      .replace('/opt/certstatus/dist/src/apps/cli.js', CLI);
    writeFileSync(unit, change(text));
    mkdirSync(`${unit}.d`, { recursive: true });
    for (const dropIn of dropIns) copyFileSync(join(UNITS, dropIn), join(`${unit}.d`, dropIn));
    return unit;
  }

  const processes: readonly (readonly [string, readonly string[]])[] = [
    ['intake-1', ['intake.conf']],
    ['signer-1', ['signer.conf']],
    ['responder-1', ['responder.conf']],
    ['monitor-1', ['monitor.conf']],
  ];
  for (const [name, dropIns] of processes) {
    it(`${name}: systemd finds nothing to say about it`, () => {
      const { status, said } = analyze('verify', '--man=no', install(name, dropIns));
      assert.equal(said.trim(), '');
      assert.equal(status, 0);
    });
    it(`${name}: is exposed to little`, () => {
      const args = ['security', '--offline=true', `--threshold=${MOST_EXPOSED}`, '--no-pager'];
      const { status, said } = analyze(...args, install(name, dropIns));
      assert.equal(status, 0, said);
    });
  }

  it('a line that systemd would ignore is noticed', () => {
    const unit = install('typing-error', [], (text) => text.replace('ProtectHome=', 'ProtectHouse='));
    assert.match(analyze('verify', '--man=no', unit).said, /ProtectHouse/);
  });

  it('what is commented out, to be uncommented by an operator, is right too', () => {
    const unit = install('signer-2', []);
    const full = readFileSync(join(UNITS, 'signer.conf'), 'utf8').replace(/^#(?=[A-Z][A-Za-z]+=)/gm, '');
    writeFileSync(join(`${unit}.d`, 'signer.conf'), full);
    const { said } = analyze('verify', '--man=no', unit);
    assert.equal(said.trim(), '');
  });

  it('the socket and the target are right, and the socket starts the service of its name', () => {
    install('responder-1', ['responder.conf']);
    for (const name of ['certstatus@responder-1.socket', 'certstatus.target']) {
      const unit = join(directory, name);
      copyFileSync(join(UNITS, name.replace('responder-1', '')), unit);
      const { status, said } = analyze('verify', '--man=no', unit);
      assert.equal(said.trim(), '', name);
      assert.equal(status, 0);
    }
    const socket = readFileSync(join(UNITS, 'certstatus@.socket'), 'utf8');
    assert.match(socket, /^Service=certstatus@%i\.service$/m);
    const name = /^FileDescriptorName=(.*)$/m.exec(socket)?.[1] as string;
    const env = { LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: name };
    assert.equal(passedPublicSocket(env, 1), 3, 'the program knows the name');
  });

  it('each role may bind the ports that it listens on by default, and no public one but the responder', () => {
    const bound = (file: string): string[] =>
      [...readFileSync(join(UNITS, file), 'utf8').matchAll(/^SocketBindAllow=tcp:(\d+)$/gm)].map(
        ([, port = '']) => port,
      );
    assert.deepEqual(bound('responder.conf'), ['80', '8080', '8082', '9090']);
    for (const file of ['intake.conf', 'signer.conf']) assert.deepEqual(bound(file), ['8081', '9090'], file);
    assert.deepEqual(bound('monitor.conf'), ['9090']);
    for (const [, [file = '']] of processes)
      assert.match(readFileSync(join(UNITS, file), 'utf8'), /^SocketBindDeny=any$/m);
  });

  it("a stop has the time that it may take: the longest drain is the configuration's to fit", () => {
    const service = readFileSync(join(UNITS, 'certstatus@.service'), 'utf8');
    assert.ok(Number(/^TimeoutStopSec=(\d+)$/m.exec(service)?.[1]) >= 90);
    assert.match(service, /^Type=notify$/m);
    assert.match(service, /^NotifyAccess=all$/m);
  });

  it('every line that takes something away or gives it says why, above it', () => {
    for (const file of readdirSync(UNITS)) {
      const lines = readFileSync(join(UNITS, file), 'utf8').split('\n');
      for (const [i, line] of lines.entries()) {
        if (!/^(SocketBindDeny|CapabilityBoundingSet=CAP|MemoryMax|DevicePolicy|CPUWeight|MemorySwapMax)/.test(line))
          continue;
        assert.match(lines.slice(Math.max(0, i - 3), i).join('\n'), /^#/m, `${file}: ${line}`);
      }
    }
  });

  it('every file of the directory is one of these', () => {
    const dropIns = processes.flatMap(([, files]) => files);
    const rest = ['certstatus.target', 'certstatus@.service', 'certstatus@.socket'];
    assert.deepEqual(readdirSync(UNITS).sort(), [...dropIns, ...rest].sort());
  });
});
