/**
 * Makes the plan of a mass revocation: goes through the ledger once, or looks up a list, and writes down what is to be revoked.
 *
 *  1. check     reason, clause and dates against every issuer's profile: what a single revocation would refuse stops here.
 *  2. select    page by page, so that ten million certificates take the memory of a page. Each line goes to the list's draft.
 *  3. journal   who planned what, with the digest.
 *  4. keep      list and plan, in one rename. A crash before: there is no plan, and the draft is removed at the next start.
 */
import { randomBytes } from 'node:crypto';
import { completeCrl, COMPLETE, type Certificate, type IssuerTag } from '../../core/certificate.ts';
import { MAX_ENTRY_OCTETS, putEntry } from '../../core/crl/crl.ts';
import { journalChange } from '../../core/journal-record.ts';
import { criteriaText, fateOf, massOrder, selects, type Criteria, type MassOrder } from '../../core/mass/order.ts';
import {
  planDigest,
  plannedCrl,
  SIGNED_RECORD_OCTETS,
  STORE_OCTETS,
  type KnownRate,
  type MassPlan,
  type PlannedCrl,
} from '../../core/mass/plan.ts';
import { Problem } from '../../core/problem.ts';
import type { Serial } from '../../core/serial.ts';
import { rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { ListDraft, ListedCertificate, MassShelf } from '../../ports/mass-shelf.ts';
import type { CrlShelf, Freshness, Ledger } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';

export interface PlanRequest {
  readonly issuers: readonly ServedIssuer[];
  readonly criteria: Criteria;
  /** Id of a list that was handed in; with one issuer. */
  readonly list: string | undefined;
  readonly order: Omit<MassOrder, 'deadline'>;
  /** Measures the key holder for so long; undefined: what was measured last. */
  readonly measureMs: number | undefined;
}

export interface PlannerParts {
  readonly shelf: MassShelf;
  readonly store: Ledger & CrlShelf;
  readonly freshness: Freshness;
  readonly journal: Journal;
  readonly clock: Clock;
  /** Certificates a second, of one issuer's keys. Undefined in a process without keys. */
  readonly measure: ((issuer: ServedIssuer, ms: number, actor: string) => Promise<number>) | undefined;
}

/** A plan in the making. */
export interface Planning {
  readonly id: string;
  /** Certificates or lines looked at. */
  scanned: number;
  failure: Problem | undefined;
  done: boolean;
}

/** Looked up, or written to the list, at once. */
const PAGE = 1000;
/** Of the plans that were being made since the start: enough for whoever asks what became of his. */
const MAX_PLANNING = 100;

export class MassPlanner {
  readonly #parts: PlannerParts;
  readonly #planning = new Map<string, Planning>();
  #stopped = false;
  readonly #working = new Set<Promise<void>>();

  constructor(parts: PlannerParts) {
    this.#parts = parts;
  }

  /** Begins, and goes on in the background: a large ledger takes longer than a request may. @throws Problem as a single revocation. */
  begin(request: PlanRequest, actor: string): Planning {
    const nowMs = this.#parts.clock.now();
    const { issuers, list } = request;
    if (issuers.length === 0) throw new Problem('invalid', 'no issuer', { field: '/issuers' });
    if (list !== undefined && issuers.length > 1)
      throw new Problem('invalid', 'a list of serials is of one issuer: two may have issued the same serial', {
        field: '/issuers',
        rule: 'RFC 5280 §4.1.2.2',
      });
    const order = massOrder(
      request.order,
      issuers.map(({ profile }) => profile),
      nowMs,
    );
    const day = rfc3339(nowMs).slice(0, 10).replaceAll('-', '');
    const planning: Planning = {
      id: `mass-${day}-${randomBytes(4).toString('hex')}`,
      scanned: 0,
      failure: undefined,
      done: false,
    };
    const [oldest] = this.#planning.keys();
    if (this.#planning.size >= MAX_PLANNING && oldest !== undefined) this.#planning.delete(oldest);
    this.#planning.set(planning.id, planning);
    const work = this.#make(request, order, planning, actor)
      .catch((error: unknown) => {
        planning.failure =
          error instanceof Problem ? error : new Problem('unavailable', `the plan failed: ${(error as Error).message}`);
      })
      .finally(() => {
        planning.done = true;
        this.#working.delete(work);
      });
    this.#working.add(work);
    return planning;
  }

  /** Of this process, since its start. */
  planning(id: string): Planning | undefined {
    return this.#planning.get(id);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#working);
  }

  async #make(request: PlanRequest, order: MassOrder, planning: Planning, actor: string): Promise<void> {
    const { shelf, store, clock, journal, freshness } = this.#parts;
    const draft = await shelf.draftList();
    try {
      const createdAt = wholeSecond(clock.now());
      const tally = new Tally(request, order, createdAt, draft);
      for (const issuer of request.issuers) await this.#select(issuer, request, tally, planning);
      const list = await draft.seal();
      const rate = await this.#rate(request, tally, actor);
      const fields = {
        id: planning.id,
        createdAt,
        createdBy: actor,
        issuers: request.issuers.map(({ id, tag, issuer }) => ({
          id,
          tag,
          selected: tally.selectedOf(tag),
          fingerprints: issuer.certificates.map(({ fingerprint }) => fingerprint),
        })),
        criteria: request.criteria,
        listed: request.list === undefined ? undefined : planning.scanned,
        order,
        counts: tally.counts,
        list,
        crls: await crlsOf(request.issuers, tally, store),
        rate,
        refreshPerSecond: request.issuers.reduce(
          (sum, { tag, profile }) => sum + (freshness.of(tag).count * SECOND) / profile.ocsp.refreshAfterMs,
          0,
        ),
        journalOctets: tally.journalOctets + SIGNED_RECORD_OCTETS * tally.counts.selected,
        storeOctets: STORE_OCTETS * tally.counts.selected,
      };
      const plan: MassPlan = { ...fields, digest: planDigest(fields) };
      await journal.append([
        {
          type: 'mass.planned',
          actor,
          description: `mass revocation ${plan.id} planned: ${plan.counts.selected} certificates, ${criteriaText(plan.criteria, plan.listed)}`,
          detail: { plan: plan.id, digest: plan.digest, list: list.sha256, counts: plan.counts, order },
        },
      ]);
      await shelf.keep(plan, draft);
    } finally {
      await draft.discard();
    }
  }

  async #select(issuer: ServedIssuer, request: PlanRequest, tally: Tally, planning: Planning): Promise<void> {
    const { shelf, store } = this.#parts;
    const pages =
      request.list === undefined
        ? store.certificates(issuer.tag)
        : lookedUp(shelf.uploaded(request.list, PAGE), (serials) => store.find(issuer.tag, serials));
    for await (const page of pages) {
      if (this.#stopped) throw new Problem('unavailable', 'the service is being stopped; plan again');
      const nowMs = this.#parts.clock.now();
      for (const certificate of page) tally.count(issuer, certificate, nowMs);
      planning.scanned += page.length;
      await tally.flush();
    }
  }

  async #rate({ issuers, measureMs }: PlanRequest, tally: Tally, actor: string): Promise<KnownRate | undefined> {
    const { shelf, measure, clock } = this.#parts;
    if (measureMs === undefined) return shelf.rate();
    if (measure === undefined)
      throw new Problem('unavailable', 'this process has no keys to measure: plan without, or ask the signer', {
        field: '/measure',
      });
    // The issuer with the most work stands for the rest; their keys are mostly in the same device.
    const most = [...issuers].sort((a, b) => tally.selectedOf(b.tag) - tally.selectedOf(a.tag))[0] as ServedIssuer;
    const certificatesPerSecond = await measure(most, measureMs, actor);
    const rate: KnownRate = { certificatesPerSecond, source: 'measured for the plan', at: clock.now() };
    await shelf.saveRate(rate);
    return rate;
  }
}

/** Where an entry is written to see how long it is. */
const ENTRY = Buffer.alloc(MAX_ENTRY_OCTETS);

/** What a plan counts while it goes through the certificates. */
class Tally {
  readonly counts = { selected: 0, already: 0, expired: 0, unknown: 0, undecided: 0, refused: 0 };
  /** What each scope's CRL gets: by tag and shard. */
  readonly added = new Map<string, { entries: number; octets: number }>();
  readonly #selected = new Map<IssuerTag, number>();
  readonly #request: PlanRequest;
  readonly #order: MassOrder;
  readonly #startedAt: EpochMs;
  readonly #draft: ListDraft;
  #page: ListedCertificate[] = [];
  /** One in a hundred is spelt out, and stands for the rest. */
  #spelt = 0;
  #speltOctets = 0;

  constructor(request: PlanRequest, order: MassOrder, startedAt: EpochMs, draft: ListDraft) {
    this.#request = request;
    this.#order = order;
    this.#startedAt = startedAt;
    this.#draft = draft;
  }

  count({ tag, profile }: ServedIssuer, certificate: Certificate | undefined, nowMs: EpochMs): void {
    if (certificate !== undefined) {
      const selected = selects(this.#request.criteria, certificate);
      if (selected === 'no') return;
      // An expired one needs no decision.
      const expired = certificate.notAfter !== undefined && certificate.notAfter < nowMs;
      if (selected === 'undecided') return void (this.counts[expired ? 'expired' : 'undecided'] += 1);
    }
    const fate = fateOf(profile, this.#order, this.#startedAt, certificate, nowMs);
    if (fate.kind !== 'revoke') return void (this.counts[fate.kind === 'done' ? 'already' : fate.kind] += 1);
    const { serial, crlShard, revocation } = certificate as Certificate;
    const next = fate.transition.certificate as Certificate;
    this.counts.selected += 1;
    this.#selected.set(tag, this.selectedOf(tag) + 1);
    this.#page.push({ issuer: tag, serial });
    if (this.counts.selected % 100 === 1) {
      this.#spelt += 1;
      this.#speltOctets += JSON.stringify(journalChange(next, 'mass')).length + 1;
    }
    // What is revoked already has its entry; only the reason in it changes.
    if (revocation !== undefined || next.revocation === undefined) return;
    const octets = putEntry(ENTRY, 0, { serial, ...next.revocation }, profile.crl.invalidityDate);
    for (const shard of crlShard === undefined ? [COMPLETE] : [COMPLETE, crlShard]) {
      const added = this.added.get(tag + shard) ?? { entries: 0, octets: 0 };
      added.entries += 1;
      added.octets += octets;
      this.added.set(tag + shard, added);
    }
  }

  async flush(): Promise<void> {
    const page = this.#page;
    this.#page = [];
    if (page.length > 0) await this.#draft.write(page);
  }

  selectedOf(tag: IssuerTag): number {
    return this.#selected.get(tag) ?? 0;
  }

  get journalOctets(): number {
    return this.#spelt === 0 ? 0 : Math.round((this.#speltOctets / this.#spelt) * this.counts.selected);
  }
}

async function crlsOf(
  issuers: readonly ServedIssuer[],
  tally: Tally,
  store: Pick<CrlShelf, 'current'>,
): Promise<readonly PlannedCrl[]> {
  const crls: PlannedCrl[] = [];
  for (const { id, tag } of issuers) {
    const shards = [...tally.added.keys()].filter((key) => key.startsWith(tag)).map((key) => key.slice(tag.length));
    for (const shard of shards) {
      const current = await store.current({ ...completeCrl(tag), shard });
      crls.push(plannedCrl(id, shard, current, tally.added.get(tag + shard) as { entries: number; octets: number }));
    }
  }
  return crls;
}

async function* lookedUp(
  pages: AsyncIterable<readonly Serial[]>,
  find: (serials: readonly Serial[]) => Promise<readonly (Certificate | undefined)[]>,
): AsyncGenerator<readonly (Certificate | undefined)[]> {
  for await (const page of pages) yield await find(page);
}
