/** An issuer on the status page: how its answers, CRLs and responder certificates are. */
import { DAY, type EpochMs } from '../../core/time.ts';
import type { History, Range } from './history.ts';
import { escape, type Viewer } from './layout.ts';
import { ageChart } from './page-charts.ts';
import { action, facts, idOf, instant, sign, table, type Tone } from './pieces.ts';
import type { CrlStateName, CrlStatus, IssuerStatus } from './status-issuer.ts';
import { bytes, clockTime, count, counted, fromNow, span } from './words.ts';

/** Issuers that are shown unfolded when nothing is wrong with any. */
const UNFOLDED = 3;
/** CRLs that are shown without unfolding: those that are not well, and a few. */
const CRLS_AT_ONCE = 8;
const WELL_AT_ONCE = 3;

export interface IssuerContext {
  readonly viewer: Viewer;
  readonly history: History;
  readonly range: Range;
  readonly now: EpochMs;
  /** Issuers that a problem is about. */
  readonly troubled: ReadonlySet<string>;
}

export function issuers(list: readonly IssuerStatus[], context: IssuerContext): string {
  if (list.length === 0)
    return '<p class="card">No issuer is configured. Add one with <code>certstatus issuer add</code>.</p>';
  return list.map((one) => issuer(one, list.length, context)).join('\n');
}

function issuer(status: IssuerStatus, among: number, context: IssuerContext): string {
  const { now, history, range, troubled } = context;
  const open = among <= UNFOLDED || troubled.has(status.id) ? ' open' : '';
  const tone: Tone = troubled.has(status.id) ? 'warning' : 'ok';
  const id = idOf('issuer', status.id);
  const brief = `${counted(status.certificates, 'certificate')} answered, ${counted(status.crls.scopes, 'CRL')}`;
  return `<details class="issuer card" id="${id}"${open}><summary id="${id}-summary"><h3><span class="${tone}">${sign(tone)}</span> ${escape(status.id)}</h3> <span class="quiet">${escape(status.name)} · preset ${escape(status.preset)} · ${brief}</span></summary>
${figures(status, now)}
<div class="split"><div>${ageChart(status, history, range, now)}</div><div>${responders(status, now)}</div></div>
${crls(status, context)}
</details>`;
}

function figures(status: IssuerStatus, now: EpochMs): string {
  const { good, revoked, withoutAnswer, ageSeconds, ageLimitSeconds, leastNextUpdate } = status;
  const known = (value: number | undefined): string => (value === undefined ? '–' : count(value));
  const age = (value: number | undefined): string => (value === undefined ? '–' : span(value * 1000));
  return facts([
    ['Good', known(good)],
    ['Revoked', known(revoked)],
    ['With a published answer', count(status.certificates)],
    ['Without an answer', withoutAnswer === undefined || withoutAnswer === 0 ? known(withoutAnswer) : `<strong class="failing">${count(withoutAnswer)}</strong>`], // prettier-ignore
    ['Age of answers: median', age(ageSeconds['0.5'])],
    ['Age: 99 %', age(ageSeconds['0.99'])],
    ['Age: oldest', `${age(ageSeconds['1'])}<small>limit ${span(ageLimitSeconds * 1000)}</small>`],
    ['First answer runs out', instant(leastNextUpdate, now, 'nothing published')],
  ]);
}

/** As bars on one time line, from the first beginning to the last end, with a line where now is. */
function responders(status: IssuerStatus, now: EpochMs): string {
  const { responders: list, successorDueAt } = status;
  if (list.length === 0) return '';
  const from = Math.min(now - DAY, ...list.map(({ notBefore }) => Date.parse(notBefore)));
  const to = Math.max(now + DAY, ...list.map(({ notAfter }) => Date.parse(notAfter)));
  const x = (instant: number): string => ((100 * (instant - from)) / (to - from)).toFixed(2);
  const rows = list.map((responder) => {
    const { id, notBefore, notAfter, days } = responder;
    const [begin, end] = [Date.parse(notBefore), Date.parse(notAfter)];
    const width = (a: number, b: number): string => String(Math.max(0, Number(x(b)) - Number(x(a))));
    const used = responder.signs || responder.use === 'signing' ? 'left' : 'old';
    const bar = `<svg class="span" viewBox="0 0 100 26" preserveAspectRatio="none" aria-hidden="true"><rect class="all" x="${x(begin)}" y="8" width="${width(begin, end)}" height="10"/><rect class="${used}" x="${x(Math.max(begin, Math.min(now, end)))}" y="8" width="${width(Math.max(begin, now), Math.max(end, now))}" height="10"/><line x1="${x(now)}" x2="${x(now)}" y1="2" y2="24" vector-effect="non-scaling-stroke"/></svg>`;
    const role = responder.signs ? 'signs' : responder.use === 'answers' ? 'retired: only its answers are served' : 'ready'; // prettier-ignore
    return [
      `<code>${escape(id)}</code><small>${role}</small>`,
      bar,
      `${count(days)} days<small>until ${escape(clockTime(notAfter, now))}</small>`,
    ];
  });
  const due = successorDueAt === undefined ? '' : `<p><small>A successor must be there ${escape(fromNow(successorDueAt, now))}, ${escape(clockTime(successorDueAt, now))} (T-17). The upright line is now.</small></p>`; // prettier-ignore
  return `<h4>Responder certificates</h4>${table(`Responder certificates of ${status.id}`, [{ name: 'certificate', fixed: true }, { name: 'validity' }, { name: 'left', number: true, fixed: true }], rows)}${due}`;
}

const CRL_STATES: Readonly<Record<CrlStateName, readonly [Tone, string]>> = {
  missing: ['failing', 'missing'],
  expired: ['failing', 'run out'],
  refused: ['failing', 'the newest one is kept back'],
  late: ['warning', 'late'],
  ok: ['ok', 'served'],
};

function crls(status: IssuerStatus, { viewer, now }: IssuerContext): string {
  const { crls: all, nextScheduledCrl, crlPeriod, signsCrls } = status;
  const wrong = Object.entries(all.wrong).flatMap(([state, number]) => (number === 0 ? [] : `${count(number)} ${state}`)); // prettier-ignore
  const total = all.scopes === 1 ? '' : `${counted(all.scopes, 'CRL')}, ${counted(all.entries, 'entry', 'entries')}, the largest ${bytes(all.largestBytes)}; ${wrong.length === 0 ? 'all are served' : wrong.join(', ')}. `; // prettier-ignore
  const when = signsCrls
    ? `Scheduled every ${crlPeriod ?? '–'}; next ${nextScheduledCrl === undefined ? 'at once' : escape(fromNow(nextScheduledCrl, now))}.`
    : 'None is signed here.';
  const rows = (list: readonly CrlStatus[]): string =>
    table(
      `CRLs of ${status.id}, the worst first`,
      [{ name: 'CRL' }, { name: 'state' }, { name: 'number', number: true }, { name: 'entries', number: true }, { name: 'size', number: true }, { name: 'age', number: true }, { name: 'runs out', number: true }], // prettier-ignore
      list.map((crl) => crlRow(crl, now)),
    );
  const ill = all.worst.filter(({ state }) => state !== 'ok').length;
  const shown = Math.min(CRLS_AT_ONCE, Math.max(ill, WELL_AT_ONCE));
  const rest = all.worst.slice(shown);
  const id = idOf('crls', status.id);
  const more =
    rest.length === 0
      ? ''
      : `<details id="${id}"><summary id="${id}-summary">${count(rest.length)} more${all.more > 0 ? `, and ${count(all.more)} that are better still (certstatus crl list)` : ''}</summary>${rows(rest)}</details>`;
  const [worst] = all.worst;
  const publish =
    signsCrls && worst !== undefined
      ? action(viewer, 'operate', `/issuers/${encodeURIComponent(status.id)}/crl/publish`, worst.shard === '' ? 'Publish the CRL now' : `Publish the CRL of shard ${worst.shard} now`, { shard: worst.shard }) // prettier-ignore
      : '';
  return `<h4>CRLs</h4><p class="quiet">${total}${when}</p>${rows(all.worst.slice(0, shown))}${more}${publish}`;
}

function crlRow(
  { shard, state, url, number, entries, bytes: size, thisUpdate, nextUpdate }: CrlStatus,
  now: EpochMs,
): readonly string[] {
  // prettier-ignore
  const [tone, says] = CRL_STATES[state];
  return [
    `${shard === '' ? 'complete' : `shard ${escape(shard)}`}${url === undefined ? '' : `<small>${escape(url)}</small>`}`,
    `<span class="${tone}">${sign(tone)} ${says}</span>`,
    number === undefined ? '–' : escape(number),
    entries === undefined ? '–' : count(entries),
    size === undefined ? '–' : bytes(size),
    thisUpdate === undefined ? '–' : span(now - Date.parse(thisUpdate)),
    instant(nextUpdate, now),
  ];
}
