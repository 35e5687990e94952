/** What sd_listen_fds(3) says of the variables, and what this program can take of it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passedPublicSocket } from '../../src/apps/passed-sockets.ts';

const PID = 4711;
const passed = (fds: string, names?: string, pid = String(PID)): number | undefined =>
  passedPublicSocket({ LISTEN_PID: pid, LISTEN_FDS: fds, ...(names !== undefined && { LISTEN_FDNAMES: names }) }, PID);

describe('passedPublicSocket', () => {
  it('is the first descriptor behind standard error', () => {
    assert.equal(passed('1', 'public'), 3);
  });

  it('is none where none is passed, or to another process', () => {
    assert.equal(passedPublicSocket({}, PID), undefined);
    assert.equal(passed('0'), undefined);
    assert.equal(passed('1', 'public', '4712'), undefined);
    assert.equal(passed('1', 'origin', '4712'), undefined);
  });

  for (const [what, fds, names, message] of [
    ['one for the origin port', '2', 'public:origin', /uWebSockets\.js cannot take/],
    ['one without a name', '1', undefined, /FileDescriptorName=public/],
    ['one for the intake', '1', 'intake', /FileDescriptorName=public/],
    ['two for one port', '2', 'public:public', /one public socket only/],
  ] as const) {
    it(`refuses ${what}, instead of leaving its clients in the queue`, () => {
      assert.throws(() => passed(fds, names), { code: 'config', message });
    });
  }
});
