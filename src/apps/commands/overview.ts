/** `overview`: what the status page says, for a terminal, and as a check for scripts. */
import { get, type IncomingMessage } from 'node:http';
import type { Command } from 'commander';
import { Problem } from '../../core/problem.ts';
import { formatDuration, SECOND } from '../../core/time.ts';
import type { Status } from '../admin/status.ts';
import { loadConfig } from '../config.ts';
import { errorJson, errorText } from '../errors.ts';
import type { Listen } from '../listen-config.ts';
import { loadOptions, print, table } from './context.ts';

const TIMEOUT_MS = 5000;
const EVERY_MS = 2000;

export function overviewCommand(program: Command): void {
  program
    .command('overview')
    .description('is everything all right, what is wrong and what to do; exit 1 when something fails')
    .option('--watch', 'looks again every 2 s, until Ctrl-C')
    .action(async (options: { watch?: boolean }, command: Command) => {
      const { admin } = loadConfig(loadOptions(command)).config.listen;
      if (options.watch === true) return watch(admin, command);
      const status = await statusOf(admin);
      print(command, status, () => overviewText(status, paintFor(process.stdout)));
      if (status.verdict === 'failing') process.exitCode = 1;
    });
}

/** A service that is gone is looked for again: its operator may just be starting it anew. */
async function watch(admin: Listen, command: Command): Promise<never> {
  const { json } = command.optsWithGlobals<{ json?: boolean }>();
  const clear = process.stdout.isTTY && json !== true ? '\u001b[H\u001b[2J' : '';
  for (;;) {
    let shown: string;
    try {
      const status = await statusOf(admin);
      shown = json === true ? `${JSON.stringify(status)}\n` : `${overviewText(status, paintFor(process.stdout))}\n`;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      shown = json === true ? errorJson(error) : errorText(error);
    }
    process.stdout.write(`${clear}${shown}${clear === '' && json !== true ? '\n' : ''}`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

/** @throws Problem `unavailable` when nobody answers there. */
async function statusOf({ host, port }: Listen): Promise<Status> {
  // A service that listens on every address is asked on this machine.
  const at = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const where = { field: 'listen.admin', value: `${host}:${port}` };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = get({ host: at, port, path: '/status.json', timeout: TIMEOUT_MS }, resolve);
    asked.on('timeout', () =>
      asked.destroy(new Problem('unavailable', `no answer within ${TIMEOUT_MS / SECOND} s: the service hangs`, where)),
    );
    asked.on('error', (error) =>
      reject(
        error instanceof Problem
          ? error
          : new Problem('unavailable', 'no service answers there: start it (certstatus serve), or give its --admin-port', where), // prettier-ignore
      ),
    );
  });
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  if (response.statusCode !== 200)
    throw new Problem('forbidden', `the service answers ${response.statusCode} for its status`, where);
  return JSON.parse(Buffer.concat(chunks).toString()) as Status;
}

type Paint = (text: string, colour: 'red' | 'yellow' | 'green') => string;

/** Colours are for a terminal, and for whoever wants them (no-color.org). */
function paintFor(output: { readonly isTTY?: boolean }): Paint {
  const codes = { red: 31, yellow: 33, green: 32 };
  const plain = output.isTTY !== true || (process.env['NO_COLOR'] ?? '') !== '';
  return plain ? (text) => text : (text, colour) => `\u001b[${codes[colour]}m${text}\u001b[0m`;
}

const COLOURS = { ok: 'green', warning: 'yellow', failing: 'red' } as const;

export function overviewText(status: Status, paint: Paint): string {
  const { at, verdict, problems, issuers, tokens, lanes, audit, archive, mass, processes, storeFailure } = status;
  const now = Date.parse(at);
  const line = (name: string, value: string): string => `${name.padEnd(10)}${value}`;
  const left = (instant: string): string => {
    const ms = Date.parse(instant) - now;
    return ms < 0 ? `${formatDuration(-ms)} ago` : `in ${formatDuration(ms)}`;
  };
  const due = issuers
    .flatMap(({ id, nextScheduledCrl, leastNextUpdate, responders }) => [
      ...(nextScheduledCrl === undefined ? [] : [{ at: nextScheduledCrl, what: `${id}: the next CRL` }]),
      ...(leastNextUpdate === undefined ? [] : [{ at: leastNextUpdate, what: `${id}: the first OCSP answer runs out` }]), // prettier-ignore
      ...responders.map((one) => ({ at: one.notAfter, what: `${id}: responder certificate ${one.id} ends` })),
    ])
    .sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  return [
    `${paint(verdict.toUpperCase(), COLOURS[verdict])}  ${at}`,
    ...problems.flatMap(({ severity, what, todo }) => [
      `${paint(severity.padEnd(9), COLOURS[severity])} ${what}`,
      `          To do: ${todo}`,
    ]),
    '',
    ...due.slice(0, SHOWN_DUE).map((one, i) => line(i === 0 ? 'next due' : '', `${one.at}, ${left(one.at)}: ${one.what}`)), // prettier-ignore
    line('waiting', lanes.map(({ lane, waiting }) => `${lane} ${waiting}`).join(', ')),
    ...(mass === undefined ? [] : [line('mass', mass)]),
    ...(tokens.length === 0
      ? []
      : tokens.map(({ name, state, activatedBy }, i) =>
          line(i === 0 ? 'tokens' : '', `${name} ${state}${activatedBy.length > 0 ? ` by ${activatedBy.join(', ')}` : ''}`),
        )), // prettier-ignore
    line('store', storeFailure ?? 'can be relied on'),
    ...(processes === undefined
      ? []
      : [line('processes', processes.map(({ index, state }) => `${index} ${state}`).join(', '))]),
    ...(audit === undefined ? [] : [line('audit log', `record ${audit.seq}${audit.writable ? '' : ', CANNOT BE WRITTEN'}`)]), // prettier-ignore
    ...(archive === undefined
      ? []
      : [line('archive', `verified ${archive.verifiedAt ?? 'not yet'}, ${archive.problems} problems`)]),
    '',
    table([
      ['ISSUER', 'ANSWERS', 'OLDEST', 'RUNS OUT', 'CRL', 'ENTRIES', 'BYTES', 'CRL RUNS OUT'],
      ...issuers.map(({ id, certificates, oldestThisUpdate, leastNextUpdate, crl }) => [
        id,
        String(certificates),
        oldestThisUpdate === undefined ? '-' : left(oldestThisUpdate),
        leastNextUpdate === undefined ? '-' : left(leastNextUpdate),
        crl?.number ?? '-',
        crl === undefined ? '-' : String(crl.entries),
        crl === undefined ? '-' : String(crl.bytes),
        crl === undefined ? '-' : left(crl.nextUpdate),
      ]),
    ]),
  ].join('\n');
}

const SHOWN_DUE = 4;
