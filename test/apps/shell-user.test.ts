/** Commands that are typed by somebody else than the user of the service: what they may read, and what they must not write. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { findConfigFile, loadConfig } from '../../src/apps/config.ts';
import { refuseForeignDirectory, shellUser } from '../../src/apps/shell-user.ts';
import { Problem } from '../../src/core/problem.ts';

/** Of no account. */
const STRANGER = 54_321;
const isRoot = process.geteuid?.() === 0;

/** Runs as another user where the tests may, else as oneself. */
function as<T>(uid: number, run: () => T): T {
  if (!isRoot) return run();
  process.seteuid?.(uid);
  try {
    return run();
  } finally {
    process.seteuid?.(0);
  }
}

describe('a command of another user', () => {
  const directory = mkdtempSync(join(tmpdir(), 'certstatus-user-'));
  chmodSync(directory, 0o755);
  after(() => rmSync(directory, { recursive: true, force: true }));
  const lineOf = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      return error instanceof Problem ? error.line : String(error);
    }
    return 'done';
  };

  it('has a name in the audit log, and a number where the account has no name', () => {
    assert.equal(shellUser(), userInfo().username);
    if (isRoot) assert.equal(as(STRANGER, shellUser), `uid ${STRANGER}`);
  });

  it('does not take another configuration for the one that it may not look at', () => {
    const data = join(directory, 'closed');
    const elsewhere = join(directory, 'elsewhere');
    for (const made of [data, elsewhere]) mkdirSync(made);
    for (const made of [data, elsewhere]) writeFileSync(join(made, 'certstatus.yaml'), '');
    chmodSync(data, isRoot ? 0o700 : 0);
    const options = { env: { CERTSTATUS_DATA: data }, cwd: elsewhere, nowMs: 0 };
    const said = lineOf(() => as(STRANGER, () => findConfigFile(options)));
    assert.equal(said, `${join(data, 'certstatus.yaml')}: cannot be read: permission denied; run this as the user that the service runs as`); // prettier-ignore
    chmodSync(data, 0o700);
    assert.equal(findConfigFile(options), join(data, 'certstatus.yaml'));
  });

  it('says of a file that it may not read who may', () => {
    const data = join(directory, 'half');
    mkdirSync(data);
    const file = join(data, 'certstatus.yaml');
    writeFileSync(file, '', { mode: isRoot ? 0o600 : 0 });
    const said = lineOf(() => as(STRANGER, () => loadConfig({ configFile: file, nowMs: 0 })));
    assert.equal(said, `${file}: cannot be read: permission denied; run this as the user that the service runs as`);
  });

  it('writes nothing into the directory of the service as root, which would be closed to it', () => {
    const data = join(directory, 'owned');
    mkdirSync(data);
    assert.equal(lineOf(() => refuseForeignDirectory(data)), 'done'); // prettier-ignore
    assert.equal(lineOf(() => refuseForeignDirectory(join(directory, 'none'))), 'done'); // prettier-ignore
    if (!isRoot) return;
    chownSync(data, STRANGER, STRANGER);
    assert.match(lineOf(() => refuseForeignDirectory(data)), /^dataDir = .*owned: belongs to the user with the number 54321, .*sudo -u '#54321'/); // prettier-ignore
    assert.equal(lineOf(() => as(STRANGER, () => refuseForeignDirectory(data))), 'done'); // prettier-ignore
  });
});
