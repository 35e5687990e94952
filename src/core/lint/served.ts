/** How old something may be where clients get it: not a matter of making it, but of having made the next one in time. */
import { DAY, formatDuration, HOUR, rfc3339, type EpochMs } from '../time.ts';
import { DEFAULT_AUTHORITIES, inclusiveMs, type CrlRule, type ResponseContext, type ResponseRule } from './rule.ts';

type Basic = Parameters<ResponseRule['check']>[0];

/** BR 4.9.9: from here on the update comes 8 hours before the end; Microsoft 3.2.2: at half the time. */
const LONG_MS = 16 * HOUR;

export const SERVED_RESPONSE_RULES: readonly ResponseRule[] = [
  {
    id: 'O-31',
    says: 'served before nextUpdate, and not before thisUpdate',
    citation: 'RFC 6960 §3.2; RFC 9919 §3.2.4, §5',
    severity: 'error',
    authorities: ['rfc'],
    check(basic, { servedAt }) {
      if (servedAt === undefined) return undefined;
      const over = basic.responses.find(({ nextUpdate }) => nextUpdate !== undefined && nextUpdate < servedAt);
      if (over !== undefined) return `nextUpdate was ${rfc3339(over.nextUpdate as EpochMs)}`;
      const early = basic.responses.find(({ thisUpdate }) => thisUpdate > servedAt);
      return early && `thisUpdate is ${rfc3339(early.thisUpdate)}, after ${rfc3339(servedAt)}`;
    },
  },
  {
    id: 'B-19-served',
    says: 'a newer one is served 8 hours before nextUpdate (half v when v is below 16 hours) and 4 days after thisUpdate',
    citation: 'BR 4.9.9; Mozilla Root Store Policy §6',
    severity: 'error',
    authorities: ['cabf-tls', 'mozilla', 'cabf-smime'],
    check: (basic, context) => tooOld(basic, context, (v) => (v < LONG_MS ? v / 2 : Math.min(4 * DAY, v - 8 * HOUR))),
  },
  {
    id: 'P-16-served',
    says: 'a newer one is served at half the time from thisUpdate to nextUpdate when that is over 16 hours',
    citation: 'Microsoft Root Program 3.2.2',
    severity: 'error',
    authorities: ['microsoft'],
    check: (basic, context) => tooOld(basic, context, (v) => (v > LONG_MS ? v / 2 : v - 8 * HOUR)),
  },
];

export const SERVED_CRL_RULES: readonly CrlRule[] = [
  {
    id: 'P-12',
    says: 'a current CRL is served: not after its nextUpdate',
    citation: 'CCADB Policy §6.2; RFC 5280 §6.3.3',
    severity: 'error',
    authorities: ['rfc', 'ccadb'],
    check: ({ view: { nextUpdate } }, { servedAt }) =>
      servedAt !== undefined && nextUpdate !== undefined && nextUpdate < servedAt
        ? `nextUpdate was ${rfc3339(nextUpdate)}`
        : undefined,
  },
  {
    id: 'B-13',
    says: 'a newer one is served 7 days after thisUpdate (4 when TLS certificates lack an OCSP URL), 12 months for CA certificates',
    citation: 'BR 4.9.7; Mozilla Root Store Policy §6',
    severity: 'error',
    authorities: ['cabf-tls', 'mozilla', 'cabf-smime', 'cabf-cs'],
    check({ view: { thisUpdate } }, { servedAt, subject, withoutOcsp, authorities = DEFAULT_AUTHORITIES }) {
      if (servedAt === undefined) return undefined;
      // SM-01, CS-02: 7 days, whatever the certificates name.
      const fourDays = withoutOcsp === true && authorities.some((name) => name === 'cabf-tls' || name === 'mozilla');
      const limit = subject === 'ca' ? 365 * DAY : fourDays ? 4 * DAY : 7 * DAY;
      return servedAt - thisUpdate > limit
        ? `thisUpdate ${rfc3339(thisUpdate)} is ${formatDuration(servedAt - thisUpdate)} ago; ${formatDuration(limit)} are allowed`
        : undefined;
    },
  },
];

function tooOld(
  { responses }: Basic,
  { servedAt, subject }: ResponseContext,
  longest: (v: number) => number,
): string | undefined {
  if (servedAt === undefined || subject === 'ca') return undefined;
  for (const { thisUpdate, nextUpdate } of responses) {
    if (nextUpdate === undefined) continue; // L-13 says so
    const limit = longest(inclusiveMs(thisUpdate, nextUpdate));
    if (servedAt - thisUpdate > limit)
      return `thisUpdate ${rfc3339(thisUpdate)} is ${formatDuration(servedAt - thisUpdate)} ago; ${formatDuration(Math.max(0, limit))} are allowed`;
  }
  return undefined;
}
