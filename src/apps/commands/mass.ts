/**
 * `revoke-many` makes the plan of a mass revocation; `mass start|status|pause|resume|abort|discard|report|list` do what is planned. Between
 * the two a person looks at what will happen, and a second one can compare the digest.
 */
import type { Command } from 'commander';
import type { MassPlan, Outlook } from '../../core/mass/plan.ts';
import type { MassReport } from '../../core/mass/report.ts';
import type { MassRun } from '../../core/mass/run.ts';
import { criteriaText } from '../../core/mass/order.ts';
import { Problem } from '../../core/problem.ts';
import { formatDuration, rfc3339, SECOND } from '../../core/time.ts';
import type { Api } from '../api.ts';
import { writeFileDurably } from '../durable-files.ts';
import { print, progressOf, table, withApi } from './context.ts';
import { makePlan, selection, type SelectOptions } from './mass-plan.ts';
import { mayWrite, yesOption } from './options.ts';

export interface PlanView {
  readonly plan: MassPlan;
  readonly outlook: Outlook;
  readonly progress?: {
    readonly run: MassRun;
    readonly waiting: number;
    readonly failure?: string;
    readonly recordedPerSecond: number;
    readonly signedPerSecond: number;
    readonly recordingLeftMs?: number;
    readonly signingLeftMs?: number;
  };
}

const PLAN = 'its id, as revoke-many and mass list print it';
const POLL_MS = 200;
export function massCommands(program: Command): void {
  selection(program.command('revoke-many'))
    .description(
      'plans the revocation of many certificates: what, how long, how large; nothing is revoked before it is started',
    )
    .option('--measure <duration>', 'measures the key holder for so long, on answers that are true and not published')
    .option('--start', 'starts it at once, without a second look')
    .action(async (options: SelectOptions & { start?: true }, command: Command) => {
      await withApi(command, async (api) => {
        const id = await makePlan(command, api, options);
        const view = await call(api, 'GET', `${id}`);
        const started = options.start ? await call(api, 'POST', `${id}/start`, { digest: view.plan.digest }) : view;
        print(
          command,
          started,
          () => `${planText(view)}\n${options.start ? runText(started, api) : howToStart(view.plan)}`,
        );
      });
    });

  const mass = program.command('mass').description('mass revocations that are planned (revoke-many)');
  mass
    .command('list')
    .description('plans, newest first')
    .action(async (_: object, command: Command) => {
      await withApi(command, async (api) => {
        const { plans } = (await api.call('GET', '/v1/mass/plans')) as {
          plans: { id: string; createdAt: number; createdBy: string; counts: { selected: number }; state: string }[];
        };
        print(command, plans, () =>
          table([
            ['PLAN', 'MADE', 'BY', 'CERTIFICATES', 'STATE'],
            ...plans.map((plan) => [
              plan.id,
              rfc3339(plan.createdAt),
              plan.createdBy,
              String(plan.counts.selected),
              plan.state,
            ]),
          ]),
        );
      });
    });
  mass
    .command('start')
    .description('does what is planned; again changes nothing')
    .argument('<plan>', PLAN)
    .requiredOption('--digest <hex>', "the plan's digest, or its first 8 digits, as somebody else has read it")
    .option('--wait', 'return when all are in OCSP and on their CRLs')
    .action(async (id: string, options: { digest: string; wait?: true }, command: Command) => {
      await withApi(command, async (api) => {
        let view = await call(api, 'POST', `${encodeURIComponent(id)}/start`, { digest: options.digest });
        if (options.wait) view = await finished(command, api, id);
        print(command, view, () => runText(view, api));
      });
    });
  mass
    .command('status')
    .description('how far it is, how fast, when it will be done')
    .argument('<plan>', PLAN)
    .option('--wait', 'return when all are in OCSP and on their CRLs')
    .action(async (id: string, options: { wait?: true }, command: Command) => {
      await withApi(command, async (api) => {
        const view = options.wait ? await finished(command, api, id) : await call(api, 'GET', encodeURIComponent(id));
        print(command, view, () => `${planText(view)}\n${runText(view, api)}`);
      });
    });
  for (const [name, description] of [
    ['pause', 'records nothing more until it is resumed'],
    ['resume', 'goes on'],
    ['abort', 'ends it; what was revoked stays revoked'],
  ] as const) {
    mass
      .command(name)
      .description(description)
      .argument('<plan>', PLAN)
      .action(async (id: string, _: object, command: Command) => {
        await withApi(command, async (api) => {
          const view = await call(api, 'POST', `${encodeURIComponent(id)}/${name}`);
          print(command, view, () => runText(view, api));
        });
      });
  }
  mass
    .command('discard')
    .description('removes a plan that was never started')
    .argument('<plan>', PLAN)
    .action(async (id: string, _: object, command: Command) => {
      await withApi(command, async (api) => {
        const done = await api.call('POST', `/v1/mass/plans/${encodeURIComponent(id)}/discard`, {});
        print(command, done, () => `discarded: plan ${id}`);
      });
    });
  mass
    .command('report')
    .description(
      'the nine elements of the mass revocation plan (CT-5.7.1.2-b), with the figures of plan, drill and run',
    )
    .argument('<plan>', PLAN)
    .option('--out <file>', 'writes the Markdown there')
    .addOption(yesOption())
    .action(async (id: string, options: { out?: string; yes?: boolean }, command: Command) => {
      if (options.out !== undefined) await mayWrite(options.out, options.yes);
      await withApi(command, async (api) => {
        const answer = await api.call('GET', `/v1/mass/plans/${encodeURIComponent(id)}/report`);
        const { report, markdown } = answer as { report: MassReport; markdown: string };
        if (options.out !== undefined) writeFileDurably(options.out, markdown);
        print(command, report, () => (options.out === undefined ? markdown : `written: ${options.out}`)); // prettier-ignore
      });
    });
}

function call(api: Api, method: 'GET' | 'POST', path: string, body?: object): Promise<PlanView> {
  const sent = method === 'POST' ? (body ?? {}) : undefined;
  return api.call(method, `/v1/mass/plans/${path}`, sent) as Promise<PlanView>;
}

async function finished(command: Command, api: Api, id: string): Promise<PlanView> {
  const progress = progressOf(command, 'mass revocation', 'certificates');
  try {
    for (;;) {
      const view = await call(api, 'GET', encodeURIComponent(id));
      const { run, waiting } = view.progress ?? {};
      if (run === undefined || run.state === 'done' || run.state === 'aborted') return view;
      if (!api.where.startsWith('https'))
        throw new Problem('unavailable', 'the service is not running: it goes on when it is started');
      // After a crash what waits is known, and what was recorded just before it is counted as revoked already.
      const signed = Math.max(0, run.counts.revoked - (waiting ?? 0));
      progress.update({ items: signed, done: signed, total: view.plan.counts.selected });
      await sleep(POLL_MS);
    }
  } finally {
    progress.end();
  }
}

function planText({ plan, outlook }: PlanView): string {
  const { counts, order, rate } = plan;
  const left = [
    ['revoked already', counts.already],
    ['expired', counts.expired],
    ['not issued here', counts.unknown],
    ['key or date not recorded', counts.undecided],
    ['refused', counts.refused],
  ] as const;
  const rest = left.filter(([, count]) => count > 0).map(([what, count]) => `${count} ${what}`);
  const time =
    rate === undefined
      ? 'unknown: measure with --measure 5s, or by a drill'
      : outlook.signingSeconds === undefined
        ? 'not to be reached: refreshes alone take all of the key'
        : `${formatDuration(Math.ceil(outlook.signingSeconds) * SECOND)} at ${Math.round(rate.certificatesPerSecond)} certificates/s (${rate.source}, ${rfc3339(rate.at)})`;
  return [
    `plan        ${plan.id}, digest ${plan.digest}`,
    `selected    ${counts.selected} certificates of ${plan.issuers.map(({ id }) => id).join(', ')}: ${criteriaText(plan.criteria, plan.listed)}`,
    `left out    ${rest.join(', ') || 'none'}`,
    `reason      ${order.reason ?? 'none'}${order.clause === undefined ? '' : `, clause ${order.clause}`}${order.suspected ? ', suspected' : ''}`,
    ...(order.deadline === undefined ? [] : [`deadline    ${rfc3339(order.deadline)}${outlook.withinDeadline === false ? ': NOT TO BE KEPT at this rate' : ''}`]), // prettier-ignore
    `signatures  ${outlook.signatures}`,
    `time        ${time}`,
    `refreshes   ${outlook.refreshes === 'none' ? 'in no danger: those that come near their deadline go first' : outlook.refreshes === 'mass-waits' ? 'go first and leave nothing of the key: it will take until they are fewer' : 'not known without a rate'}`,
    ...plan.crls.map((crl) => `CRL         ${crl.issuer}${crl.shard === '' ? '' : `/${crl.shard}`}: ${crl.entriesBefore} to ${crl.entriesAfter} entries, ${crl.bytesBefore} to ${crl.bytesAfter} octets`), // prettier-ignore
    `disk        ${Math.ceil(plan.journalOctets / 1e6)} MB of audit log, about ${Math.ceil(plan.storeOctets / 1e6)} MB of store`,
  ].join('\n');
}

function howToStart({ id, digest }: MassPlan): string {
  return `\nNothing is revoked yet. To do it: certstatus mass start ${id} --digest ${digest.slice(0, 8)}`;
}

function runText({ plan, progress }: PlanView, api: Api): string {
  if (progress === undefined) return `state       not started\n${howToStart(plan)}`;
  const { run, waiting, failure, recordedPerSecond, signedPerSecond, recordingLeftMs, signingLeftMs } = progress;
  const left = (ms: number | undefined): string =>
    ms === undefined ? '' : `, ${formatDuration(Math.ceil(ms / SECOND) * SECOND)} left`;
  const step = (at: number | undefined, count: number, perSecond: number, ms: number | undefined): string =>
    at === undefined
      ? `${count} of ${plan.counts.selected}, ${Math.round(perSecond)}/s${left(ms)}`
      : `${count}, since ${rfc3339(at)}`;
  const { counts, recordedAt, ocspAt, crlAt, singles } = run;
  const ended = run.state === 'done' || run.state === 'aborted';
  return [
    `state       ${run.state}, started ${rfc3339(run.startedAt)} by ${run.startedBy}${ended || api.where.startsWith('https') ? '' : '; the service is not running: it goes on when it is started'}`,
    ...(failure === undefined ? [] : [`waits       ${failure}`]),
    `recorded    ${step(recordedAt, counts.lines, recordedPerSecond, recordingLeftMs)} (${counts.revoked} revoked, ${counts.already} already, ${counts.expired} expired, ${counts.unknown} unknown, ${counts.refused} refused)`,
    `in OCSP     ${step(ocspAt, counts.revoked - waiting, signedPerSecond, signingLeftMs)}`,
    `on CRLs     ${crlAt === undefined ? 'not all' : `all since ${rfc3339(crlAt)}`}`,
    ...(run.firstRefused === undefined ? [] : [`refused     ${run.firstRefused}`]),
    ...(singles.count === 0 ? [] : [`meanwhile   ${singles.count} single revocations, in OCSP after ${formatDuration(singles.worstMs)} at the latest`]), // prettier-ignore
  ].join('\n');
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
