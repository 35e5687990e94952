/** One ledger, several journals: what another intake has changed meanwhile, and what a store has forgotten. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Certificate } from '../../src/core/certificate.ts';
import { LedgerKeeper } from '../../src/flows/keep-ledger.ts';
import type { Change } from '../../src/ports/store.ts';
import { settled } from './support-clock.ts';
import { serials, TestService } from './support-service.ts';

const open: TestService[] = [];
after(() => Promise.all(open.map((service) => service.remove())));
async function begin(): Promise<TestService> {
  const service = await TestService.open();
  open.push(service);
  return service;
}

/** Another intake revokes `serial` in the moment between decision and application, `times` times. */
function overtake(service: TestService, serial: string, times: number): { left: number } {
  const plan = { left: times };
  service.interfere.apply = async (real, changes, seq, decidedOn) => {
    if (plan.left === 0 || !changes.some(({ certificate }) => certificate.serial === serial))
      return real(changes, seq, decidedOn);
    plan.left -= 1;
    const [current] = await service.store.find(service.served.tag, [changes[0]?.certificate.serial as never]);
    if (current !== undefined && current.revocation === undefined) {
      const revoked: Certificate = {
        ...current,
        revision: current.revision + 1,
        revocation: { revokedAt: service.clock.now(), reason: 'superseded' },
        recordedSeq: current.recordedSeq + 1000,
      };
      await service.store.replay([{ certificate: revoked, lane: 'revocation' }], seq);
    }
    return 'overtaken';
  };
  return plan;
}

const types = async (service: TestService): Promise<string[]> => {
  const all: string[] = [];
  for await (const record of service.journal.read(0)) all.push(record.type);
  return all;
};

describe('a change that another intake has overtaken', () => {
  it('is taken back in the journal and decided anew, on what the other has recorded', async () => {
    const service = await begin();
    const [serial] = serials(1);
    await service.issue([serial as never]);
    overtake(service, serial as string, 1);
    const [receipt] = await service.revoke([serial as never], 'superseded');
    assert.equal(receipt?.revision, 2, 'the revision of the other intake: nothing was left to change');
    assert.deepEqual(await types(service), ['certificates.issued', 'certificates.revoked', 'certificates.overtaken']);
  });

  it('rejects what the other has made impossible, and says why', async () => {
    const service = await begin();
    const [serial] = serials(1);
    await service.issue([serial as never]);
    overtake(service, serial as string, 1);
    await assert.rejects(service.revoke([serial as never], 'affiliationChanged'), { code: 'conflict' });
    const [state] = await service.store.find(service.served.tag, [serial as never]);
    assert.equal(state?.revocation?.reason, 'superseded');
  });

  it('takes the whole request back, not the one certificate', async () => {
    const service = await begin();
    const [first, second] = serials(2) as [never, never];
    await service.issue([first, second]);
    overtake(service, first, 1);
    await assert.rejects(service.revoke([first, second], 'affiliationChanged'), { code: 'conflict' });
    const [, state] = await service.store.find(service.served.tag, [first, second]);
    assert.equal(state?.revocation, undefined);
  });

  it('is given up after a while, so that nobody waits for ever', async () => {
    const service = await begin();
    const [serial] = serials(1);
    overtake(service, serial as string, Infinity);
    await assert.rejects(service.issue([serial as never]), { code: 'unavailable' });
    service.interfere = {};
    assert.equal((await service.issue([serial as never])).length, 1);
  });

  it('does not come back with the replay', async () => {
    const service = await begin();
    const [serial] = serials(1);
    await service.issue([serial as never]);
    overtake(service, serial as string, 1);
    await service.revoke([serial as never], 'superseded').catch(() => undefined);
    service.interfere = {};
    const replayed: number[] = [];
    service.interfere.replay = (real, changes, seq) => {
      if (changes.length > 0) replayed.push(seq);
      return real(changes, seq);
    };
    service.interfere.appliedSeq = () => Promise.resolve(0);
    assert.equal(await service.recorder.recover(), 1);
    assert.deepEqual(replayed, [1], 'record 2 was taken back by record 3');
  });
});

describe('LedgerKeeper', () => {
  it('replays everything and vouches only then, as often as the store has forgotten', async () => {
    const service = await begin();
    const three = serials(3);
    await service.issue(three);
    const story: string[] = [];
    let mustVouch = true;
    let broken = true;
    const { store } = service;
    const forgetful = {
      failure: undefined,
      failureOf: () => undefined,
      propagationMs: 0,
      silentMs: () => 0,
      get mustVouch() {
        return mustVouch;
      },
      appliedSeq: () => Promise.resolve(0),
      newestSeq: () => Promise.resolve(0),
      find: store.find,
      apply: store.apply,
      revokedEntries: store.revokedEntries,
      certificates: store.certificates,
      replay: (changes: readonly Change[]) => {
        story.push(`replay ${changes.length}`);
        if (broken) return Promise.reject(new Error('the store went away'));
        return Promise.resolve();
      },
      vouch: () => {
        story.push('vouch');
        mustVouch = false;
        return Promise.resolve();
      },
    };
    const { Recorder } = await import('../../src/flows/record.ts');
    const recorder = new Recorder(forgetful, service.journal, service.clock);
    const said: string[] = [];
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: (_: object, message: string) => void said.push(message),
      error: (_: object, message: string) => void said.push(message),
    };
    const keeper = new LedgerKeeper(recorder, forgetful, service.clock, log);
    keeper.start();
    await settled();
    await service.clock.advance(600);
    assert.deepEqual(new Set(story), new Set(['replay 3']), 'no vouch on half a replay');
    assert.equal(said.length, 1, 'said once');
    broken = false;
    story.length = 0;
    await service.clock.advance(600);
    assert.deepEqual(story, ['replay 3', 'replay 0', 'vouch']);
    mustVouch = true;
    await service.clock.advance(600);
    assert.deepEqual(story.slice(3), ['replay 3', 'replay 0', 'vouch']);
    await keeper.stop();
  });
});
