/**
 * What the status page and /status.json say: is every promise kept, what is next due, what is wrong and what to do. Instants are
 * RFC 3339, lengths of time are in seconds and say so, sizes are in octets. What a process does not know is left out: a responder
 * without keys has no slots, and one without a journal no audit log.
 */
import { LANES } from '../../core/certificate.ts';
import { formatDuration, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { ArchiveView } from '../../flows/archive/archive-upkeep.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { MassView } from '../../flows/mass/mass-revocation.ts';
import { type Figures, NO_FIGURES } from './figures.ts';
import type { RecentEvent } from './recent.ts';
import { dueOf, type DueItem } from './status-due.ts';
import { figureProblems } from './status-figures.ts';
import { issuerProblems } from './status-issuer-problems.ts';
import { issuerStatus, type IssuerStatus } from './status-issuer.ts';
import {
  diskStatus,
  monitorStatus,
  slotStatus,
  storeStatus,
  tokenStatus,
  type DiskStatus,
  type MonitorStatus,
  type SlotStatus,
  type StoreStatus,
  type TokenStatus,
} from './status-parts.ts';
import { Problems, processProblems, type ProblemStatus } from './status-problems.ts';
import { promisesOf, sentenceOf, type PromiseStatus } from './status-promises.ts';
import { trendProblems } from './status-trends.ts';
import type { Lately } from './trend.ts';

export interface Status {
  readonly at: string;
  readonly verdict: 'ok' | 'warning' | 'failing';
  /** The verdict for people: which promise is broken, or breaks first, and when. */
  readonly sentence: string;
  /** Of this process. */
  readonly service: ServiceStatus | undefined;
  /** What is failing first, and of those what breaks a promise soonest. */
  readonly problems: readonly ProblemStatus[];
  /** By time. */
  readonly due: readonly DueItem[];
  readonly promises: readonly PromiseStatus[];
  readonly issuers: readonly IssuerStatus[];
  readonly revocations: RevocationsStatus;
  readonly tokens: readonly TokenStatus[];
  readonly lanes: readonly LaneStatus[];
  readonly slots: readonly SlotStatus[];
  readonly store: StoreStatus;
  readonly disks: readonly DiskStatus[];
  /** Undefined in a process that records nothing. */
  readonly audit: AuditStatus | undefined;
  readonly monitor: MonitorStatus;
  /** The mass revocation under way, in a line, and as figures. */
  readonly mass: string | undefined;
  readonly massRun: MassStatus | undefined;
  /** Those that serve beside this one; undefined where this one serves, or nobody does. */
  readonly processes: readonly ProcessStatus[] | undefined;
  /** Why the store cannot be relied on now. */
  readonly storeFailure: string | undefined;
  /** Undefined in a process without an archive. */
  readonly archive: ArchiveStatus | undefined;
  /** What changed last, newest first. */
  readonly events: readonly RecentEvent[];
}

export interface ServiceStatus {
  readonly name: string;
  readonly version: string;
  readonly roles: readonly string[];
  readonly startedAt: string;
}

/** Revocations that are recorded and not yet everywhere. */
export interface RevocationsStatus {
  /** When the oldest was recorded that OCSP, or a CRL, does not have yet. */
  readonly oldestNotInOcsp: string | undefined;
  readonly oldestNotOnCrl: string | undefined;
  /** How many the monitor waits to see from outside. */
  readonly unseen: { readonly ocsp: number | undefined; readonly crl: number | undefined };
  /** Of the one nearest to its limit; below 0 it is broken. */
  readonly limits: readonly { readonly limit: string; readonly leftSeconds: number }[];
}

export interface LaneStatus {
  readonly lane: string;
  readonly waiting: number;
  readonly perSecond: number | undefined;
  /** Until the lane is empty, at the present rate; undefined while it does not drain. */
  readonly etaSeconds: number | undefined;
}

export interface AuditStatus {
  readonly seq: number;
  readonly writable: boolean;
  readonly headAgeSeconds: number | undefined;
  readonly bytes: number | undefined;
}

export interface MassStatus {
  readonly plan: string;
  readonly state: string;
  readonly selected: number;
  readonly recorded: number;
  /** Recorded, and without an answer that says so. */
  readonly waiting: number;
  readonly recordedPerSecond: number;
  readonly signedPerSecond: number;
  readonly leftSeconds: number | undefined;
  readonly startedAt: string;
  readonly startedBy: string;
  readonly failure: string | undefined;
}

export interface ProcessStatus {
  readonly index: number;
  readonly state: 'starting' | 'serving' | 'waiting';
  readonly pid: number | undefined;
  readonly restarts: number;
  readonly residentBytes: number | undefined;
}

export interface ArchiveStatus {
  readonly verifiedAt: string | undefined;
  readonly problems: number;
  readonly copies:
    | { readonly describe: string; readonly waiting: number | undefined; readonly oldest: string | undefined }
    | undefined;
}

/** What statusOf is told beside the gauges' sources; all of it may be missing. */
export interface StatusContext {
  readonly figures: Figures;
  /** How the figures went; undefined: only what is true now is looked at. */
  readonly lately: Lately | undefined;
  readonly service: ServiceStatus | undefined;
  readonly archive: ArchiveView | undefined;
  /** When a problem was first seen, by problemKey. */
  readonly since: (key: string) => EpochMs | undefined;
  readonly events: readonly RecentEvent[];
}

const NO_CONTEXT: StatusContext = {
  figures: NO_FIGURES,
  lately: undefined,
  service: undefined,
  archive: undefined,
  since: () => undefined,
  events: [],
};

export function statusOf(sources: GaugeSources, context: Partial<StatusContext> = {}): Status {
  const { figures, lately, service, archive, since, events } = { ...NO_CONTEXT, ...context };
  const now = sources.clock.now();
  const found = new Problems(since);
  processProblems(found, sources, archive, now);
  for (const issuer of sources.issuers) issuerProblems(found, issuer, sources, now);
  figureProblems(found, sources, figures, service, now);
  if (lately !== undefined) trendProblems(found, sources, figures, lately, now);
  const problems = found.sorted();
  const processes = sources
    .processes?.()
    .map(({ told, ...view }): ProcessStatus => ({ ...view, residentBytes: told?.residentBytes }));
  const mass = sources.mass?.();
  const at = rfc3339(wholeSecond(now));
  return {
    at,
    verdict: problems.some(({ severity }) => severity === 'failing')
      ? 'failing'
      : problems.length > 0
        ? 'warning'
        : 'ok',
    sentence: sentenceOf(problems, mass !== undefined, now),
    service,
    problems,
    due: dueOf(sources, figures, now),
    promises: promisesOf(problems, sources, figures, now),
    issuers: sources.issuers.map((issuer) => issuerStatus(issuer, sources, figures, now)),
    revocations: revocationsStatus(sources, figures),
    tokens: sources.tokens().map(tokenStatus),
    lanes: laneStatus(sources, figures, now),
    slots: slotStatus(figures),
    store: storeStatus(sources, figures),
    disks: diskStatus(figures),
    audit: sources.journal && {
      seq: sources.journal.head.seq,
      writable: sources.journal.failure === undefined,
      headAgeSeconds: figures.one('certstatus_audit_head_age_seconds'),
      bytes: figures.one('certstatus_audit_bytes'),
    },
    monitor: monitorStatus(figures),
    mass: massText(mass),
    massRun: mass && massStatus(mass),
    processes,
    storeFailure: sources.store.failure,
    archive: archive && archiveStatus(archive),
    events,
  };
}

function laneStatus({ store }: GaugeSources, figures: Figures, now: EpochMs): readonly LaneStatus[] {
  return LANES.filter((lane) => lane !== 'asked').map((lane) => ({
    lane,
    waiting: store.backlog(lane, now),
    perSecond: figures.one('certstatus_lane_rate', { lane }),
    etaSeconds: figures.one('certstatus_lane_eta_seconds', { lane }),
  }));
}

function revocationsStatus({ store, publishers }: GaugeSources, figures: Figures): RevocationsStatus {
  const unlisted = [...publishers.values()].flatMap(({ oldestUnlisted }) => oldestUnlisted ?? []);
  const ocsp = store.oldestDue('revocation');
  return {
    oldestNotInOcsp: ocsp === undefined ? undefined : rfc3339(ocsp),
    oldestNotOnCrl: unlisted.length === 0 ? undefined : rfc3339(wholeSecond(Math.min(...unlisted))),
    unseen: {
      ocsp: figures.one('certstatus_revocation_unseen', { channel: 'ocsp' }),
      crl: figures.one('certstatus_revocation_unseen', { channel: 'crl' }),
    },
    limits: figures
      .all('certstatus_revocation_deadline_seconds')
      .map(({ labels, value }) => ({ limit: labels['limit'] ?? '', leftSeconds: value })),
  };
}

function archiveStatus({ copies, verified, problems }: ArchiveView): ArchiveStatus {
  return {
    verifiedAt: verified && rfc3339(wholeSecond(verified.finishedAt)),
    problems,
    copies: copies && {
      describe: copies.describe,
      waiting: copies.waiting,
      oldest: copies.oldest === undefined ? undefined : rfc3339(wholeSecond(copies.oldest)),
    },
  };
}

function massStatus(view: MassView): MassStatus {
  const { plan, run, waiting, failure, recordedPerSecond, signedPerSecond } = view;
  const left = leftMs(view);
  return {
    plan: plan.id,
    state: run.state,
    selected: plan.counts.selected,
    recorded: run.counts.lines,
    waiting,
    recordedPerSecond,
    signedPerSecond,
    leftSeconds: left === undefined ? undefined : left / SECOND,
    startedAt: rfc3339(wholeSecond(run.startedAt)),
    startedBy: run.startedBy,
    failure,
  };
}

/** Both have to end; undefined while either does not move. */
function leftMs({ recordingLeftMs, signingLeftMs }: MassView): number | undefined {
  const left = Math.max(recordingLeftMs ?? NaN, signingLeftMs ?? NaN);
  return Number.isNaN(left) ? undefined : left;
}

function massText(view: MassView | undefined): string | undefined {
  if (view === undefined) return undefined;
  const { plan, run, waiting } = view;
  const left = leftMs(view);
  const rest = left === undefined ? '' : `, ${formatDuration(Math.ceil(left / SECOND) * SECOND)} left`;
  return `${plan.id}: ${run.state}, ${run.counts.lines} of ${plan.counts.selected} recorded, ${waiting} waiting for OCSP${rest}`;
}
