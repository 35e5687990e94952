/** How long what the monitor asks takes, as an outside client waits for it (CT-4.10.2-a: ten seconds at most). */
import type { Histogram, MetricSet } from '../../core/metric.ts';
import { SECOND } from '../../core/time.ts';
import type { SteadyClock } from '../../ports/clock.ts';
import type { Wire } from '../../ports/wire.ts';

/** The limit is a bound of its own, so that whoever broke it is counted exactly. */
const WAITS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export type ProbeSeconds = Readonly<Record<'ocsp' | 'crl', Histogram>>;

export function probeSeconds(set: MetricSet): ProbeSeconds {
  const histogram = (channel: 'ocsp' | 'crl'): Histogram =>
    set.histogram(
      'certstatus_probe_seconds',
      'What an outside client waits for an OCSP answer or a whole CRL, as the monitor does. No answer counts with the time it was waited for. Limit 10 s (CT-4.10.2-a).',
      WAITS,
      { channel },
    );
  return { ocsp: histogram('ocsp'), crl: histogram('crl') };
}

export function timedWire(wire: Wire, steady: SteadyClock, seconds: ProbeSeconds): Wire {
  return {
    async exchange(sent) {
      const line = Buffer.from(sent.octets.subarray(0, 2048)).toString('latin1').split('\r\n', 1)[0] ?? '';
      const channel = /\.crl(?:\?\S*)? HTTP\//.test(line) ? 'crl' : 'ocsp';
      const startedAt = steady.steadyMs();
      try {
        return await wire.exchange(sent);
      } finally {
        seconds[channel].observe((steady.steadyMs() - startedAt) / SECOND);
      }
    },
  };
}
