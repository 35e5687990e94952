/** Gauges of the signer: what waits, how fast it is done, and what it is signed with. */
import { LANES, type IssuerTag } from '../../core/certificate.ts';
import type { MetricSet } from '../../core/metric.ts';
import { SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { RefreshQueue } from '../../ports/store.ts';
import type { IssuerCrls } from '../crl/issuer-crls.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { TokenView } from './activation.ts';
import type { LaneRates } from './lane-rates.ts';
import type { SignerIssuer } from './sign.ts';

export interface SigningGaugeSources {
  readonly store: RefreshQueue;
  readonly publishers: ReadonlyMap<IssuerTag, IssuerCrls>;
  /** What this process signs for; nothing where it has no keys. */
  readonly signers: readonly SignerIssuer[];
  readonly tokens: () => readonly UsedToken[];
  /** Undefined in a process that does not sign. */
  readonly lanes?: LaneRates | undefined;
  readonly clock: Clock;
}

/** A token with what depends on it. */
export interface UsedToken {
  readonly view: TokenView;
  /** Issuers with a key in it. */
  readonly issuers: readonly ServedIssuer[];
  /** When the first OCSP answer or CRL of these issuers runs out, should nothing be signed any more; undefined when there is none. */
  readonly servedUntil: EpochMs | undefined;
}

export function registerSigningGauges(set: MetricSet, sources: SigningGaugeSources): void {
  const { store, publishers, signers, tokens, lanes, clock } = sources;
  const age = (instant: EpochMs): number => (clock.now() - instant) / SECOND;
  set.gauge(
    'certstatus_backlog',
    'Number of certificates that wait for a signature now, by lane; asked: those for which a client waits, in a process that signs.',
    function* () {
      for (const lane of LANES) {
        if (lane !== 'asked') yield [{ lane }, store.backlog(lane, clock.now())] as const;
        else if (lanes !== undefined) yield [{ lane }, lanes.waiting(lane)] as const;
      }
    },
  );
  set.gauge(
    'certstatus_lane_rate',
    'Number of certificates signed per second by this process in the last minute, by lane.',
    function* () {
      for (const lane of lanes === undefined ? [] : LANES) yield [{ lane }, lanes?.rate(lane) ?? 0] as const;
    },
  );
  set.gauge(
    'certstatus_lane_eta_seconds',
    'When the lane will be empty if it goes on like the last minute; 0 when it is, absent while it does not drain.',
    function* () {
      for (const lane of lanes === undefined ? [] : LANES) {
        const left = lanes?.leftMs(lane);
        if (left !== undefined) yield [{ lane }, left / SECOND] as const;
      }
    },
  );
  set.gauge(
    'certstatus_oldest_unpublished_revocation_seconds',
    'How long the oldest recorded revocation has been waiting to be seen, by channel; 0 when none waits. Limit 24 h (BR 4.9.7), target seconds.',
    function* () {
      const ocsp = store.oldestDue('revocation');
      yield [{ channel: 'ocsp' }, ocsp === undefined ? 0 : Math.max(0, age(ocsp))] as const;
      const crl = Math.min(...[...publishers.values()].map((publisher) => publisher.oldestUnlisted ?? Infinity));
      yield [{ channel: 'crl' }, crl === Infinity ? 0 : Math.max(0, age(crl))] as const;
    },
  );
  set.gauge('certstatus_token_active', '1 while the token is activated and answers, else 0.', function* () {
    for (const { view } of tokens()) yield [{ token: view.name }, view.state === 'active' ? 1 : 0] as const;
  });
  set.gauge(
    'certstatus_key_usable',
    '1 while the key can sign in one of its places, else 0. key: id of its responder certificate, or crl.',
    function* () {
      for (const { served, keys } of signers) {
        const all = [...keys.ocsp, ...(keys.crl === undefined ? [] : [['crl', keys.crl] as const])];
        for (const [key, { holder }] of all)
          yield [{ issuer: served.id, key }, holder.failure === undefined ? 1 : 0] as const;
      }
    },
  );
}
