/** A test service reconciled with its own store. */
import { reconcile } from '../../src/flows/monitor/reconcile.ts';
import type { ReconcileReport } from '../../src/core/reconcile/report.ts';
import type { TestService } from './support-service.ts';

/** @param mostHeld revoked certificates that are in memory at a time. */
export function reconciled(service: TestService, limit = 100, mostHeld?: number): Promise<ReconcileReport> {
  const { store, journal, clock, issuers } = service;
  const options = {
    issuers: issuers.map(({ served }) => served),
    limit,
    share: 1,
    actor: 'test',
    ...(mostHeld && { mostHeld }),
  };
  return reconcile({ store, journal, clock }, options);
}
