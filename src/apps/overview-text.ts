/** The status of the service for a terminal: what is wrong and what to do first, then what is due, then the figures. */
import { formatDuration, SECOND } from '../core/time.ts';
import type { Status } from './admin/status.ts';
import { table } from './commands/context.ts';

export type Paint = (text: string, colour: 'red' | 'yellow' | 'green') => string;

/** Colours are for a terminal, and for whoever wants them (no-color.org). */
export function paintFor(output: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): Paint {
  const codes = { red: 31, yellow: 33, green: 32 };
  if (output.isTTY !== true || (env['NO_COLOR'] ?? '') !== '') return (text) => text;
  return (text, colour) => `\u001b[${codes[colour]}m${text}\u001b[0m`;
}

const COLOURS = { ok: 'green', warning: 'yellow', failing: 'red' } as const;
/** The next of them: all stand on the status page. */
const SHOWN_DUE = 5;
const INDENT = ' '.repeat(11);

export function overviewText(status: Status, paint: Paint): string {
  const { at, verdict, sentence, problems, promises, issuers } = status;
  const now = Date.parse(at);
  const when = (instant: string): string => {
    const ms = Math.floor((Date.parse(instant) - now) / SECOND) * SECOND;
    return ms < 0 ? `${formatDuration(-ms)} ago` : `in ${formatDuration(ms)}`;
  };
  return [
    `${paint(verdict.toUpperCase(), COLOURS[verdict])}  ${sentence}  (${at})`,
    ...problems.flatMap(({ severity, alert, what, means, promise, todo, since }) => [
      '',
      `${paint(severity.padEnd(9), COLOURS[severity])}  ${what}${since === undefined ? '' : ` Since ${since}.`}`,
      `${INDENT}${means}`,
      ...(promise === undefined ? [] : [`${INDENT}${promise.id} breaks ${promise.breaksAt}, ${when(promise.breaksAt)}.`]),
      `${INDENT}To do: ${todo} (${alert})`,
    ]), // prettier-ignore
    '',
    ...rows('promises', promises.filter(({ state }) => state === 'broken' || state === 'at-risk').map(({ id, name, state, shownBy }) => `${id} ${name}: ${state.replace('-', ' ')}; ${shownBy}`), 'all kept'), // prettier-ignore
    ...rows('next due', status.due.slice(0, SHOWN_DUE).map((one) => `${one.at}, ${when(one.at)}: ${one.subject}: ${one.what}${one.by === 'person' ? ' (somebody has to do it)' : ''}`), 'nothing'), // prettier-ignore
    ...machine(status),
    '',
    table([
      ['ISSUER', 'ANSWERS', 'OLDEST', 'DUE', 'CRL', 'ENTRIES', 'BYTES', 'RUNS OUT', 'OTHER CRLS'],
      ...issuers.map(({ id, certificates, oldestThisUpdate, answersDueAt, crl, crls }) => [
        id,
        String(certificates),
        oldestThisUpdate === undefined ? '-' : when(oldestThisUpdate),
        answersDueAt === undefined ? '-' : when(answersDueAt),
        crl?.number ?? '-',
        crl === undefined ? '-' : String(crl.entries),
        crl === undefined ? '-' : String(crl.bytes),
        crl === undefined ? '-' : when(crl.nextUpdate),
        otherCrls(crls, crl !== undefined),
      ]),
    ]),
  ].join('\n');
}

/** What the process has, line by line. */
function machine(status: Status): readonly string[] {
  const { lanes, tokens, slots, store, audit, archive, massRun, processes, disks } = status;
  return [
    ...rows('waiting', lanes.map(({ lane, waiting, perSecond, etaSeconds }) => `${lane} ${number(waiting)}${waiting > 0 && perSecond !== undefined ? `, ${number(perSecond)}/s` : ''}${waiting > 0 && etaSeconds !== undefined ? `, ${seconds(etaSeconds)} left` : ''}`), 'nothing'), // prettier-ignore
    ...(massRun === undefined
      ? []
      : rows('mass', [`${massRun.plan}: ${massRun.state}, ${number(massRun.recorded)} of ${number(massRun.selected)} recorded, ${number(massRun.waiting)} wait for OCSP${massRun.leftSeconds === undefined ? '' : `, ${seconds(massRun.leftSeconds)} left`}${massRun.failure === undefined ? '' : `; waits: ${massRun.failure}`}`])),
    ...rows('tokens', tokens.map(({ name, state, threshold, activatedBy, sharesOf }) => `${name} ${state}${activatedBy.length > 0 ? ` by ${activatedBy.join(', ')}` : ''}${state !== 'active' && threshold !== undefined ? `, ${sharesOf.length} of ${threshold} shares entered` : ''}`)),
    ...rows('keys', slots.map(({ slot, sessions, signatures, failures }) => `${slot}: ${sessions === undefined ? '' : `${sessions} sessions, `}${number(signatures)} signatures, ${number(failures)} failed`)),
    ...rows('store', [`${store.failure ?? 'can be relied on'}${store.bytes === undefined ? '' : `, ${bytes(store.bytes)}`}`]),
    ...rows('disks', disks.map(({ directory, freeBytes }) => `${directory}: ${bytes(freeBytes)} free`)),
    ...rows('processes', processes?.map(({ index, state, restarts }) => `${index} ${state}${restarts > 0 ? `, started again ${restarts} times` : ''}`)),
    ...(audit === undefined ? [] : rows('audit log', [`record ${number(audit.seq)}${audit.writable ? '' : ', CANNOT BE WRITTEN'}`])),
    ...(archive === undefined ? [] : rows('archive', [`verified ${archive.verifiedAt ?? 'not yet'}, ${archive.problems} problems`])),
  ];
} // prettier-ignore

function otherCrls({ scopes, wrong }: Status['issuers'][number]['crls'], complete: boolean): string {
  const others = scopes - (complete ? 1 : 0);
  const bad = Object.entries(wrong).filter(([, count]) => count > 0);
  return [...(others > 0 ? [String(others)] : []), ...bad.map(([state, count]) => `${count} ${state}`)].join(', ') || '-';
} // prettier-ignore

/** A name, and its lines below each other. None, and nothing said instead: no line. */
function rows(name: string, lines: readonly string[] = [], none?: string): string[] {
  const shown = lines.length > 0 ? lines : none === undefined ? [] : [none];
  return shown.map((line, i) => `${(i === 0 ? name : '').padEnd(INDENT.length)}${line}`);
}

function number(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function seconds(value: number): string {
  return formatDuration(Math.ceil(value) * SECOND);
}

function bytes(value: number): string {
  return value < 1e6 ? `${number(value / 1e3)} kB` : value < 1e9 ? `${number(value / 1e6)} MB` : `${number(value / 1e9)} GB`;
} // prettier-ignore
