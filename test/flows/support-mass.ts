/** Mass revocations over a TestService, with their files in its directory. */
import { join } from 'node:path';
import { FileMassShelf } from '../../src/adapters/mass-files/shelf.ts';
import { EVERY_CERTIFICATE, type MassOrder } from '../../src/core/mass/order.ts';
import type { MassPlan } from '../../src/core/mass/plan.ts';
import { MassRevocations } from '../../src/flows/mass/mass-revocation.ts';
import { MassPlanner, type PlanRequest } from '../../src/flows/mass/plan-mass.ts';
import { Rehearsal } from '../../src/flows/mass/rehearse.ts';
import type { ListDraft, MassShelf } from '../../src/ports/mass-shelf.ts';
import { settled, tracked, trackedPages } from './support-clock.ts';
import { START, type TestService } from './support-service.ts';

export const ORDER: Omit<MassOrder, 'deadline'> = {
  reason: 'superseded',
  clause: undefined,
  awareAt: START,
  revokedAt: undefined,
  suspected: false,
  requestedBy: undefined,
};

export class MassSupport {
  readonly shelf: MassShelf;
  readonly planner: MassPlanner;
  readonly runs: MassRevocations;
  readonly service: TestService;

  constructor(service: TestService) {
    this.service = service;
    const { store, recorder, journal, clock, freshness } = service;
    const shelf = (this.shelf = trackedShelf(new FileMassShelf(join(service.dir, 'mass'))));
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
    const issuers = new Map(service.issuers.map(({ served }) => [served.tag, served]));
    const rehearsal = new Rehearsal(service.issuers, store, journal, clock);
    const measure: ConstructorParameters<typeof MassPlanner>[0]['measure'] = async (issuer, ms, actor) =>
      (await rehearsal.sign(issuer, { ms }, 'test', actor)).certificatesPerSecond;
    this.planner = new MassPlanner({ shelf, store, freshness, journal, clock, measure });
    this.runs = new MassRevocations({ issuers, shelf, store, recorder, journal, clock, log });
  }

  /** @throws what the plan failed with. */
  async plan(request: Partial<PlanRequest> = {}): Promise<MassPlan> {
    const issuers = [this.service.served];
    const whole = { issuers, criteria: EVERY_CERTIFICATE, list: undefined, order: ORDER, measureMs: undefined };
    const planning = this.planner.begin({ ...whole, ...request }, 'test');
    while (!planning.done) await settled();
    if (planning.failure !== undefined) throw planning.failure;
    return (await this.shelf.plan(planning.id)) as MassPlan;
  }

  async stop(): Promise<void> {
    await this.planner.stop();
    await this.runs.stop();
  }
}

function trackedShelf(real: MassShelf): MassShelf {
  return new Proxy(real, {
    get: (_, name: keyof MassShelf) => {
      const method = (real[name] as (...values: unknown[]) => unknown).bind(real);
      if (name === 'list' || name === 'uploaded')
        return (...values: unknown[]) => trackedPages(method(...values) as AsyncIterable<unknown>);
      if (name === 'draftList')
        return (...values: unknown[]) => tracked((method(...values) as Promise<ListDraft>).then(trackedDraft));
      return (...values: unknown[]) => tracked(method(...values) as Promise<unknown>);
    },
  });
}

/** The same object, because the shelf knows its own drafts. */
function trackedDraft(draft: ListDraft): ListDraft {
  for (const name of ['write', 'seal', 'discard'] as const) {
    const method = draft[name] as (...values: unknown[]) => Promise<unknown>;
    Object.assign(draft, { [name]: (...values: unknown[]) => tracked(method.apply(draft, values)) });
  }
  return draft;
}
