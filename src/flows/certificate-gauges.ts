/** How long the certificates last on which the service stands: of the CAs, of their responders, of its own TLS. */
import type { IssuerTag } from '../core/certificate.ts';
import type { Labels, MetricSet } from '../core/metric.ts';
import { successorDue } from '../core/policy/responder-choice.ts';
import { SECOND, type EpochMs } from '../core/time.ts';
import type { Clock } from '../ports/clock.ts';
import { issuerGauge } from './issuer-gauge.ts';
import type { ServedIssuer } from './issuer-setup.ts';

export interface CertificateGaugeSources {
  readonly issuers: readonly ServedIssuer[];
  /** The id of the responder certificate that signs now; undefined in a process that does not sign. */
  readonly signsWith?: ((issuer: IssuerTag) => string | undefined) | undefined;
  /** Ends of the service's own TLS certificates that are in use. */
  readonly tls?:
    (() => readonly { readonly use: 'intake' | 'admin' | 'redis'; readonly notAfter: EpochMs }[]) | undefined;
  /** Why what was put in place for this process is not in use. */
  readonly notReloaded?: (() => { readonly line: string; readonly since: EpochMs } | undefined) | undefined;
  readonly clock: Clock;
}

export function registerCertificateGauges(set: MetricSet, sources: CertificateGaugeSources): void {
  const { issuers, signsWith, tls, notReloaded, clock } = sources;
  const left = (instant: EpochMs): number => (instant - clock.now()) / SECOND;
  set.gauge(
    'certstatus_responder_certificate_remaining_seconds',
    'Time until a responder certificate ends. Its successor must be signing 8 h and one validity earlier (T-17).',
    function* () {
      for (const issuer of issuers) {
        for (const { certificate } of issuer.responders.shown(clock.now())) {
          const labels: Labels = { issuer: issuer.id, certificate: certificate.id };
          yield [labels, left(certificate.notAfter)] as const;
        }
      }
    },
  );
  set.gauge('certstatus_signing_responder', '1 for the responder certificate that signs now.', function* () {
    for (const issuer of issuers) {
      const id = signsWith?.(issuer.tag);
      if (id !== undefined) yield [{ issuer: issuer.id, certificate: id }, 1] as const;
    }
  });
  issuerGauge(
    set,
    issuers,
    'certstatus_responder_successor_due_seconds',
    'Time until a certificate that outlasts all others must be there: one validity and 24 h before the last one ends (T-17). Alert 14 days before 0.',
    ({ profile, responders }) => {
      const signing = responders.signing.map(({ certificate }) => certificate);
      const due = successorDue(profile, signing, clock.now());
      return due && left(due.dueAt);
    },
  );
  issuerGauge(
    set,
    issuers,
    'certstatus_ca_certificate_remaining_seconds',
    'Time until the last certificate of the CA ends; no answer and no CRL outlasts it.',
    ({ issuer }) => left(issuer.notAfter),
  );
  set.gauge(
    'certstatus_tls_certificate_remaining_seconds',
    'Time until a TLS certificate of this process ends: intake, admin: what it shows to clients; redis: what it shows to Redis.',
    () => (tls?.() ?? []).map(({ use, notAfter }) => [{ use }, left(notAfter)] as const),
  );
  set.gauge(
    'certstatus_reload_refused',
    '1 while TLS files, the metrics token or a configuration that were put in place are not used, because they cannot be; those before are.',
    () => [[{}, notReloaded?.() === undefined ? 0 : 1]],
  );
}
