/** The gauges: what is true now, computed when the scraper asks. Instants become ages, so that an alert needs no clock. */
import { LANES, type IssuerTag } from '../core/certificate.ts';
import type { Labels, MetricSet } from '../core/metric.ts';
import { successorDue, type ResponderSpan } from '../core/policy/responder-choice.ts';
import { SECOND, type EpochMs } from '../core/time.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import type { ProcessTold, ProcessView } from '../ports/processes.ts';
import type { Freshness, RefreshQueue, Reliance } from '../ports/store.ts';
import type { TokenView } from './sign/activation.ts';
import type { CrlCensus } from './crl/crl-census.ts';
import type { CrlUrls } from './crl/crl-urls.ts';
import { DOWNLOAD_BOUNDS, type Downloads } from './serve/downloads.ts';
import type { IssuerCrls } from './crl/issuer-crls.ts';
import type { ServedIssuer } from './issuer-setup.ts';
import type { MassView } from './mass/mass-revocation.ts';
import type { MissBudget } from './serve/miss-budget.ts';
import type { OfflineWatch } from './offline/offline-watch.ts';
import type { PublicFiles } from './serve/public-files.ts';
import type { ServedResponder } from './responders.ts';
import type { ResponseTable } from './serve/response-table.ts';
import { servedCrls, type ServedCrls } from './serve/served-crls.ts';
import type { SignerIssuer } from './sign/sign.ts';

export interface GaugeSources {
  readonly issuers: readonly ServedIssuer[];
  readonly store: RefreshQueue & Reliance;
  readonly freshness: Freshness;
  readonly files: PublicFiles;
  /** Undefined in a process that serves nobody. */
  readonly table: ResponseTable | undefined;
  readonly misses: MissBudget | undefined;
  /** Connections by the name of the listener; undefined in a process that serves nobody. */
  readonly connections: (() => ReadonlyMap<string, number>) | undefined;
  /** Those that serve beside this one; undefined where there are none. */
  readonly processes?: (() => readonly ProcessView[]) | undefined;
  /** Undefined in a process that records nothing. */
  readonly journal: Journal | undefined;
  readonly publishers: ReadonlyMap<IssuerTag, IssuerCrls>;
  /** The id of the responder certificate that signs now; undefined in a process that does not sign. */
  readonly signsWith?: (issuer: IssuerTag) => string | undefined;
  /** What this process signs for; nothing where it has no keys. */
  readonly signers: readonly SignerIssuer[];
  /** The mass revocation under way, in a process that records events. */
  readonly mass?: () => MassView | undefined;
  readonly tokens: () => readonly UsedToken[];
  /** What the ledger says about CRLs as a whole; undefined in a process that does not sign. */
  readonly census?: CrlCensus | undefined;
  readonly urls?: CrlUrls | undefined;
  /** Of what is signed offline; undefined in a process that records nothing. */
  readonly offline?: OfflineWatch | undefined;
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

/** When the first published answer or CRL of the issuers runs out. */
export function servedUntil(
  issuers: readonly ServedIssuer[],
  freshness: Freshness,
  files: PublicFiles,
): EpochMs | undefined {
  const ends = issuers.flatMap((issuer) =>
    [freshness.of(issuer.tag).leastNextUpdate ?? [], servedCrls(issuer, files, -Infinity).leastNextUpdate ?? []].flat(),
  );
  return ends.length === 0 ? undefined : Math.min(...ends);
}

export function registerGauges(set: MetricSet, sources: GaugeSources): void {
  const { issuers, store, freshness, files, journal, publishers, signers, tokens, clock } = sources;
  const age = (instant: EpochMs): number => (clock.now() - instant) / SECOND;

  const perIssuer = (name: string, help: string, read: (issuer: ServedIssuer) => number | undefined): void => {
    set.gauge(name, help, function* () {
      for (const issuer of issuers) {
        const value = read(issuer);
        if (value !== undefined) yield [{ issuer: issuer.id }, value] as const;
      }
    });
  };
  const single = (name: string, help: string, read: () => number): void => set.gauge(name, help, () => [[{}, read()]]);

  perIssuer(
    'certstatus_published_certificates',
    'Certificates with a published OCSP answer.',
    ({ tag }) => freshness.of(tag).count,
  );
  perIssuer(
    'certstatus_oldest_this_update_age_seconds',
    'Age of the oldest published OCSP answer, over all of them and not only those asked for. Limit: half the validity and 4 days (BR 4.9.9).',
    ({ tag }) => map(freshness.of(tag).oldestThisUpdate, age),
  );
  perIssuer(
    'certstatus_least_time_to_next_update_seconds',
    'Time until the first published OCSP answer runs out. Below 8 h a limit is broken (BR 4.9.9); at 0 clients get tryLater.',
    ({ tag }) => map(freshness.of(tag).leastNextUpdate, (instant) => -age(instant)),
  );
  single('certstatus_freshness_complete', '1 once every published answer has been counted after the start.', () =>
    freshness.complete ? 1 : 0,
  );

  set.gauge('certstatus_backlog', 'Certificates that wait for a signature now, by lane.', function* () {
    for (const lane of LANES) if (lane !== 'asked') yield [{ lane }, store.backlog(lane, clock.now())] as const;
  });
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

  const crlsOf = (issuer: ServedIssuer): ServedCrls => servedCrls(issuer, files, clock.now());
  perIssuer(
    'certstatus_crl_age_seconds',
    'Age of the CRL being served; the oldest, where there are shards. Limit 7 days, or 4 (BR 4.9.7).',
    (issuer) => map(crlsOf(issuer).oldestThisUpdate, age),
  );
  perIssuer(
    'certstatus_crl_time_to_next_update_seconds',
    'Time until the CRL being served runs out; the first, where there are shards.',
    (issuer) => map(crlsOf(issuer).leastNextUpdate, (instant) => -age(instant)),
  );
  perIssuer(
    'certstatus_crls_missing',
    'CRLs that are configured, or were once published, and are not served: none is there, or it has run out.',
    (issuer) => crlsOf(issuer).missing.length + crlsOf(issuer).expired.length,
  );
  perIssuer(
    'certstatus_crl_entries',
    'Entries on the complete CRL being served, or on all shards where there is none.',
    (issuer) => crlsOf(issuer).entries,
  );
  set.gauge(
    'certstatus_crl_refused',
    '1 while the last CRL that was signed is kept from being published by what the gate found: certstatus crl show --why says it. shard is empty for the complete CRL.',
    function* () {
      for (const issuer of issuers)
        for (const [shard, { refused }] of publishers.get(issuer.tag)?.publishers ?? [])
          yield [{ issuer: issuer.id, shard }, refused ? 1 : 0] as const;
    },
  );
  perIssuer(
    'certstatus_crl_bytes',
    'Size of the CRL being served, the largest where there are several. Above 10 MB it must be sharded (Microsoft 3.1.10).',
    (issuer) => crlsOf(issuer).bytes,
  );

  set.gauge(
    'certstatus_responder_certificate_remaining_seconds',
    'Time until a responder certificate ends. Its successor must be signing 8 h and one validity earlier (T-17).',
    function* () {
      for (const issuer of issuers) {
        for (const { certificate } of issuer.responders.shown(clock.now())) {
          const labels: Labels = { issuer: issuer.id, certificate: certificate.id };
          yield [labels, -age(certificate.notAfter)] as const;
        }
      }
    },
  );
  set.gauge('certstatus_signing_responder', '1 for the responder certificate that signs now.', function* () {
    for (const issuer of issuers) {
      const id = sources.signsWith?.(issuer.tag);
      if (id !== undefined) yield [{ issuer: issuer.id, certificate: id }, 1] as const;
    }
  });
  perIssuer(
    'certstatus_responder_successor_due_seconds',
    'Time until a certificate that outlasts all others must be there: one validity and 24 h before the last one ends (T-17). Alert 14 days before 0.',
    ({ profile, responders }) =>
      map(successorDue(profile, spans(responders.signing), clock.now())?.dueAt, (instant) => -age(instant)),
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

  registerServingGauges(set, { ...sources, downloads: files.downloads }, sources.processes);
  if (journal !== undefined) {
    single('certstatus_audit_records', 'Sequence number of the last audit record.', () => journal.head.seq);
    single(
      'certstatus_audit_writable',
      '0 while the audit log cannot be written: then nothing is signed and no event is taken.',
      () => (journal.failure === undefined ? 1 : 0),
    );
  }
}

/** What every process that serves has of its own; undefined in one that does not. */
export interface ServingSources {
  readonly store: Reliance;
  readonly table: ResponseTable | undefined;
  readonly misses: MissBudget | undefined;
  /** Connections by the name of the listener. */
  readonly connections: (() => ReadonlyMap<string, number>) | undefined;
  readonly downloads: Downloads | undefined;
}

/** @param processes that serve in place of this one: theirs come with a label each. */
export function registerServingGauges(
  set: MetricSet,
  { store, table, misses, connections, downloads }: ServingSources,
  processes?: () => readonly ProcessView[],
): void {
  const each = (name: string, help: string, own: (() => Iterable<Sample>) | undefined): void => {
    if (own === undefined && processes === undefined) return;
    set.gauge(name, help, function* () {
      if (own !== undefined) yield* own();
      for (const { index, told } of processes?.() ?? [])
        for (const [said, , labels, value] of told?.changes.gauges ?? [])
          if (said === name) yield [{ ...labels, process: String(index) }, value] as const;
    });
  };
  const one = (read: () => number) => (): Iterable<Sample> => [[{}, read()]];
  each(
    'certstatus_store_usable',
    '0 while nothing can be read from the store or written to it, and answers come from memory alone.',
    one(() => (store.failure === undefined ? 1 : 0)),
  );
  each(
    'certstatus_feed_silent_seconds',
    'For how long nothing has proved that changes made by other processes reach this one. Beyond store.redis.silenceLimit no good is served.',
    one(() => store.silentMs() / SECOND),
  );
  each(
    'certstatus_response_table_entries',
    'OCSP answers held in memory by this process.',
    table && one(() => table.size),
  );
  each(
    'certstatus_response_table_bytes',
    'Bytes of the OCSP answers held in memory by this process.',
    table && one(() => table.bytes),
  );
  each(
    'certstatus_issued_filter_serials',
    'Serials that this process knows to be issued, and looks up before others when look-ups are short.',
    misses && one(() => misses.known.count),
  );
  each('certstatus_issued_filter_bytes', 'Memory that these serials take.', misses && one(() => misses.known.bytes));
  each(
    'certstatus_connections',
    'Connections that a listener holds.',
    connections && (() => [...connections()].map(([listener, count]): Sample => [{ listener }, count])),
  );
  each(
    'certstatus_downloads',
    `Large CRLs on their way to somebody. At ${DOWNLOAD_BOUNDS.places} in a process the next one gets 503.`,
    downloads && one(() => downloads.count),
  );
  each(
    'certstatus_download_held_bytes',
    'Memory of CRLs that were replaced and are still being read by somebody.',
    downloads && one(() => downloads.heldOctets),
  );
}

type Sample = readonly [labels: Labels, value: number];

/** The processes themselves. */
export function registerProcessGauges(set: MetricSet, processes: () => readonly ProcessView[]): void {
  set.gauge('certstatus_responder_processes', 'Responder processes, by state; all of them should serve.', function* () {
    const views = processes();
    for (const state of ['serving', 'starting', 'waiting'] as const)
      yield [{ state }, views.filter((view) => view.state === state).length] as const;
  });
  const each = (name: string, help: string, read: (told: ProcessTold) => number): void =>
    set.gauge(name, help, function* () {
      for (const { index, told } of processes())
        if (told !== undefined) yield [{ process: String(index) }, read(told)] as const;
    });
  each(
    'certstatus_responder_process_resident_bytes',
    'Memory of a responder process.',
    ({ residentBytes }) => residentBytes,
  );
  each(
    'certstatus_responder_process_cpu_seconds',
    'CPU time of a responder process since it was started.',
    ({ cpuSeconds }) => cpuSeconds,
  );
}

function spans(responders: readonly ServedResponder[]): readonly ResponderSpan[] {
  return responders.map(({ certificate }) => certificate);
}

function map(instant: EpochMs | undefined, read: (instant: EpochMs) => number): number | undefined {
  return instant === undefined ? undefined : read(instant);
}
