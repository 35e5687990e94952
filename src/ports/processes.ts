/** The responder processes beside this one, as operators see them. */
import type { MetricChanges } from '../core/metric-changes.ts';

export interface ProcessView {
  /** From 1; stays when it is started again. */
  readonly index: number;
  /** waiting: it has ended, and is about to be started again. */
  readonly state: 'starting' | 'serving' | 'waiting';
  readonly pid: number | undefined;
  /** How often it was started again. */
  readonly restarts: number;
  /** What it said last; undefined while it has not said anything. */
  readonly told: ProcessTold | undefined;
}

export interface ProcessTold {
  /** Since it last told. */
  readonly changes: MetricChanges;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}
