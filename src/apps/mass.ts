/** Mass revocations of this process: planned and recorded where events are, measured where the keys are. */
import { join } from 'node:path';
import { FileMassShelf } from '../adapters/mass-files/shelf.ts';
import { Drill } from '../flows/mass/drill.ts';
import { MassRevocations } from '../flows/mass/mass-revocation.ts';
import { MassPlanner } from '../flows/mass/plan-mass.ts';
import { Rehearsal } from '../flows/mass/rehearse.ts';
import type { SignerIssuer } from '../flows/sign/sign.ts';
import type { MassShelf } from '../ports/mass-shelf.ts';
import type { Core } from './core.ts';

export interface MassRole {
  readonly shelf: MassShelf;
  readonly planner: MassPlanner;
  readonly runs: MassRevocations;
  /** Undefined in a process without keys. */
  readonly drill: Drill | undefined;
  stop(): Promise<void>;
}

/** Undefined in a process that records no events. @param signers of a process with keys. */
export function openMass(core: Core, signers: readonly SignerIssuer[] | undefined): MassRole | undefined {
  const { config, store, freshness, journal, recorder, clock, log } = core;
  if (recorder === undefined || journal === undefined) return undefined;
  const shelf = new FileMassShelf(join(config.dataDir, 'mass'));
  const issuers = new Map([...core.issuers.values()].map((issuer) => [issuer.tag, issuer]));
  const rehearsal = signers && new Rehearsal(signers, store, journal, clock);
  const planner = new MassPlanner({
    shelf,
    store,
    freshness,
    journal,
    clock,
    measure:
      rehearsal &&
      (async (issuer, ms, actor) => (await rehearsal.sign(issuer, { ms }, 'a plan', actor)).certificatesPerSecond),
  });
  const runs = new MassRevocations({ issuers, shelf, store, recorder, journal, clock, log });
  const drill = rehearsal && new Drill({ issuers, shelf, store, journal, clock, rehearsal });
  return {
    shelf,
    planner,
    runs,
    drill,
    async stop() {
      await planner.stop();
      await drill?.stop();
      await runs.stop();
    },
  };
}
