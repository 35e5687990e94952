/** The units of deploy/systemd, as systemd itself reads them: no line that it ignores, and no door left open by a typing error. */
import { after, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

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
    ['intake-1', []],
    ['signer-1', ['signer.conf']],
    ['responder-1', ['responder.conf']],
    ['monitor-1', []],
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

  it('every file of the directory is one of these', () => {
    assert.deepEqual(readdirSync(UNITS).sort(), ['certstatus@.service', 'responder.conf', 'signer.conf']);
  });
});
