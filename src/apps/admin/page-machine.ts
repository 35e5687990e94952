/** The machine behind the answers, on the status page: signer, tokens, stores, monitor, processes, and a mass revocation under way. */
import { SECOND, type EpochMs } from '../../core/time.ts';
import { escape, type Viewer } from './layout.ts';
import { action, idOf, instantLine, list, section, sign, table, type Tone } from './pieces.ts';
import type { MassStatus, ProcessStatus, Status } from './status.ts';
import type { TokenStatus } from './status-parts.ts';
import { bytes, count, counted, fromNow, rate, span } from './words.ts';

const LANE_NAMES: Readonly<Record<string, string>> = {
  revocation: 'revocations',
  issue: 'first answers of new certificates',
  mass: 'mass revocation',
  refresh: 'refresh of answers',
};

export function massSection(mass: MassStatus | undefined, viewer: Viewer, now: EpochMs): string {
  if (mass === undefined) return '';
  const { plan, state, selected, recorded, waiting, failure, leftSeconds } = mass;
  const answered = Math.max(0, recorded - waiting);
  const bar = (id: string, name: string, value: number): string =>
    `<p><label for="${id}">${name}: <strong>${count(value)}</strong> of ${count(selected)} (${Math.floor((100 * value) / Math.max(1, selected))} %)</label><progress id="${id}" max="${selected}" value="${value}">${count(value)}</progress></p>`;
  const left = leftSeconds === undefined ? 'not moving' : `${span(leftSeconds * SECOND)} left`;
  const to = (verb: string): string => `/mass/${encodeURIComponent(plan)}/${verb}`;
  const button =
    state === 'paused'
      ? action(viewer, 'operate', to('resume'), 'Resume the recording')
      : state === 'recording'
        ? action(viewer, 'operate', to('pause'), 'Pause the recording')
        : '';
  const body = `<div class="card"><p><strong>${escape(plan)}</strong> is ${escape(state)}: ${left}. Started ${escape(fromNow(mass.startedAt, now))} by ${escape(mass.startedBy)}.</p>
${failure === undefined ? '' : `<p class="failing">${sign('failing')} It waits: ${escape(failure)}.</p>`}
${bar('mass-recorded', 'Recorded, so on the next CRL', recorded)}
${bar('mass-answered', 'Answered with revoked in OCSP', answered)}
<p class="quiet">${rate(mass.recordedPerSecond)} recorded a second, ${rate(mass.signedPerSecond)} signed a second. Whoever asks for one that is recorded and not answered yet has it signed at once; nobody is told good.</p>${button}</div>`;
  return section('mass', 'Mass revocation', body);
}

export function signerSection({ lanes, slots, tokens, service }: Status, viewer: Viewer, now: EpochMs): string {
  const laneRows = lanes.map(({ lane, waiting, perSecond, etaSeconds }) => [
    escape(LANE_NAMES[lane] ?? lane),
    count(waiting),
    perSecond === undefined ? '–' : rate(perSecond),
    waiting === 0 ? 'empty' : etaSeconds === undefined ? '–' : span(etaSeconds * SECOND),
  ]);
  const up = service === undefined ? 0 : now - Date.parse(service.startedAt);
  const slotRows = slots.map(({ slot, sessions, signatures, failures, busySeconds }) => [
    escape(slot),
    sessions === undefined ? '–' : count(sessions),
    count(signatures),
    failures === 0 ? '0' : `<strong class="warning">${count(failures)}</strong>`,
    busySeconds === undefined || up <= 0 || sessions === undefined || sessions === 0
      ? '–'
      : `${Math.min(100, Math.round((100_000 * busySeconds) / (up * sessions)))} %`,
  ]);
  const body = [
    table(
      'Lanes of the signer',
      [
        { name: 'lane, by priority' },
        { name: 'waiting', number: true },
        { name: 'a second', number: true },
        { name: 'done in', number: true },
      ],
      laneRows,
    ),
    slotRows.length === 0
      ? ''
      : `<h3>Slots, since the start</h3>${table(
          'Slots',
          [{ name: 'slot' }, { name: 'sessions', number: true }, { name: 'signatures', number: true }, { name: 'failures', number: true }, { name: 'busy', number: true }], // prettier-ignore
          slotRows,
        )}`,
    tokens.length === 0
      ? ''
      : `<h3>Tokens</h3><ul class="tokens">${tokens.map((token) => tokenItem(token, viewer, now)).join('')}</ul>`,
  ];
  return section('signer', 'Signer', `<div class="card">${body.join('\n')}</div>`);
}

function tokenItem(token: TokenStatus, viewer: Viewer, now: EpochMs): string {
  const { name, describe, state, activatedAt, activatedBy, sharesOf, deactivationBy, threshold, issuers } = token;
  const tone: Tone = state === 'active' ? 'ok' : 'failing';
  const by = activatedAt === undefined ? '' : `, activated ${instantLine(activatedAt, now)} by ${escape(activatedBy.join(', '))}`; // prettier-ignore
  const waits =
    sharesOf.length === 0 ? '' : `, ${sharesOf.length} of ${threshold ?? 1} shares entered by ${escape(sharesOf.join(', '))}`; // prettier-ignore
  const ending = deactivationBy.length === 0 ? '' : `, its end asked for by ${escape(deactivationBy.join(', '))}`;
  const path = encodeURIComponent(name);
  const enter =
    state === 'inactive' && viewer.may.includes('activate')
      ? `<p><a id="${idOf('activate', name)}" href="/activate/${path}">Enter a share of its PIN</a></p>`
      : '';
  const end = state === 'active' ? action(viewer, 'activate', `/tokens/${path}/deactivate`, `Deactivate ${name}`) : '';
  return `<li><span class="${tone}">${sign(tone)} <strong>${escape(name)} ${escape(state)}</strong></span>${by}${waits}${ending}<small> ${escape(describe)}; keys of ${escape(issuers.join(', ') || 'no issuer')}</small>${enter}${end}</li>`;
}

export function storeSection(status: Status, now: EpochMs): string {
  const { store, audit, archive, disks } = status;
  const entries: [string, string][] = [
    ['Store', store.usable ? `<span class="ok">${sign('ok')} usable</span>${store.bytes === undefined ? '' : `, ${bytes(store.bytes)}`}` : `<span class="failing">${sign('failing')} ${escape(store.failure ?? '')}</span>`], // prettier-ignore
    ['Change feed', feed(status)],
  ];
  if (store.roundTripSeconds !== undefined) entries.push(['Round trip', span(store.roundTripSeconds * SECOND)]);
  if (store.tableEntries !== undefined)
    entries.push(['Answers in memory', `${count(store.tableEntries)}, ${bytes(store.tableBytes ?? 0)}`]);
  if (audit !== undefined) {
    const last = audit.headAgeSeconds === undefined ? '' : `, the last ${span(audit.headAgeSeconds * SECOND)} ago`;
    const size = audit.bytes === undefined ? '' : `, ${bytes(audit.bytes)}`;
    const written = audit.writable ? '' : `, <strong class="failing">${sign('failing')} cannot be written</strong>`;
    entries.push(['Audit log', `${counted(audit.seq, 'record')}${last}${size}${written}`]);
  }
  if (archive !== undefined) entries.push(['CRL archive', archiveText(archive, now)]);
  for (const { directory, freeBytes } of disks) entries.push([`Disk of ${directory}`, `${bytes(freeBytes)} free`]);
  return section('stores', 'Stores and records', `<div class="card">${list(entries)}</div>`);
}

function feed({ store }: Status): string {
  const gaps = store.gaps === undefined ? '' : `, ${counted(store.gaps, 'gap')} since the start`;
  const lag = store.lagSeconds === undefined ? '' : `, ${span(store.lagSeconds * SECOND)} behind`;
  return store.silentSeconds === 0
    ? `of this process itself: nothing can be missed${gaps}`
    : `heard of ${span(store.silentSeconds * SECOND)} ago${lag}${gaps}`;
}

function archiveText({ verifiedAt, problems, copies }: NonNullable<Status['archive']>, now: EpochMs): string {
  const verified =
    verifiedAt === undefined
      ? 'not verified yet'
      : `verified ${instantLine(verifiedAt, now)}, ${problems === 0 ? 'nothing wrong' : `<strong class="failing">${counted(problems, 'problem')}</strong>`}`;
  if (copies === undefined) return `${verified}; kept in one place only`;
  const where = escape(copies.describe);
  return copies.waiting === 0
    ? `${verified}; all copied to ${where}`
    : `${verified}; ${copies.waiting === undefined ? 'some' : count(copies.waiting)} not yet copied to ${where}`;
}

export function monitorSection({ monitor, revocations, service }: Status, now: EpochMs): string {
  const { reconcile, probes, samples, clockOffsetSeconds } = monitor;
  const { oldestNotInOcsp, oldestNotOnCrl, unseen, limits } = revocations;
  const waits = (since: string | undefined): string =>
    since === undefined ? 'none waits' : `the oldest recorded ${instantLine(since, now)}`;
  const entries: [string, string][] = [
    ['Revocations not in OCSP yet', waits(oldestNotInOcsp)],
    ['Revocations on no CRL yet', waits(oldestNotOnCrl)],
  ];
  if (unseen.ocsp !== undefined)
    entries.push(['Not seen from outside yet', `${count(unseen.ocsp)} by OCSP, ${count(unseen.crl ?? 0)} on a CRL`]);
  for (const { limit, leftSeconds } of limits)
    entries.push([`Open revocation, limit ${limit}`, leftSeconds > 0 ? `${span(leftSeconds * SECOND)} left` : `<strong class="failing">missed by ${span(leftSeconds * SECOND)}</strong>`]); // prettier-ignore
  const verdict = (wrong: number, noun: string): string =>
    wrong === 0
      ? `<span class="ok">${sign('ok')} nothing wrong</span>`
      : `<strong class="failing">${sign('failing')} ${counted(wrong, noun)}</strong>`;
  const ago = (seconds: number): string => `, ${span(seconds * SECOND)} ago`;
  entries.push([
    'Ledger, OCSP and CRLs compared',
    reconcile === undefined
      ? service?.roles.includes('monitor') === false
        ? 'not by this process'
        : 'not yet since the start'
      : `${verdict(reconcile.differences, 'difference')}${ago(reconcile.ageSeconds)}`,
  ]);
  for (const { url, findings, ageSeconds } of probes)
    entries.push([`Asked from outside: ${url}`, `${verdict(findings, 'finding')}${ago(ageSeconds)}`]);
  for (const { issuer, wrong, ageSeconds } of samples)
    entries.push([`Random sample of ${issuer}`, `${verdict(wrong, 'wrong answer')}${ago(ageSeconds)}`]);
  for (const { against, seconds } of clockOffsetSeconds)
    entries.push([`Clock against ${against}`, `${span(seconds * SECOND)} ${seconds < 0 ? 'behind' : 'ahead'}`]);
  return section('monitor', 'Revocations and monitor', `<div class="card">${list(entries)}</div>`);
}

export function processSection(processes: readonly ProcessStatus[] | undefined): string {
  if (processes === undefined || processes.length === 0) return '';
  const rows = processes.map(({ index, state, pid, restarts, residentBytes }) => [
    String(index),
    `<span class="${state === 'serving' ? 'ok' : 'warning'}">${sign(state === 'serving' ? 'ok' : 'warning')} ${escape(state)}</span>`,
    pid === undefined ? '–' : String(pid),
    residentBytes === undefined ? '–' : bytes(residentBytes),
    count(restarts),
  ]);
  const columns = [{ name: 'process' }, { name: 'state' }, { name: 'id', number: true }, { name: 'memory', number: true }, { name: 'restarts', number: true }]; // prettier-ignore
  return section('processes', 'Responder processes', `<div class="card">${table('Responder processes', columns, rows)}</div>`); // prettier-ignore
}
