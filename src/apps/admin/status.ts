/** What the status page and /status.json say: is every promise kept, what is next due, what is wrong and what to do. */
import { completeCrl, LANES } from '../../core/certificate.ts';
import { refreshDeadline, refreshLateAt } from '../../core/policy/freshness.ts';
import { successorDue, type ResponderUse } from '../../core/policy/responder-choice.ts';
import { DAY, formatDuration, HOUR, MINUTE, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { ArchiveView } from '../../flows/archive/archive-upkeep.ts';
import type { GaugeSources, UsedToken } from '../../flows/gauges.ts';
import { forecastOf } from '../../flows/crl/crl-forecast.ts';
import type { MassView } from '../../flows/mass/mass-revocation.ts';
import { namesOf, servedCrls } from '../../flows/serve/served-crls.ts';
import { activeResponder } from '../../flows/sign/sign-answers.ts';

export interface Status {
  readonly at: string;
  readonly verdict: 'ok' | 'warning' | 'failing';
  readonly problems: readonly {
    readonly severity: 'warning' | 'failing';
    readonly what: string;
    readonly todo: string;
  }[];
  readonly issuers: readonly IssuerStatus[];
  readonly tokens: readonly TokenStatus[];
  readonly lanes: readonly { readonly lane: string; readonly waiting: number }[];
  /** Undefined in a process that records nothing. */
  readonly audit: { readonly seq: number; readonly writable: boolean } | undefined;
  /** The mass revocation under way, in a line. */
  readonly mass?: string | undefined;
  /** Those that serve beside this one; undefined where this one serves, or nobody does. */
  readonly processes?: readonly ProcessStatus[] | undefined;
  /** Why the store cannot be relied on now. */
  readonly storeFailure: string | undefined;
  /** Undefined in a process without an archive. */
  readonly archive?: ArchiveStatus | undefined;
}

export interface ArchiveStatus {
  readonly verifiedAt: string | undefined;
  readonly problems: number;
  readonly copies:
    | { readonly describe: string; readonly waiting: number | undefined; readonly oldest: string | undefined }
    | undefined;
}

export interface IssuerStatus {
  readonly id: string;
  readonly name: string;
  readonly preset: string;
  readonly certificates: number;
  readonly oldestThisUpdate: string | undefined;
  readonly leastNextUpdate: string | undefined;
  readonly crl:
    | {
        readonly number: string;
        readonly thisUpdate: string;
        readonly nextUpdate: string;
        readonly entries: number;
        readonly bytes: number;
      }
    | undefined;
  readonly signsCrls: boolean;
  readonly nextScheduledCrl: string | undefined;
  /** Between two scheduled CRLs, in words (B-13); undefined in a process that does not sign. */
  readonly crlPeriod?: string | undefined;
  readonly responders: readonly {
    readonly id: string;
    readonly notAfter: string;
    readonly days: number;
    readonly use: ResponderUse;
    /** True for the one that signs now, in a process that signs. */
    readonly signs: boolean;
  }[];
}

export interface ProcessStatus {
  readonly index: number;
  readonly state: 'starting' | 'serving' | 'waiting';
  readonly pid: number | undefined;
  readonly restarts: number;
  readonly residentBytes: number | undefined;
}

export interface TokenStatus {
  readonly name: string;
  readonly describe: string;
  readonly state: string;
  readonly activatedAt: string | undefined;
  readonly activatedBy: readonly string[];
  /** Persons whose share waits for others. */
  readonly sharesOf: readonly string[];
  readonly issuers: readonly string[];
}

/** A revocation that has waited longer than this for a channel is worth a look; the target is seconds, the limit 24 h. */
const REVOCATION_WARNING_MS = 5 * MINUTE;

export function statusOf(sources: GaugeSources, archive?: ArchiveView): Status {
  const now = sources.clock.now();
  const problems: { severity: 'warning' | 'failing'; what: string; todo: string }[] = [];
  const warn = (what: string, todo: string): void => void problems.push({ severity: 'warning', what, todo });
  const fail = (what: string, todo: string): void => void problems.push({ severity: 'failing', what, todo });
  const optional = (instant: EpochMs | undefined): string | undefined =>
    instant === undefined ? undefined : rfc3339(instant);

  if (sources.journal?.failure !== undefined) {
    fail(
      `The audit log cannot be written: ${sources.journal.failure}. No event is taken and nothing is signed.`,
      'Free space on, or repair, the disk of the data directory; signing resumes by itself.',
    );
  }
  const clockFault = sources.clocks?.fault;
  if (clockFault !== undefined)
    fail(
      `No answer and no CRL is signed: ${clockFault}.`,
      'Check the time service of this machine (chronyc tracking, timedatectl); signing resumes by itself.',
    );
  const storeFailure = sources.store.failure;
  if (storeFailure !== undefined) {
    fail(
      `The store cannot be relied on: ${storeFailure}. No event is taken, nothing is signed; answers come from memory.`,
      'Bring back what is missing; it is used again by itself.',
    );
  }
  const refusedAt = sources.misses?.refusedAt;
  if (refusedAt !== undefined && now - refusedAt < MINUTE) {
    warn(
      'Serials that nobody issued are asked for faster than they may be looked up; such questions get tryLater.',
      'Certificates that exist are answered as ever. See certstatus_lookups_total; a firewall can keep the source away.',
    );
  }
  const processes = sources
    .processes?.()
    .map(({ told, ...view }): ProcessStatus => ({ ...view, residentBytes: told?.residentBytes }));
  const idle = processes?.filter(({ state }) => state !== 'serving') ?? [];
  if (processes !== undefined && idle.length > 0) {
    (idle.length === processes.length ? fail : warn)(
      `Of ${processes.length} responder processes ${processes.length - idle.length} serve.`,
      'They are started again by themselves; the log says why they ended.',
    );
  }
  const tokens = sources.tokens().map((token): TokenStatus => {
    const { view, issuers } = token;
    if (view.state !== 'active') (stopsSigning(token, sources, now) ? fail : warn)(whatStopped(token), whatToDo(token));
    return {
      name: view.name,
      describe: view.describe,
      state: view.state,
      activatedAt: optional(view.activated && wholeSecond(view.activated.at)),
      activatedBy: view.activated?.persons ?? [],
      sharesOf: view.shares?.persons ?? [],
      issuers: issuers.map(({ id }) => id),
    };
  });
  if (archive !== undefined && archive.problems > 0)
    fail(
      `The last verification of the CRL archive found ${archive.problems} ${archive.problems === 1 ? 'problem' : 'problems'}.`,
      'The log names each; certstatus archive verify --repair mends what the other place has.',
    );
  const copies = archive?.copies;
  if (copies?.oldest !== undefined && now - copies.oldest > HOUR)
    warn(
      `CRLs published since ${rfc3339(wholeSecond(copies.oldest))} are in one place only: they are not copied to ${copies.describe}.`,
      copies.failure ?? 'See the log.',
    );
  const revocation = sources.store.oldestDue('revocation');
  if (revocation !== undefined && now - revocation > REVOCATION_WARNING_MS) {
    fail(
      `A revocation recorded ${rfc3339(revocation)} is not in OCSP yet.`,
      'See the log for signing errors; check the key holder and the responder certificate.',
    );
  }
  for (const { level, what, advice } of sources.offline?.notices(now) ?? [])
    (level === 'failing' ? fail : warn)(what, advice);
  const mass = sources.mass?.();
  if (mass?.failure !== undefined)
    warn(
      `Mass revocation ${mass.plan.id} waits: ${mass.failure}.`,
      'It goes on by itself when that is over; certstatus mass status shows how far it is.',
    );
  const issuers = sources.issuers.map((issuer): IssuerStatus => {
    const fresh = sources.freshness.of(issuer.tag);
    const periodMs = sources.census?.periodMs(issuer) ?? issuer.profile.crl.periodMs;
    const crl = sources.files.crl(completeCrl(issuer.tag));
    const publisher = sources.publishers.get(issuer.tag);
    // Those of a CA that signs them offline have a watch of their own.
    if (fresh.oldestThisUpdate !== undefined && issuer.offline?.ocsp !== true) {
      const validityMs = issuer.profile.ocsp.validityMs;
      const deadline = refreshDeadline(fresh.oldestThisUpdate, fresh.oldestThisUpdate + validityMs - SECOND);
      if (now > deadline)
        fail(
          `${issuer.id}: OCSP answers are older than their deadline (oldest ${rfc3339(fresh.oldestThisUpdate)}).`,
          'The signer is behind or stopped: see the lanes below and the log.',
        );
      else if (now > refreshLateAt(issuer.profile, fresh.oldestThisUpdate))
        warn(
          `${issuer.id}: OCSP answers are being refreshed late (oldest ${rfc3339(fresh.oldestThisUpdate)}).`,
          'The signer is behind: see the lanes below and the log.',
        );
    }
    const served = servedCrls(issuer, sources.files, now);
    if (served.missing.length > 0)
      fail(
        served.scopes === 1
          ? `${issuer.id}: no CRL is being served.`
          : `${issuer.id}: ${served.missing.length} of ${served.scopes} CRLs are not being served: ${namesOf(served.missing)}.`,
        publisher === undefined
          ? `See the log of the process that signs it; where crl.key is not set in issuers/${issuer.id}/issuer.yaml it is signed offline and imported (certstatus offline export, crl import).`
          : 'See the log: the first build may have been refused.',
      );
    if (served.expired.length > 0)
      fail(
        served.scopes === 1
          ? `${issuer.id}: CRL ${crl?.number} has run out.`
          : `${issuer.id}: ${served.expired.length} of ${served.scopes} CRLs have run out: ${namesOf(served.expired)}.`,
        'See the log for refused or failed builds.',
      );
    else if (served.oldestScheduledAt !== undefined && now - served.oldestScheduledAt > periodMs + HOUR)
      warn(`${issuer.id}: the scheduled CRL is late.`, 'See the log for refused or failed builds.');
    if (publisher?.oldestUnlisted !== undefined && now - publisher.oldestUnlisted > REVOCATION_WARNING_MS) {
      fail(
        `${issuer.id}: a revocation recorded ${rfc3339(publisher.oldestUnlisted)} is on no CRL yet.`,
        'See the log for refused or failed builds.',
      );
    }
    const over = sources.census && forecastOf(issuer, sources.census, now)?.scopes.filter(({ overLimit }) => overLimit);
    if (over !== undefined && over.length > 0) {
      warn(
        `${issuer.id}: ${over.length} CRLs would have 10 MB or more if all their certificates were revoked (P-17).`,
        `certstatus crl forecast --issuer ${issuer.id} says which, and how many shards would do.`,
      );
    }
    // A CA that browsers do not know has nothing to tell them.
    const open = issuer.profile.authorities.includes('mozilla') ? sources.urls?.openOf(issuer) : undefined;
    if (open?.dueBy !== undefined) {
      (now > open.dueBy ? fail : warn)(
        `${issuer.id}: certificates name CRL URLs that nobody has said are in the CCADB; they must be there by ${rfc3339(open.dueBy)} (P-09).`,
        `certstatus crl urls --issuer ${issuer.id} prints them; with --acknowledge it notes that it is done.`,
      );
    }
    for (const [shard, { refused }] of publisher?.publishers ?? []) {
      if (refused)
        fail(
          `${issuer.id}: the last ${shard === '' ? 'complete CRL' : `CRL of shard ${shard}`} that was signed is not published.`,
          `certstatus crl show --why --issuer ${issuer.id} says which rule kept it back.`,
        );
    }
    const signs = sources.signsWith?.(issuer.tag);
    const responders = issuer.responders.shown(now).map(({ certificate: { id, notAfter } }) => ({
      id,
      notAfter: rfc3339(notAfter),
      days: Math.floor((notAfter - now) / DAY),
      use: issuer.responders.useOf(id),
      signs: id === signs,
    }));
    const signing = issuer.responders.signing.map(({ certificate }) => certificate);
    const successor = successorDue(issuer.profile, signing, now);
    if (successor === undefined) {
      warn(
        `${issuer.id}: there is no responder certificate that is still valid, so no OCSP answer is signed.`,
        `Have the CA issue one (certstatus key csr, then key install, with --issuer ${issuer.id}).`,
      );
    } else if (successor.alarm !== 'none') {
      (successor.alarm === 'failing' ? fail : warn)(
        `${issuer.id}: the last responder certificate ends ${rfc3339(successor.lastEnds)}; its successor must begin by ${rfc3339(successor.dueAt)} (T-17).`,
        `Have the CA issue its successor (certstatus key csr, then key install, with --issuer ${issuer.id}).`,
      );
    }
    return {
      id: issuer.id,
      name: issuer.issuer.name,
      preset: issuer.profile.preset,
      certificates: fresh.count,
      oldestThisUpdate: optional(fresh.oldestThisUpdate),
      leastNextUpdate: optional(fresh.leastNextUpdate),
      crl: crl && {
        number: crl.number.toString(),
        thisUpdate: rfc3339(crl.thisUpdate),
        nextUpdate: rfc3339(crl.nextUpdate),
        entries: crl.entries,
        bytes: crl.bytes,
      },
      signsCrls: publisher !== undefined,
      nextScheduledCrl: optional(crl && crl.scheduledAt + periodMs),
      ...(sources.census && { crlPeriod: formatDuration(periodMs) }),
      responders,
    };
  });
  return {
    at: rfc3339(wholeSecond(now)),
    verdict: problems.some(({ severity }) => severity === 'failing')
      ? 'failing'
      : problems.length > 0
        ? 'warning'
        : 'ok',
    problems,
    issuers,
    tokens,
    lanes: LANES.filter((lane) => lane !== 'asked').map((lane) => ({
      lane,
      waiting: sources.store.backlog(lane, now),
    })),
    audit: sources.journal && {
      seq: sources.journal.head.seq,
      writable: sources.journal.failure === undefined,
    },
    processes,
    mass: massText(mass),
    storeFailure,
    archive: archive && archiveStatus(archive),
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

function massText(view: MassView | undefined): string | undefined {
  if (view === undefined) return undefined;
  const { plan, run, waiting, recordingLeftMs, signingLeftMs } = view;
  const left = Math.max(recordingLeftMs ?? NaN, signingLeftMs ?? NaN);
  const rest = Number.isNaN(left) ? '' : `, ${formatDuration(Math.ceil(left / SECOND) * SECOND)} left`;
  return `${plan.id}: ${run.state}, ${run.counts.lines} of ${plan.counts.selected} recorded, ${waiting} waiting for OCSP${rest}`;
}

/** Whether an issuer has no other place for its keys. */
function stopsSigning({ issuers }: UsedToken, { signers }: GaugeSources, now: EpochMs): boolean {
  return signers.some(
    (at) =>
      issuers.includes(at.served) &&
      (activeResponder(at, now)?.holder.failure !== undefined || at.keys.crl?.holder.failure !== undefined),
  );
}

function whatStopped({ view, issuers, servedUntil }: UsedToken): string {
  const rest = servedUntil === undefined ? '' : ` What is published lasts until ${rfc3339(servedUntil)}.`;
  const users = issuers.map(({ id }) => id).join(', ') || 'no issuer';
  return `${view.failure ?? `token ${view.name} is ${view.state}`}: nothing is signed with its keys (${users}).${rest}`;
}

function whatToDo({ view }: UsedToken): string {
  if (view.state === 'lost') return 'Check the HSM and the way to it; it is used again by itself when it answers.';
  const command = `certstatus key activate --token ${view.name}`;
  if (view.threshold !== undefined) {
    const entered =
      view.shares === undefined
        ? 'none is entered yet'
        : `entered: ${view.shares.persons.join(', ')}; the others by ${rfc3339(wholeSecond(view.shares.until))}`;
    return `${view.threshold} persons each enter their share with ${command} (${entered}).`;
  }
  return view.source === 'prompt'
    ? `Enter the PIN with ${command}.`
    : `Restart the service, which takes the PIN from its ${view.source}; the log says why it could not.`;
}
