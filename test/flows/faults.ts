/**
 * A journal and a ledger that fail on request: the n-th call of all is lost (fails, nothing done) or kept (done, but the
 * caller is told that it failed).
 */
import type { Journal } from '../../src/ports/journal.ts';
import type { Ledger } from '../../src/ports/store.ts';
import { Problem } from '../../src/core/problem.ts';

export type Fault = 'lost' | 'kept';

export class FaultPlan {
  /** What was called so far, in order. */
  readonly calls: string[] = [];
  /** The call that failed, once it has. */
  failed: string | undefined;
  readonly #at: number;
  readonly #fault: Fault;

  /** @param at number of the call that fails, from 1; 0 for none. */
  constructor(at: number, fault: Fault) {
    this.#at = at;
    this.#fault = fault;
  }

  async run<T>(name: string, call: () => Promise<T>): Promise<T> {
    this.calls.push(name);
    if (this.calls.length !== this.#at) return call();
    this.failed = name;
    if (this.#fault === 'kept') await call();
    throw new Problem('unavailable', `${name} failed on purpose`);
  }
}

export function faultyJournal(journal: Journal, plan: Pick<FaultPlan, 'run'>): Journal {
  return {
    get head() {
      return journal.head;
    },
    get failure() {
      return journal.failure;
    },
    append: (entries) => plan.run('append', () => journal.append(entries)),
    owe: (entries) => journal.owe(entries),
    read: (after) => journal.read(after),
    close: () => journal.close(),
  };
}

export function faultyLedger(ledger: Ledger, plan: FaultPlan): Ledger {
  return {
    appliedSeq: () => plan.run('appliedSeq', () => ledger.appliedSeq()),
    newestSeq: () => ledger.newestSeq(),
    find: (issuer, serials) => plan.run('find', () => ledger.find(issuer, serials)),
    apply: (changes, seq, decidedOn) => plan.run('apply', () => ledger.apply(changes, seq, decidedOn)),
    replay: (changes, seq) => plan.run('apply', () => ledger.replay(changes, seq)),
    vouch: () => ledger.vouch(),
    revokedEntries: (issuer) => ledger.revokedEntries(issuer),
    certificates: (issuer) => ledger.certificates(issuer),
  };
}
