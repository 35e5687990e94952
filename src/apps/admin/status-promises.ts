/** The eight promises, what shows that each is kept now, and the verdict in a sentence. */
import { completeCrl } from '../../core/certificate.ts';
import type { EpochMs } from '../../core/time.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { Figures } from './figures.ts';
import { PROMISES, type PromiseId } from './promises.ts';
import type { ProblemStatus } from './status-problems.ts';
import { clockTime, count, counted, fromNow, span } from './words.ts';

export interface PromiseStatus {
  readonly id: PromiseId;
  readonly name: string;
  /** `elsewhere`: this process does not have what would show it. */
  readonly state: 'kept' | 'at-risk' | 'broken' | 'elsewhere';
  readonly shownBy: string;
}

export function promisesOf(
  problems: readonly ProblemStatus[],
  sources: GaugeSources,
  figures: Figures,
  now: EpochMs,
): readonly PromiseStatus[] {
  const evidence: Readonly<Record<PromiseId, string | undefined>> = {
    P1: recorded(sources, figures),
    P2: revoked(sources, figures),
    P3: unissued(figures),
    P4: fresh(sources, now),
    P5: agreeing(sources, figures),
    P6: checked(figures),
    P7: keys(sources),
    P8: accounted(sources),
  };
  return (Object.keys(PROMISES) as PromiseId[]).map((id) => {
    const against = problems.filter(({ promise }) => promise?.id === id);
    const broken = against.find(({ promise }) => Date.parse(promise?.breaksAt ?? '') <= now);
    const first = broken ?? against[0];
    const shownBy = first?.what ?? evidence[id] ?? 'This process has no part in it: see the others.';
    const well = evidence[id] === undefined ? ('elsewhere' as const) : ('kept' as const);
    const state = broken !== undefined ? 'broken' : first !== undefined ? 'at-risk' : well;
    return { id, name: PROMISES[id], state, shownBy };
  });
}

/** For whoever was just woken up: is something broken, or when will it be. */
export function sentenceOf(problems: readonly ProblemStatus[], massRuns: boolean, now: EpochMs): string {
  const breaking = problems.flatMap(({ promise }) => promise ?? []);
  const broken = [
    ...new Set(breaking.filter(({ breaksAt }) => Date.parse(breaksAt) <= now).map(({ id }) => id)),
  ].sort();
  if (broken.length > 0) return `Broken: ${broken.map((id) => `${id} “${PROMISES[id]}”`).join(', ')}.`;
  const next = [...breaking].sort((a, b) => Date.parse(a.breaksAt) - Date.parse(b.breaksAt))[0];
  if (next !== undefined)
    return `Every promise is kept. ${next.id} “${PROMISES[next.id]}” breaks ${fromNow(next.breaksAt, now)} (${clockTime(next.breaksAt, now)}) if nobody does anything.`;
  if (problems.length > 0) return 'Every promise is kept, and none is about to break.';
  if (massRuns) return 'Every promise is kept, and nothing is late. A mass revocation is under way.';
  return 'Every promise is kept, nothing is late, and nobody has to do anything.';
}

function recorded({ journal, store }: GaugeSources, figures: Figures): string | undefined {
  if (journal === undefined) return undefined;
  const age = figures.one('certstatus_audit_head_age_seconds');
  const last = age === undefined ? '' : `, the last ${span(age * 1000)} ago`;
  const store_ = store.failure === undefined ? 'The store has everything.' : 'The store will be brought up to date.';
  return `Each event is in the audit log before it is acknowledged: ${count(journal.head.seq)} records${last}. ${store_}`;
}

function revoked({ store, publishers }: GaugeSources, figures: Figures): string | undefined {
  const waiting = store.oldestDue('revocation');
  const wrong = figures.sum('certstatus_sample_wrong');
  const sample = wrong === undefined ? '' : wrong === 0 ? ' The last random sample of what is served was right.' : '';
  if (publishers.size === 0 && wrong === undefined && waiting === undefined)
    return 'No revocation that this process knows of waits for its answer.';
  const unlisted = [...publishers.values()].filter(({ oldestUnlisted }) => oldestUnlisted !== undefined).length;
  const all = waiting === undefined && unlisted === 0;
  return `${all ? 'No recorded revocation waits for OCSP or for a CRL.' : 'Recorded revocations are on their way to OCSP and CRLs.'}${sample}`;
}

function unissued(figures: Figures): string | undefined {
  const answers = figures.all('certstatus_answers_total');
  if (answers.length === 0) return undefined;
  const asked = figures.sum('certstatus_answers_total', { outcome: 'unauthorized-serial' }) ?? 0;
  return asked === 0
    ? 'Nobody has asked for a serial that was not issued since the start.'
    : `${counted(asked, 'question')} about serials that nobody issued since the start; each got unauthorized.`;
}

function fresh({ issuers, freshness, files }: GaugeSources, now: EpochMs): string | undefined {
  const ends = issuers.flatMap(({ tag }) => freshness.of(tag).leastNextUpdate ?? []);
  const published = issuers.reduce((sum, { tag }) => sum + freshness.of(tag).count, 0);
  const crls = issuers.flatMap(({ tag }) => files.crl(completeCrl(tag))?.nextUpdate ?? []);
  if (!freshness.complete) return 'The published answers are being counted.';
  if (ends.length === 0 && crls.length === 0) return 'Nothing is published yet, so nothing can be stale.';
  const answers =
    ends.length === 0
      ? 'No answer is published.'
      : `Of ${counted(published, 'certificate')} with a published answer the first answer runs out ${span(Math.min(...ends) - now)} from now.`;
  return crls.length === 0 ? answers : `${answers} The first CRL: ${span(Math.min(...crls) - now)}.`;
}

function agreeing({ publishers }: GaugeSources, figures: Figures): string | undefined {
  const differences = figures.one('certstatus_reconcile_differences');
  if (differences === undefined)
    return publishers.size === 0
      ? undefined
      : 'Both are made from the same records; they have not been compared since the start.';
  const age = figures.one('certstatus_reconcile_age_seconds') ?? 0;
  return `Ledger, OCSP and CRLs were compared ${span(age * 1000)} ago: ${counted(differences, 'difference')}.`;
}

function checked(figures: Figures): string | undefined {
  if (
    figures.all('certstatus_signing_refused_total').length === 0 &&
    figures.sum('certstatus_signed_certificates_total') === undefined
  )
    // prettier-ignore
    return figures.one('certstatus_response_table_entries') === undefined
      ? undefined
      : 'The signer decodes, verifies and lints each answer and CRL before it publishes it.';
  const published = figures.sum('certstatus_signed_certificates_total', { outcome: 'published' }) ?? 0;
  const kept = figures.sum('certstatus_signing_refused_total', { reason: 'check' }) ?? 0;
  return `${counted(published, 'certificate')} answered since the start, each answer decoded, verified and linted first; ${kept === 0 ? 'none was kept back' : `${count(kept)} kept back`}.`;
}

function keys({ signers, tokens }: GaugeSources): string {
  if (signers.length === 0) return 'This process has no key.';
  const held = tokens();
  if (held.length === 0) return 'The keys are in files, for trials; only the signer opens them.';
  return held
    .map(
      ({ view }) =>
        `Token ${view.name} is ${view.state}${view.activated === undefined ? '' : `, activated by ${view.activated.persons.join(', ')}`}.`,
    ) // prettier-ignore
    .join(' ');
}

function accounted({ journal, signers }: GaugeSources): string | undefined {
  if (journal === undefined) return undefined;
  if (signers.length === 0) return 'This process signs nothing.';
  return `The audit log can be written (record ${count(journal.head.seq)}); nothing is signed while it cannot.`;
}
