/**
 * The drill of a mass revocation (CT-5.7.1.2-a, CT-5.7.1.1-b): everything that the plan foresees, and nothing of it public.
 *
 * Signing is rehearsed with the real keys on what is true (rehearse.ts). The CRLs are built as they would be, from the ledger as it
 * is and the plan's list, in drafts that nobody finds and that are removed; they are signed with a key made for the drill and
 * forgotten, because a CRL that lists good certificates must never bear the CA's signature. No number is reserved, nothing is
 * recorded but what the drill found, and the store is only read.
 */
import { createSign, generateKeyPairSync } from 'node:crypto';
import type { CrlScope, IssuerTag, RevokedEntry } from '../../core/certificate.ts';
import type { DrilledCrl, DrilledKey, DrillResult } from '../../core/mass/drill.ts';
import { fateOf } from '../../core/mass/order.ts';
import type { MassPlan, PlannedCrl } from '../../core/mass/plan.ts';
import { Problem } from '../../core/problem.ts';
import { algorithmFor } from '../../core/signature-algorithm.ts';
import { DAY, SECOND, wholeSecond } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { KeyHolder } from '../../ports/key-holder.ts';
import type { MassShelf } from '../../ports/mass-shelf.ts';
import type { CrlShelf, Ledger } from '../../ports/store.ts';
import { entriesFromIndex, writeCrl } from '../crl/build-crl.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Rehearsal } from './rehearse.ts';

/** The key of a drill's CRL signs nothing, so nothing has to be accounted for. */
const NOTHING_SIGNED = { before: () => Promise.resolve(), after: () => undefined };

export interface DrillParts {
  readonly issuers: ReadonlyMap<IssuerTag, ServedIssuer>;
  readonly shelf: MassShelf;
  /** Read, but for drafts that are discarded. */
  readonly store: Pick<Ledger, 'find' | 'revokedEntries'> & Pick<CrlShelf, 'draftCrl'>;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly rehearsal: Rehearsal;
}

/** Looked up at once. */
const PAGE = 1000;

export class Drill {
  readonly #parts: DrillParts;
  #working: { readonly plan: string; readonly done: Promise<void> } | undefined;
  /** Why the last drill of a plan has no result. */
  readonly #failures = new Map<string, Problem>();
  #stopped = false;

  constructor(parts: DrillParts) {
    this.#parts = parts;
  }

  /**
   * Begins; its result is kept with the plan.
   * @param certificates how many are signed at most, of each issuer.
   * @throws Problem `not-found`, or `conflict` while another one runs: two would measure each other.
   */
  async begin(id: string, certificates: number, actor: string): Promise<void> {
    const plan = await this.#parts.shelf.plan(id);
    if (plan === undefined) throw new Problem('not-found', 'there is no such plan here', { field: 'plan', value: id });
    if (this.#working !== undefined)
      throw new Problem('conflict', `the drill of ${this.#working.plan} is not over`, { field: 'plan', value: id });
    this.#failures.delete(id);
    const done = this.#run(plan, certificates, actor)
      .catch((error: unknown) => {
        const problem =
          error instanceof Problem
            ? error
            : new Problem('unavailable', `the drill failed: ${(error as Error).message}`);
        this.#failures.set(id, problem);
      })
      .finally(() => (this.#working = undefined));
    this.#working = { plan: id, done };
  }

  /** Undefined when it is over. @throws why the last one of the plan failed. */
  running(id: string): boolean {
    const failure = this.#failures.get(id);
    if (failure !== undefined) throw failure;
    return this.#working?.plan === id;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#working?.done;
  }

  async #run(plan: MassPlan, certificates: number, actor: string): Promise<void> {
    const { shelf, journal, clock, rehearsal, issuers } = this.#parts;
    const startedAt = clock.now();
    await shelf.verifyList(plan);
    const keys: DrilledKey[] = [];
    for (const { tag, selected } of plan.issuers) {
      const served = issuers.get(tag);
      this.#goesOn();
      if (served === undefined || selected === 0) continue;
      keys.push(await rehearsal.sign(served, { certificates }, `the drill of ${plan.id}`, actor));
    }
    const crls: DrilledCrl[] = [];
    for (const crl of plan.crls) {
      this.#goesOn();
      crls.push(await this.#crl(plan, crl));
    }
    const result: DrillResult = { plan: plan.id, startedAt, endedAt: clock.now(), by: actor, keys, crls };
    const text = keys.map((key) => `${key.issuer} ${Math.round(key.certificatesPerSecond)} certificates/s`).join(', ');
    await journal.append([
      { type: 'drill.finished', actor, description: `drill of ${plan.id}: ${text}; nothing published`, detail: { ...result } }, // prettier-ignore
    ]);
    await shelf.saveDrill(result);
    // The slowest key says when all are done, where each issuer has its own.
    const slowest = keys.reduce((least, key) => Math.min(least, key.certificatesPerSecond), Infinity);
    if (slowest > 0 && slowest < Infinity)
      await shelf.saveRate({ certificatesPerSecond: slowest, source: 'drill', at: result.endedAt });
  }

  async #crl(plan: MassPlan, { issuer, shard }: PlannedCrl): Promise<DrilledCrl> {
    const { issuers, store, clock } = this.#parts;
    const served = [...issuers.values()].find(({ id }) => id === issuer);
    if (served === undefined) throw new Problem('conflict', 'the issuer is not configured any more', { field: issuer });
    const scope: CrlScope = { issuer: served.tag, shard };
    const { invalidityDate } = served.profile.crl;
    const holder = passingKey();
    const startedAt = clock.now();
    const [scratch, draft] = [await store.draftCrl(scope), await store.draftCrl(scope)];
    try {
      const entries = await entriesFromIndex(
        this.#entries(plan, served, scope),
        scratch,
        undefined,
        served.profile.crl,
      );
      const parts = {
        issuerName: served.issuer.nameDer,
        authorityKeyIdentifier: served.issuer.subjectKeyIdentifier,
        algorithm: holder.algorithm,
        thisUpdate: wholeSecond(startedAt),
        nextUpdate: wholeSecond(startedAt + DAY),
        number: 0n,
        invalidityDate,
      };
      const written = await writeCrl(entries, parts, holder, draft, NOTHING_SIGNED);
      const seconds = (clock.now() - startedAt) / SECOND;
      return { issuer, shard, entries: written.entries, bytes: written.bytes, seconds };
    } finally {
      await scratch.discard();
      await draft.discard();
    }
  }

  /** What is on the CRL now, and what the list would add. */
  async *#entries(plan: MassPlan, served: ServedIssuer, scope: CrlScope): AsyncGenerator<readonly RevokedEntry[]> {
    const { shelf, store, clock } = this.#parts;
    yield* store.revokedEntries(scope).pages;
    for await (const page of shelf.list(plan, 0, PAGE)) {
      this.#goesOn();
      const serials = page.filter(({ issuer }) => issuer === served.tag).map(({ serial }) => serial);
      const found = await store.find(served.tag, serials);
      const now = clock.now();
      yield found.flatMap((certificate): RevokedEntry[] => {
        const listed = scope.shard === '' || certificate?.crlShard === scope.shard;
        if (certificate === undefined || !listed || certificate.revocation !== undefined) return [];
        const fate = fateOf(served.profile, plan.order, wholeSecond(now), certificate, now);
        if (fate.kind !== 'revoke') return [];
        const { serial, revocation, notAfter, recordedAt, recordedSeq } = fate.transition.certificate ?? certificate;
        return revocation === undefined ? [] : [{ serial, ...revocation, notAfter, recordedAt, recordedSeq }];
      });
    }
  }

  #goesOn(): void {
    if (this.#stopped) throw new Problem('unavailable', 'the service is being stopped; begin the drill again');
  }
}

/** A key of the size that CAs use, known to nobody after the drill. */
function passingKey(): Pick<KeyHolder, 'begin' | 'algorithm'> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const algorithm = algorithmFor(publicKey, 'a key for the drill');
  return {
    algorithm,
    begin() {
      const signing = createSign(algorithm.hash);
      return {
        update: (octets) => void signing.update(octets),
        finish: () => Promise.resolve({ ok: true, signature: signing.sign(privateKey) }),
      };
    },
  };
}
