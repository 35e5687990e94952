/** Who may activate a token, what is recorded when, and what becomes of shares: with a token that only counts what it is asked. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FileJournal } from '../../src/adapters/journal/file-journal.ts';
import { combineShares, splitPin } from '../../src/apps/shares.ts';
import type { JournalRecord } from '../../src/core/journal-record.ts';
import { Problem } from '../../src/core/problem.ts';
import { parseShare, type Share } from '../../src/core/share.ts';
import { MINUTE, SECOND } from '../../src/core/time.ts';
import { Activation } from '../../src/flows/sign/activation.ts';
import type { Person } from '../../src/flows/sign/token-records.ts';
import type { Token, TokenKey, TokenState } from '../../src/ports/token.ts';
import { FakeClock, settled } from './support-clock.ts';
import { START, TestJournal } from './support-service.ts';

const PIN = Buffer.from('Rand-812-Vogel');
const person = (name: string): Person => ({ name, actor: `${name} (client certificate 00)` });
const [ALICE, BOB, CAROL, DORA] = ['alice', 'bob', 'carol', 'dora'].map(person) as [Person, Person, Person, Person];

class TestToken implements Token {
  readonly name: string;
  readonly describe = 'test token';
  state: TokenState = 'inactive';
  failure: string | undefined = 'token is not activated';
  /** PINs it was asked with, as text. */
  readonly asked: string[] = [];
  logouts = 0;
  /** What the next login fails with. */
  broken: Problem | undefined;
  /** Called when a login begins. */
  onLogin: () => void = () => undefined;
  #listeners: (() => void)[] = [];

  constructor(name: string) {
    this.name = name;
  }

  async activate(pin: Uint8Array): Promise<void> {
    this.asked.push(Buffer.from(pin).toString());
    this.onLogin();
    if (this.broken !== undefined) {
      const { broken } = this;
      this.broken = undefined;
      if (broken.code === 'refused') this.become('refused', 'refuses the PIN');
      throw broken;
    }
    this.become('active', undefined);
  }

  async deactivate(): Promise<void> {
    this.logouts += 1;
    this.become('inactive', 'token is not activated');
  }

  become(state: TokenState, failure: string | undefined): void {
    this.state = state;
    this.failure = failure;
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  keys(): Promise<readonly TokenKey[]> {
    return Promise.resolve([]);
  }

  generate(type: string, label: string, id: Buffer): Promise<TokenKey> {
    return Promise.resolve({ label, id: id.toString('hex'), type, publicKey: undefined, sensitive: true, extractable: false }); // prettier-ignore
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

describe('Activation', () => {
  let dir: string;
  let clock: FakeClock;
  let journal: TestJournal;
  let shared: TestToken;
  let single: TestToken;
  let activation: Activation;
  let shares: Share[];
  /** What the flow logged, to be searched for secrets. */
  let said: string;

  const fresh = async (pin = PIN, threshold = 3): Promise<Share[]> =>
    (await splitPin(pin, 'ocsp', 5, threshold)).map((text) => parseShare(text, 'share'));

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'certstatus-activation-'));
    clock = new FakeClock(START);
    journal = new TestJournal(await FileJournal.open(join(dir, 'audit'), clock));
    shared = new TestToken('ocsp');
    single = new TestToken('crl');
    shares = await fresh();
    said = '';
    const write = (about: object, message: string): void => void (said += JSON.stringify(about) + message);
    activation = new Activation(
      [
        { token: shared, threshold: 3, source: 'shares' },
        { token: single, threshold: undefined, source: 'prompt' },
      ],
      combineShares,
      journal,
      clock,
      { debug: write, info: write, warn: write, error: write },
    );
  });
  afterEach(async () => {
    assert.ok(!said.includes(PIN.toString()));
    await activation.stop();
    await settled();
    await journal.close();
    rmSync(dir, { recursive: true, force: true });
  });

  const enter = (index: number, who: Person): ReturnType<Activation['addShare']> =>
    activation.addShare('ocsp', shares[index] as Share, who);
  async function records(): Promise<JournalRecord[]> {
    await settled();
    const all: JournalRecord[] = [];
    for await (const record of journal.read(0)) all.push(record);
    return all;
  }
  const types = async (): Promise<string[]> => (await records()).map(({ type }) => type.replace('token.', ''));
  const gone = (of: readonly Share[]): boolean => of.every(({ octets }) => octets.every((octet) => octet === 0));

  it('three persons with a share each activate it; the records name them', async () => {
    assert.deepEqual((await enter(0, ALICE)).shares?.persons, ['alice']);
    await enter(3, BOB);
    assert.equal(shared.asked.length, 0);
    const view = await enter(4, CAROL);
    assert.deepEqual([view.state, view.shares, view.activated?.persons], ['active', undefined, ['alice', 'bob', 'carol']]); // prettier-ignore
    assert.deepEqual(shared.asked, [PIN.toString()]);
    assert.ok(gone([shares[0] as Share, shares[3] as Share, shares[4] as Share]));
    assert.deepEqual(await types(), ['share-entered', 'share-entered', 'share-entered', 'activating', 'activated']);
    const last = (await records()).at(-1) as JournalRecord;
    assert.deepEqual(last.detail, { token: 'ocsp', persons: ['alice', 'bob', 'carol'], source: 'shares' });
    assert.match(last.actor, /alice .*bob .*carol/);
    assert.ok(!JSON.stringify(await records()).includes(PIN.toString()));
  });

  it('persons in the same moment are counted one by one', async () => {
    await Promise.all([enter(0, ALICE), enter(1, BOB), enter(2, CAROL)]);
    assert.deepEqual(shared.asked, [PIN.toString()]);
    await assert.rejects(enter(3, DORA), { code: 'conflict' });
  });

  it('refuses one person twice, one share twice, and shares of another set, token or threshold', async () => {
    const copy: Share = { ...(shares[0] as Share), octets: Uint8Array.from((shares[0] as Share).octets) };
    await enter(0, ALICE);
    await assert.rejects(enter(1, ALICE), /alice has entered a share already/);
    await assert.rejects(activation.addShare('ocsp', copy, BOB), /the one that alice has entered/);
    await assert.rejects(activation.addShare('ocsp', (await fresh())[2] as Share, BOB), /is of set/);
    await assert.rejects(activation.addShare('ocsp', (await fresh(PIN, 2))[2] as Share, BOB), /threshold of 2/);
    await assert.rejects(activation.addShare('crl', shares[2] as Share, BOB), /not activated by shares/);
    await assert.rejects(activation.addShare('ocsp', { ...(shares[2] as Share), token: 'other' }, BOB), /for token other/); // prettier-ignore
    await assert.rejects(activation.addShare('nope', shares[3] as Share, BOB), { code: 'not-found' });
    assert.deepEqual(activation.view('ocsp').shares?.persons, ['alice']);
    assert.deepEqual((await types()).filter((type) => type === 'activation-failed').length, 6);
  });

  it('a set that does not make the PIN is never sent to the token, and is overwritten', async () => {
    const set = (shares[0] as Share).set;
    const others = (await fresh()).map((share) => ({ ...share, set }));
    await enter(0, ALICE);
    await enter(1, BOB);
    await assert.rejects(activation.addShare('ocsp', others[2] as Share, CAROL), /do not belong together/);
    assert.deepEqual(shared.asked, []);
    assert.ok(gone([shares[0] as Share, shares[1] as Share, others[2] as Share]));
    assert.equal(activation.view('ocsp').shares, undefined);
    assert.equal((await types()).at(-1), 'activation-failed');
    shares = await fresh();
    for (const [i, who] of [ALICE, BOB, CAROL].entries()) await enter(i, who);
    assert.equal(shared.state, 'active');
  });

  it('shares that wait for 15 minutes are dropped, and that is recorded', async () => {
    await enter(0, ALICE);
    await clock.advance(10 * MINUTE);
    await enter(1, BOB);
    await clock.advance(5 * MINUTE - SECOND);
    assert.deepEqual(activation.view('ocsp').shares?.persons, ['alice', 'bob']);
    await clock.advance(2 * SECOND);
    assert.equal(activation.view('ocsp').shares, undefined);
    assert.ok(gone(shares.slice(0, 2)));
    assert.match((await records()).at(-1)?.description ?? '', /2 shares are dropped/);
    assert.equal(clock.timers, 0);
    await enter(2, CAROL);
    assert.deepEqual(activation.view('ocsp').shares?.persons, ['carol']);
  });

  it('shares and requests have run out also where no timer ran: the machine slept', async () => {
    await enter(0, ALICE);
    await enter(1, BOB);
    clock.step(16 * MINUTE);
    assert.deepEqual((await enter(2, CAROL)).shares?.persons, ['carol']);
    assert.deepEqual(shared.asked, []);
    assert.ok(gone(shares.slice(0, 2)));
    shares = await fresh();
    clock.step(16 * MINUTE);
    for (const [i, who] of [ALICE, BOB, CAROL].entries()) await enter(i, who);
    await activation.deactivate('ocsp', ALICE);
    await activation.deactivate('ocsp', BOB);
    clock.step(16 * MINUTE);
    assert.deepEqual((await activation.deactivate('ocsp', CAROL)).deactivation?.persons, ['carol']);
    assert.equal(shared.state, 'active');
    await clock.advance(20 * MINUTE);
    assert.equal(activation.view('ocsp').deactivation, undefined);
    assert.equal(clock.timers, 0);
  });

  it('a first share of a wrong set does not keep everybody out: its person enters another instead', async () => {
    const old = (await fresh(Buffer.from('Old-PIN-4711')))[0] as Share;
    await activation.addShare('ocsp', old, ALICE);
    await assert.rejects(enter(1, BOB), /is of set/);
    assert.deepEqual((await enter(0, ALICE)).shares?.persons, ['alice']);
    assert.ok(gone([old]));
    assert.match((await records()).at(-2)?.description ?? '', /dropped: alice enters one of another set/);
    shares = [...shares, ...(await fresh())];
    shares[1] = shares[2] as Share;
    await enter(1, BOB);
    await assert.rejects(enter(5, ALICE), /alice has entered a share already/, 'not once others have entered theirs');
    await enter(3, CAROL);
    assert.equal(shared.state, 'active');
  });

  it('while the audit log cannot be written no share is taken and nothing is sent to the token (P8)', async () => {
    await enter(0, ALICE);
    await enter(1, BOB);
    journal.broken = 'no space left on device';
    await assert.rejects(enter(2, CAROL), { code: 'unavailable' });
    await assert.rejects(activation.activate('crl', PIN, [ALICE]), { code: 'unavailable' });
    assert.deepEqual([shared.asked, single.asked], [[], []]);
    assert.deepEqual(activation.view('ocsp').shares?.persons, ['alice', 'bob']);
    journal.broken = undefined;
    await enter(3, CAROL);
    assert.equal(shared.state, 'active');
  });

  it('an activation that cannot be recorded after the login is taken back', async () => {
    single.onLogin = () => (journal.broken = 'no space left on device');
    await assert.rejects(activation.activate('crl', PIN, [ALICE]), { code: 'unavailable' });
    assert.equal(single.state, 'inactive');
    assert.equal(activation.view('crl').activated, undefined);
    journal.broken = undefined;
    assert.deepEqual(await types(), ['activating']);
  });

  it('records what the token refuses, and does not try again', async () => {
    single.broken = new Problem('refused', 'the token refuses the PIN');
    await assert.rejects(activation.activate('crl', PIN, [ALICE]), { code: 'refused' });
    await clock.advance(60 * MINUTE);
    assert.equal(single.asked.length, 1);
    assert.deepEqual(await types(), ['activating', 'activation-failed']);
    single.broken = new Problem('unavailable', 'no such device');
    await assert.rejects(activation.activate('crl', PIN, [ALICE]), { code: 'unavailable' });
    await activation.activate('crl', PIN, [BOB]);
    assert.deepEqual(activation.view('crl').activated?.persons, ['bob']);
    await assert.rejects(activation.activate('crl', PIN, [BOB]), { code: 'conflict' });
  });

  it('a token that asks for shares takes no PIN from one person', async () => {
    await assert.rejects(activation.activate('ocsp', PIN, [ALICE, BOB, CAROL]), { code: 'refused' });
    assert.deepEqual(shared.asked, []);
  });

  it('is deactivated by as many persons as activate it, within 15 minutes (CT-6.2.9)', async () => {
    await assert.rejects(activation.deactivate('ocsp', ALICE), { code: 'conflict' });
    for (const [i, who] of [ALICE, BOB, CAROL].entries()) await enter(i, who);
    await activation.deactivate('ocsp', ALICE);
    await assert.rejects(activation.deactivate('ocsp', ALICE), { code: 'refused' });
    await clock.advance(16 * MINUTE);
    assert.equal(activation.view('ocsp').deactivation, undefined);
    await activation.deactivate('ocsp', BOB);
    await activation.deactivate('ocsp', ALICE);
    assert.equal(shared.state, 'active');
    journal.broken = 'no space left on device';
    await assert.rejects(activation.deactivate('ocsp', DORA), { code: 'unavailable' });
    assert.equal(shared.state, 'active');
    journal.broken = undefined;
    assert.equal((await activation.deactivate('ocsp', DORA)).state, 'inactive');
    assert.deepEqual((await records()).at(-1)?.detail, { token: 'ocsp', persons: ['bob', 'alice', 'dora'] });
    await activation.activate('crl', PIN, [ALICE]);
    assert.equal((await activation.deactivate('crl', BOB)).state, 'inactive', 'one person where one activates');
  });

  it('records a loss and a return, with when it happened, as soon as the log can be written', async () => {
    await activation.activate('crl', PIN, [ALICE]);
    journal.broken = 'no space left on device';
    single.become('lost', 'it does not answer');
    single.become('lost', 'it still does not answer');
    await clock.advance(MINUTE);
    journal.broken = undefined;
    await clock.advance(MINUTE);
    single.become('active', undefined);
    single.become('refused', 'refuses the PIN');
    const [lost, recovered, refused] = (await records()).slice(-3) as [JournalRecord, JournalRecord, JournalRecord];
    assert.deepEqual(
      [lost.type, recovered.type, refused.type],
      ['token.lost', 'token.recovered', 'token.activation-failed'],
    );
    assert.ok(Date.parse(lost.at) - Date.parse(lost.eventAt as string) >= 30 * SECOND);
    assert.deepEqual(recovered.detail, { token: 'crl', persons: ['alice'] });
    assert.equal(activation.view('crl').activated, undefined);
  });

  it('records the making of a key before and after (SR-6.1.1-b), or does not make it', async () => {
    await activation.generate('ocsp', 'P-256', 'next', Buffer.of(10), DORA);
    assert.deepEqual(await types(), ['key-generated', 'key-generated']);
    journal.broken = 'no space left on device';
    await assert.rejects(activation.generate('ocsp', 'P-256', 'other', Buffer.of(11), DORA), { code: 'unavailable' });
  });

  it('a stop drops what waits, logs out and records it', async () => {
    await activation.activate('crl', PIN, [ALICE]);
    await enter(0, BOB);
    await activation.stop();
    assert.ok(gone(shares.slice(0, 1)));
    assert.equal(single.state, 'inactive');
    assert.deepEqual((await types()).slice(-1), ['deactivated']);
    await assert.rejects(enter(1, CAROL), { code: 'unavailable' });
    assert.equal(clock.timers, 0);
  });
});
