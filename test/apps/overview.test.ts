/** `overview`: everything that the status has is said, and the running service is asked as its operator asks it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { overviewText, paintFor } from '../../src/apps/overview-text.ts';
import { sample } from '../support/sample-status.ts';
import { Service } from '../support/service.ts';

const WORDS = ['one', 'two', 'three', 'four', 'five'];
const plain = paintFor({ isTTY: false }, {});

describe('the overview of a status', () => {
  const status = sample(WORDS);
  const text = overviewText(status, plain);

  it('begins with the verdict, and says of each problem what it means, what breaks when, and what to do', () => {
    assert.ok(text.startsWith(`${status.verdict.toUpperCase()}  ${status.sentence}`));
    for (const { what, means, todo, alert, promise } of status.problems) {
      for (const said of [what, means, `To do: ${todo} (${alert})`]) assert.ok(text.includes(said), said);
      if (promise !== undefined) assert.ok(text.includes(`${promise.id} breaks ${promise.breaksAt}`));
    }
    assert.ok(status.problems.length > 0);
  });

  it('has every issuer, lane and token, and what is due next', () => {
    for (const { id } of status.issuers) assert.ok(text.includes(id));
    for (const { lane } of status.lanes) assert.ok(text.includes(lane));
    for (const { name, state } of status.tokens) assert.ok(text.includes(`${name} ${state}`));
    for (const { what, at } of status.due.slice(0, 3)) assert.ok(text.includes(what) && text.includes(at));
  });

  it('is plain text where there is no terminal, and where nobody wants colours', () => {
    assert.ok(!text.includes('\u001b'));
    assert.ok(overviewText(status, paintFor({ isTTY: true }, {})).includes('\u001b[3'));
    assert.ok(!overviewText(status, paintFor({ isTTY: true }, { NO_COLOR: '1' })).includes('\u001b'));
  });
});

describe('certstatus overview', () => {
  let service: Service;
  before(async () => (service = await Service.demo()));
  after(() => service.remove());

  it('says that all is well, with exit 0, and has the whole status with --json', async () => {
    const { code, stdout, stderr } = await service.run('overview');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^(OK|WARNING) {2}\S/);
    assert.match(stdout, /\ndemo +\d/);
    const { issuers, verdict } = await service.json('overview');
    assert.equal(issuers[0].id, 'demo');
    assert.notEqual(verdict, 'failing');
  });

  it('looks again with --watch, until it is ended', async () => {
    const { child, done } = service.command(['--json', 'overview', '--watch']);
    let lines = 0;
    await new Promise<void>((resolve) =>
      child.stdout?.on('data', (chunk: Buffer) => {
        lines += chunk.toString().split('\n').length - 1;
        if (lines >= 2) resolve();
      }),
    );
    child.kill('SIGINT');
    const { stdout } = await done;
    for (const line of stdout.trim().split('\n')) assert.equal(JSON.parse(line).issuers[0].id, 'demo');
  });

  it('ends with 1 when the service is gone, and says what to do', async () => {
    await service.stop();
    const { code, stderr } = await service.run('overview');
    assert.equal(code, 1);
    assert.match(stderr, /no service answers there: start it \(certstatus serve\)/);
  });
});
