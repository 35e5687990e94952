/**
 * Random histories of a store against a model that is plain enough to be read: what is due, who holds it, what is counted,
 * what is revoked, what may be looked up. The clock of these histories often stands still and sometimes steps back (T-07).
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { completeCrl, LANES, type Certificate, type Lane, type PublishedResponse } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, MINUTE, SECOND } from '../../src/core/time.ts';
import type { PublishOutcome, QueueItem, Store } from '../../src/ports/store.ts';
import { NOW } from '../core/sample-pki.ts';
import { certificateKey } from '../../src/core/precedence.ts';
import {
  all,
  certificate,
  counted,
  found,
  inOrder,
  response,
  serialOf,
  soon,
  TAG,
  type StoreUnderTest,
} from './store-records.ts';

const SERIALS = 6;
/** Histories per seed; a longer search: `CERTSTATUS_MODEL_SEEDS=1,2,3 CERTSTATUS_MODEL_RUNS=500`. */
const RUNS = Number(process.env['CERTSTATUS_MODEL_RUNS'] ?? 40);
const SEEDS = process.env['CERTSTATUS_MODEL_SEEDS']?.split(',').map(Number) ?? [20261121, 2, 3, randomInt(2 ** 31)];

interface Recorded {
  readonly n: number;
  readonly revoked: boolean;
  readonly lane: boolean;
  /** A change of the status goes by the mass lane. */
  readonly mass: boolean;
}

type Step =
  | {
      readonly kind: 'record';
      readonly changes: readonly Recorded[];
    }
  | { readonly kind: 'take'; readonly lane: Lane; readonly limit: number }
  | { readonly kind: 'publish'; readonly picks: number; readonly stale: boolean; readonly life: number }
  | { readonly kind: 'asked'; readonly n: number; readonly life: number }
  | { readonly kind: 'postpone' | 'drop' | 'retire'; readonly picks: number; readonly ms: number }
  | { readonly kind: 'clock'; readonly ms: number }
  | { readonly kind: 'reopen' }
  | { readonly kind: 'replay' };

const picks = fc.integer({ min: 0, max: 255 });
const life = fc.constantFrom(SECOND, MINUTE, DAY);
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('record' as const),
      changes: fc.array(
        fc.record({
          n: fc.nat(SERIALS - 1),
          revoked: fc.boolean(),
          lane: fc.boolean(),
          mass: fc.boolean(),
        }),
        {
          minLength: 1,
          maxLength: 4,
        },
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('take' as const),
      lane: fc.constantFrom<Lane>('revocation', 'issue', 'mass', 'refresh'),
      limit: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('publish' as const), picks, stale: fc.boolean(), life }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('asked' as const), n: fc.nat(SERIALS - 1), life }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('postpone' as const, 'drop' as const, 'retire' as const),
      picks,
      ms: fc.constantFrom(0, 1, SECOND, DAY),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('clock' as const), ms: fc.constantFrom(-SECOND, 1, SECOND, DAY) }),
  },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'reopen' }, { kind: 'replay' }) },
);

export function storeModel(adapter: string, begin: () => Promise<StoreUnderTest>): void {
  describe(`${adapter}: random histories`, () => {
    const met = new Map<string, number>();
    for (const seed of SEEDS) {
      it(`agree with the model (seed ${seed})`, { timeout: 240_000 }, async () => {
        await fc.assert(
          fc.asyncProperty(fc.array(steps, { minLength: 10, maxLength: 60, size: 'max' }), async (history) => {
            const under = await begin();
            const run = new Run(await under.open(), under, met);
            try {
              for (const step of history) await run.step(step);
              await run.finish();
            } finally {
              await run.store.close();
            }
          }),
          // Each try is a store: a failure is told as it was found, and made smaller by whoever looks into it.
          { numRuns: RUNS, seed, endOnFailure: true },
        );
      });
    }

    it('have met what they are for', () => {
      const expected = [
        'published',
        'superseded',
        'older',
        'stale',
        'renewed',
        'taken',
        'hold and release in one call',
      ];
      for (const name of expected) assert.ok((met.get(name) ?? 0) > 0, `${name}: ${met.get(name)}`);
    });
  });
}

interface ModelItem extends QueueItem {
  lease: 'none' | 'held' | 'renewed';
}

class Run {
  store: Store;
  readonly #under: StoreUnderTest;
  readonly #met: Map<string, number>;
  #now = NOW;
  #seq = 0;
  readonly #applied: {
    readonly changes: { certificate: Certificate; lane: Lane | undefined }[];
    readonly seq: number;
  }[] = [];
  readonly #certificates = new Map<string, Certificate>();
  readonly #answers = new Map<string, PublishedResponse>();
  readonly #queue = new Map<string, ModelItem>();
  /** The revision that a certificate had when its item was taken: no signer signs an older one. */
  readonly #taken = new WeakMap<QueueItem, number>();
  /** What this caller has taken and not yet given back. */
  #held: QueueItem[] = [];

  constructor(store: Store, under: StoreUnderTest, met: Map<string, number>) {
    this.store = store;
    this.#under = under;
    this.#met = met;
  }

  async step(step: Step): Promise<void> {
    if (step.kind === 'record') await this.#record(step.changes);
    else if (step.kind === 'take') await this.#take(step.lane, step.limit);
    else if (step.kind === 'publish') await this.#publish(this.#pick(step.picks), step.stale, step.life);
    else if (step.kind === 'asked') {
      const asked: QueueItem = { issuer: TAG, serial: serialOf(step.n), lane: 'asked', dueAt: this.#now };
      await this.#publish([asked], false, step.life);
    } else if (step.kind === 'clock') this.#now += step.ms;
    else if (step.kind === 'reopen') {
      await this.store.close();
      this.store = await this.#under.open();
      this.#held = [];
      for (const item of this.#queue.values()) item.lease = 'none';
      // What was there is counted in the background.
      await soon({ ...this.#under, shared: true }, () => this.#countsAgree());
    } else if (step.kind === 'replay') {
      for (const { changes, seq } of this.#applied.slice(-3)) await this.store.replay(changes, seq);
    } else await this.#give(step.kind, this.#pick(step.picks), step.ms);
    // From memory: in a shared store a little later, so it is looked at in the end only.
    if (!this.#shared) this.#countsAgree();
  }

  /** The slow comparisons, once per history; and that no certificate has fallen out of the queue. */
  async finish(): Promise<void> {
    const under = this.#under;
    await soon(under, () => this.#countsAgree());
    const expected = [...this.#certificates.values()]
      .sort((a, b) => (a.serial < b.serial ? -1 : 1))
      .map((recorded) => counted(under, recorded));
    assert.deepEqual(
      (await inOrder(this.store.certificates(TAG))).map((recorded) => counted(under, recorded)),
      expected,
    );
    if (!this.#shared) assert.equal(await this.store.appliedSeq(), this.#seq);
    assert.deepEqual(
      (await all(this.store.revokedEntries(completeCrl(TAG)).pages)).map((entry) => counted(under, entry)),
      expected.flatMap(({ serial, revocation, notAfter, recordedAt, recordedSeq }) =>
        revocation === undefined ? [] : [{ serial, ...revocation, notAfter, recordedAt, recordedSeq }],
      ),
    );
    for (const recorded of expected) {
      const looked = found(under, await this.store.lookup(TAG, recorded.serial));
      const answer = this.#answers.get(recorded.serial);
      if (answer?.revision === recorded.revision) {
        assert.deepEqual(looked, { kind: 'published', certificate: recorded, response: answer });
        const queued = [...this.#queue.values()].some(
          ({ lane, serial }) => lane === 'refresh' && serial === recorded.serial,
        );
        assert.ok(queued, 'whatever is published will be refreshed');
      } else assert.deepEqual(looked, { kind: 'pending', certificate: recorded });
    }
  }

  async #record(list: readonly Recorded[]): Promise<void> {
    const seqs = list.map(() => ++this.#seq);
    const before = new Set(list.map(({ n }) => serialOf(n)));
    const changes = list.map(({ n, revoked, lane, mass }, i) => {
      const current = this.#certificates.get(serialOf(n));
      const revocation = revoked ? { revokedAt: NOW, reason: 'certificateHold' as const } : undefined;
      this.#recordedAgain(serialOf(n));
      const says = (current?.revocation !== undefined) === revoked;
      const next = certificate(n, seqs[i] as number, {
        // The same status again stands for what is learnt: no new revision, and mostly no lane.
        revision: current === undefined ? 1 : current.revision + (says ? 0 : 1),
        revocation,
        recordedAt: this.#now,
        precertificate: lane,
      });
      this.#certificates.set(next.serial, next);
      const queued: Lane | undefined =
        current === undefined ? 'issue' : !says ? (mass ? 'mass' : 'revocation') : lane ? 'refresh' : undefined;
      const answer = this.#answers.get(next.serial);
      const refreshed = queued === 'refresh' && answer?.revision === next.revision && this.#isDue(next.serial);
      if (queued !== undefined && !(this.#shared && refreshed))
        this.#insert({ issuer: TAG, serial: next.serial, lane: queued, dueAt: this.#now });
      return { certificate: next, lane: queued };
    });
    for (const waiting of ['revocation', 'mass']) {
      const revocations = changes.filter(({ lane }) => lane === waiting);
      if (new Set(revocations.map((change) => change.certificate.serial)).size < revocations.length)
        this.#meet('hold and release in one call');
    }
    assert.equal(await this.store.apply(changes, this.#seq, await this.#decidedOn(before)), 'applied');
    this.#applied.push({ changes, seq: this.#seq });
  }

  async #decidedOn(serials: ReadonlySet<Serial>): Promise<Map<string, Certificate | undefined>> {
    const known = await this.store.find(TAG, [...serials]);
    return new Map([...serials].map((serial, i) => [certificateKey({ issuer: TAG, serial }), known[i]]));
  }

  async #take(lane: Lane, limit: number): Promise<void> {
    const due = [...this.#queue.entries()]
      .filter(([, item]) => item.lane === lane && item.dueAt <= this.#now && item.lease === 'none')
      .sort(([, a], [, b]) => a.dueAt - b.dueAt || (a.serial < b.serial ? -1 : 1));
    // Which of them are the longest due a shared store says roughly in the refresh lane (ports/store.ts).
    if (this.#shared && lane === 'refresh')
      return this.#takeSome(
        due.map(([, item]) => item),
        limit,
      );
    const expected: QueueItem[] = [];
    for (const [key, item] of due) {
      if (expected.length === limit) break;
      const answer = this.#answers.get(item.serial);
      const revision = this.#certificates.get(item.serial)?.revision as number;
      // A shared store has no overtaken work in the refresh lane: when a certificate is due stands beside its answer.
      const refreshed = lane === 'refresh' && (this.#shared || (answer?.refreshAt as number) <= item.dueAt);
      const live = !answer || answer.revision < revision || refreshed;
      if (live) {
        item.lease = 'held';
        const { issuer, serial, dueAt } = item;
        expected.push({ lane, dueAt, issuer, serial });
        this.#meet('taken');
      } else {
        this.#queue.delete(key);
        this.#meet('stale');
      }
    }
    const items = await this.store.takeDue(lane, this.#now, limit);
    assert.deepEqual(items, expected);
    this.#hold(items);
  }

  async #takeSome(due: readonly ModelItem[], limit: number): Promise<void> {
    const items = await this.store.takeDue('refresh', this.#now, limit);
    assert.equal(items.length, Math.min(limit, due.length));
    for (const item of items) {
      const known = due.find(({ serial }) => serial === item.serial);
      assert.ok(known?.lease === 'none' && known.dueAt === item.dueAt);
      known.lease = 'held';
      this.#meet('taken');
    }
    this.#hold(items);
  }

  #hold(items: readonly QueueItem[]): void {
    this.#held.push(...items);
    for (const item of items) this.#taken.set(item, this.#certificates.get(item.serial)?.revision as number);
  }

  async #publish(items: readonly QueueItem[], stale: boolean, life: number): Promise<void> {
    const thisUpdate = Math.floor(this.#now / SECOND) * SECOND;
    const expected: PublishOutcome[] = [];
    const answers = items.flatMap((item) => {
      const recorded = this.#certificates.get(item.serial);
      if (recorded === undefined) return [];
      const revision = (stale ? this.#taken.get(item) : undefined) ?? recorded.revision;
      const signed = { ...recorded, revision };
      return [{ item, response: response(signed, thisUpdate, { refreshAt: thisUpdate + life }) }];
    });
    const ended: QueueItem[] = [];
    for (const { response: signed, item } of answers) {
      const answer = this.#answers.get(item.serial);
      let outcome: PublishOutcome = 'published';
      if (signed.revision !== this.#certificates.get(item.serial)?.revision) outcome = 'superseded';
      else if (answer && answer.revision === signed.revision && answer.thisUpdate >= signed.thisUpdate)
        outcome = 'older';
      expected.push(outcome);
      this.#meet(outcome);
      if (outcome !== 'older') ended.push(item);
      if (outcome !== 'published') continue;
      const publishedAt = answer?.revision === signed.revision ? answer.publishedAt : signed.publishedAt;
      this.#answers.set(item.serial, { ...signed, publishedAt });
    }
    this.#end(ended);
    answers.forEach(({ response: { issuer, serial, refreshAt } }, i) => {
      if (expected[i] === 'published') this.#insert({ issuer, serial, lane: 'refresh', dueAt: refreshAt }, true);
    });
    assert.deepEqual(await this.store.publish(answers), expected);
  }

  async #give(how: 'postpone' | 'drop' | 'retire', items: readonly QueueItem[], ms: number): Promise<void> {
    if (how === 'postpone') {
      const kept = new Set(items.filter((item) => this.#shared && this.#leaseOf(item) === 'renewed'));
      this.#end(items);
      // As the signer does: never earlier than any was due, or a refresh item counts as overtaken.
      const dueAt = items.reduce((latest, item) => Math.max(latest, item.dueAt), this.#now + ms);
      for (const item of items) if (!kept.has(item)) this.#insert({ ...item, dueAt });
      return this.store.postpone(items, dueAt);
    }
    if (how === 'retire') {
      this.#end(items);
      for (const { serial } of items) this.#answers.delete(serial);
      return this.store.retire(items);
    }
    // As the signer does: what was answered meanwhile is dropped, except in the refresh lane.
    const answered = items.filter(({ lane }) => lane !== 'refresh');
    this.#end(answered);
    this.#held.push(...items.filter((item) => !answered.includes(item)));
    return this.store.drop(answered);
  }

  #pick(mask: number): QueueItem[] {
    const chosen = this.#held.filter((_, i) => mask & (1 << (i % 8)));
    this.#held = this.#held.filter((item) => !chosen.includes(item));
    return chosen;
  }

  /** @param anew a shared store moves the one item that there is of the certificate; else it keeps the earlier instant. */
  #insert(item: QueueItem, anew = false): void {
    const key = this.#keyOf(item);
    const known = this.#queue.get(key);
    if (known === undefined) return void this.#queue.set(key, { ...item, lease: 'none' });
    const dueAt = anew || item.dueAt < known.dueAt ? item.dueAt : known.dueAt;
    if (known.lease !== 'none') {
      known.lease = 'renewed';
      this.#meet('renewed');
    }
    this.#queue.set(key, { ...known, dueAt });
  }

  /** In a shared store a refresh item counts as inserted again whenever its certificate was recorded again (adapters/redis/leases.ts). */
  #recordedAgain(serial: Serial): void {
    const known = this.#shared ? this.#queue.get(`refresh ${serial}`) : undefined;
    if (known?.lease === 'held') known.lease = 'renewed';
  }

  #leaseOf(item: QueueItem): ModelItem['lease'] | undefined {
    return this.#queue.get(this.#keyOf(item))?.lease;
  }

  #isDue(serial: Serial): boolean {
    return [...this.#queue.values()].some((item) => item.lane === 'refresh' && item.serial === serial);
  }

  get #shared(): boolean {
    return this.#under.shared === true;
  }

  #keyOf({ lane, dueAt, serial }: QueueItem): string {
    return this.#shared ? `${lane} ${serial}` : `${lane} ${dueAt} ${serial}`;
  }

  #end(items: readonly QueueItem[]): void {
    for (const item of items) {
      const known = this.#queue.get(this.#keyOf(item));
      if (known?.lease === 'renewed') known.lease = 'none';
      else if (known?.lease === 'held') this.#queue.delete(this.#keyOf(item));
    }
  }

  #countsAgree(): void {
    for (const lane of LANES) {
      const width = lane === 'refresh' ? MINUTE : SECOND;
      const buckets = [...this.#queue.values()]
        .filter((item) => item.lane === lane)
        .map(({ dueAt }) => Math.floor(dueAt / width) * width);
      assert.equal(
        this.store.backlog(lane, this.#now),
        buckets.filter((at) => at <= this.#now).length,
        `backlog ${lane}`,
      );
      assert.equal(
        this.store.oldestDue(lane),
        buckets.length === 0 ? undefined : Math.min(...buckets),
        `oldest ${lane}`,
      );
    }
  }

  #meet(name: string): void {
    this.#met.set(name, (this.#met.get(name) ?? 0) + 1);
  }
}
