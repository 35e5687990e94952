/**
 * The status page, in the order in which it is needed at 3 a.m.: the verdict, what is wrong and what to do, what is next due, whether each
 * promise is kept, and then the figures. It works without scripts; what comes from outside is escaped.
 */
import type { EpochMs } from '../../core/time.ts';
import type { History, Range } from './history.ts';
import { document, escape, type Viewer } from './layout.ts';
import { overallCharts } from './page-charts.ts';
import { issuers } from './page-issuer.ts';
import { massSection, monitorSection, processSection, signerSection, storeSection } from './page-machine.ts';
import { idOf, instant, instantLine, section, sign, table, type Tone } from './pieces.ts';
import type { Status } from './status.ts';
import type { DueItem } from './status-due.ts';
import { PROMISES } from './promises.ts';
import type { PromiseStatus } from './status-promises.ts';
import type { ProblemStatus } from './status-problems.ts';
import { clockTime, count, fromNow } from './words.ts';

/** What the page's address may ask for; anything else is the default. */
export interface PageQuery {
  /** `days`: charts of two days. */
  readonly range?: unknown;
  /** `off`: the page stays as it is. */
  readonly reload?: unknown;
}

export interface PageContext {
  readonly viewer: Viewer;
  readonly history: History;
  /** Base of the links to the runbook, `https://…/runbook.md`; undefined: alerts are named only. */
  readonly runbook: string | undefined;
  readonly query: PageQuery;
}

const RELOAD_SECONDS = 10;
/** Of what is due: the rest is unfolded. */
const DUE_AT_ONCE = 6;
const EVENTS_AT_ONCE = 8;

const VERDICTS = { ok: 'All is well', warning: 'Needs attention', failing: 'Act now' } as const;

export function statusPage(status: Status, context: PageContext): string {
  const { viewer, history, query } = context;
  const now = Date.parse(status.at);
  const range: Range = query.range === 'days' ? 'days' : 'hour';
  const reloads = query.reload === 'off' ? undefined : RELOAD_SECONDS;
  const unusable = status.tokens.filter(({ state }) => state !== 'active').flatMap((token) => token.issuers);
  const troubled = new Set([...status.problems.flatMap(({ subject }) => subject ?? []), ...unusable]);
  const body = [
    verdict(status, range, reloads, now),
    section(
      'problems',
      'What is wrong, and what to do',
      problems(status.problems, context.runbook, now),
      urgencies(status.problems),
    ),
    massSection(status.massRun, viewer, now),
    `<div class="columns">${due(status.due, now)}${monitorSection(status, now)}</div>`,
    section('promises', 'Promises', promises(status.promises)),
    section(
      'charts',
      'Charts',
      `${overallCharts(history, range, now)}<p><small>Since the start ${instantLine(new Date(history.startedAt).toISOString().replace(/\.\d+Z/, 'Z'), now)}; times are UTC.</small></p>`,
      ranges(range, reloads),
    ),
    section('issuers', 'Issuers', issuers(status.issuers, { viewer, history, range, now, troubled })),
    `<div class="columns">${signerSection(status, viewer, now)}${storeSection(status, now)}</div>`,
    `<div class="columns">${processSection(status.processes)}${events(status, now)}</div>`,
    `<footer><a id="to-metrics" href="/metrics">metrics</a><a id="to-json" href="/status.json">status.json</a><a id="to-readyz" href="/readyz">readyz</a>${status.service === undefined ? '' : `<span>certstatus ${escape(status.service.version)}: ${escape(status.service.roles.join(', '))}</span>`}</footer>`,
  ].join('\n');
  const name = status.service === undefined ? '' : ` · ${status.service.name}`;
  return document({ title: `${VERDICTS[status.verdict]}${name}`, viewer, path: '/', reloads, body });
}

function address(range: Range, reloads: number | undefined): string {
  const asked = [range === 'days' ? 'range=days' : '', reloads === undefined ? 'reload=off' : ''].filter((one) => one);
  return asked.length === 0 ? '/' : `/?${asked.join('&#38;')}`;
}

function verdict(status: Status, range: Range, reloads: number | undefined, now: EpochMs): string {
  const tone: Tone = status.verdict;
  const name = status.service === undefined ? '' : `<span>${escape(status.service.name)}, up since ${escape(clockTime(status.service.startedAt, now))}</span>`; // prettier-ignore
  const reload =
    reloads === undefined
      ? `<a id="reload" href="${address(range, RELOAD_SECONDS)}">Reload every ${RELOAD_SECONDS} s</a>`
      : `<a id="reload" href="${address(range, undefined)}">Stop reloading</a>`;
  return `<header class="verdict ${tone}">${sign(tone)}<div><h1>${VERDICTS[tone]}</h1><p class="said">${escape(status.sentence)}</p></div>
<div class="at"><span>as of <time datetime="${escape(status.at)}">${escape(clockTime(status.at, now))}</time></span>${name}${reload}<a id="now" href="${address(range, reloads)}">Reload now</a></div></header>`;
}

function problems(list: readonly ProblemStatus[], runbook: string | undefined, now: EpochMs): string {
  if (list.length === 0) return '';
  const seen = new Map<string, number>();
  const items = list.map((problem) => {
    const { severity, alert, what, means, todo, since, promise } = problem;
    const again = (seen.get(alert) ?? 0) + 1;
    seen.set(alert, again);
    const link =
      runbook === undefined
        ? escape(alert)
        : `<a id="${idOf('runbook', alert, String(again))}" href="${escape(`${runbook}#${alert.toLowerCase()}`)}">${escape(alert)}</a>`;
    const facts: [string, string][] = [['Since', since === undefined ? 'just now' : instantLine(since, now)]];
    if (promise !== undefined) {
      const { id, breaksAt } = promise;
      const when = Date.parse(breaksAt) <= now ? 'broken since' : 'breaks';
      facts.push([`${id} ${PROMISES[id]}`, `<strong>${when} ${instantLine(breaksAt, now)}</strong>`]);
    }
    facts.push([runbook === undefined ? 'Alert' : 'Alert and runbook', link]);
    return `<li class="card ${severity}"><h3>${sign(severity)} <span class="hidden">${severity === 'failing' ? 'Failing: ' : 'Warning: '}</span>${escape(what)}</h3><p>${escape(means)}</p><p class="todo">${escape(todo)}</p><dl>${facts.map(([name, value]) => `<div><dt>${escape(name)}</dt><dd>${value}</dd></div>`).join('')}</dl></li>`;
  });
  return `<ul class="problems">${items.join('\n')}</ul>`;
}

/** How much of it has to be done now: where there is more than fits a screen. */
function urgencies(list: readonly ProblemStatus[]): string {
  const now = list.filter(({ severity }) => severity === 'failing').length;
  const later = list.length - now;
  if (list.length < 4) return '';
  return ` <small>${[now > 0 ? `${count(now)} now` : '', later > 0 ? `${count(later)} in working hours` : ''].filter((one) => one).join(', ')}</small>`;
}

function due(items: readonly DueItem[], now: EpochMs): string {
  if (items.length === 0) return '';
  const rows = (some: readonly DueItem[], caption: string): string =>
    table(
      caption,
      [{ name: 'when', fixed: true }, { name: 'what' }, { name: 'by', fixed: true }],
      some.map(({ at, subject, what, by }) => [
        Date.parse(at) <= now ? `<span class="failing">${instant(at, now)}</span>` : instant(at, now),
        `<strong>${escape(subject)}</strong>: ${escape(what)}`,
        by,
      ]),
    );
  const rest = items.slice(DUE_AT_ONCE);
  const more =
    rest.length === 0
      ? ''
      : `<details id="due-more"><summary id="due-more-summary">${count(rest.length)} more</summary>${rows(rest.slice(0, 50), 'Due later')}</details>`;
  return section('due', 'Next due', `<div class="card">${rows(items.slice(0, DUE_AT_ONCE), 'Next due')}${more}</div>`);
}

const PROMISE_STATES: Readonly<Record<PromiseStatus['state'], readonly [Tone | 'quiet', string]>> = {
  kept: ['ok', 'kept'],
  'at-risk': ['warning', 'kept, at risk'],
  broken: ['failing', 'broken'],
  elsewhere: ['quiet', 'shown by another process'],
};

function promises(list: readonly PromiseStatus[]): string {
  const items = list.map(({ id, name, state, shownBy }) => {
    const [tone, says] = PROMISE_STATES[state];
    const mark = tone === 'quiet' ? '' : `${sign(tone)} `;
    return `<li class="card"><h3>${id} ${escape(name)}</h3><p class="state ${tone}">${mark}${says}</p><p class="quiet">${escape(shownBy)}</p></li>`;
  });
  return `<ul class="tiles">${items.join('\n')}</ul>`;
}

function ranges(range: Range, reloads: number | undefined): string {
  const one = (is: Range, name: string): string =>
    `<a id="range-${is}" href="${address(is, reloads)}"${is === range ? ' aria-current="true"' : ''}>${name}</a>`;
  return ` <span class="ranges">${one('hour', 'last hour')}${one('days', 'two days')}</span>`;
}

function events({ events: list }: Status, now: EpochMs): string {
  if (list.length === 0) return '';
  const rows = (some: Status['events'], caption: string): string =>
    table(
      caption,
      [{ name: 'when', fixed: true }, { name: 'what' }],
      some.map(({ at, kind, severity, what, by }) => {
        const tone: Tone | undefined = kind === 'cleared' ? 'ok' : kind === 'problem' ? (severity ?? 'warning') : undefined; // prettier-ignore
        const mark = tone === undefined ? '' : `<span class="${tone}">${sign(tone)}</span> `;
        return [
          `<time datetime="${escape(at)}" title="${escape(fromNow(at, now))}">${escape(clockTime(at, now))}</time>`,
          `${mark}${escape(what)}${by === undefined ? '' : `<small>${escape(by)}</small>`}`,
        ];
      }),
    );
  const rest = list.slice(EVENTS_AT_ONCE);
  const more =
    rest.length === 0
      ? ''
      : `<details id="events-more"><summary id="events-more-summary">${count(rest.length)} more</summary>${rows(rest, 'Earlier events')}</details>`;
  return section('events', 'Recent events', `<div class="card events">${rows(list.slice(0, EVENTS_AT_ONCE), 'Recent events')}${more}</div>`); // prettier-ignore
}
