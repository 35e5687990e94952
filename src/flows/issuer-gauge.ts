/** A gauge with one sample for each issuer of which there is anything to say. */
import type { MetricSet } from '../core/metric.ts';
import type { ServedIssuer } from './issuer-setup.ts';

export function issuerGauge(
  set: MetricSet,
  issuers: readonly ServedIssuer[],
  name: string,
  help: string,
  read: (issuer: ServedIssuer) => number | undefined,
): void {
  set.gauge(name, help, function* () {
    for (const issuer of issuers) {
      const value = read(issuer);
      if (value !== undefined) yield [{ issuer: issuer.id }, value] as const;
    }
  });
}
