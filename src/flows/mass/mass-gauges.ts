/** Gauges of the mass revocation that is under way; nothing is exported while there is none. */
import type { Labels, MetricSet } from '../../core/metric.ts';
import { SECOND } from '../../core/time.ts';
import type { MassRevocations, MassView } from './mass-revocation.ts';

export function registerMassGauges(set: MetricSet, runs: Pick<MassRevocations, 'active'>): void {
  const each = (name: string, help: string, read: (view: MassView) => Iterable<readonly [Labels, number]>): void =>
    set.gauge(name, help, function* () {
      if (runs.active !== undefined) yield* read(runs.active);
    });
  each(
    'certstatus_mass_certificates',
    'Number of certificates of the mass revocation under way: listed in its plan; recorded, so on the next CRL; waiting for the OCSP answer that says so.',
    ({ plan, run, waiting }) => [
      // prettier-ignore
      [{ state: 'listed' }, plan.counts.selected],
      [{ state: 'recorded' }, run.counts.lines],
      [{ state: 'waiting' }, waiting],
    ],
  );
  each(
    'certstatus_mass_left_seconds',
    'How long it will take at the rate of the last half minute; absent while nothing moves.',
    ({ recordingLeftMs, signingLeftMs }) =>
      // prettier-ignore
      [
      ['recording', recordingLeftMs] as const,
      ['signing', signingLeftMs] as const,
    ].flatMap(([step, ms]) => (ms === undefined ? [] : [[{ step }, ms / SECOND] as const])),
  );
  each(
    'certstatus_mass_stalled',
    '1 while the mass revocation cannot go on by itself, or is paused.',
    ({ run, failure }) => [
      // prettier-ignore
      [{}, failure !== undefined || run.state === 'paused' ? 1 : 0],
    ],
  );
}
