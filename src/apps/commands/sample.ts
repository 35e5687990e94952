/** `sample`: a random sample of a quarter's certificates, and what is really served about each of them (CT-8.7). */
import { type Command, InvalidArgumentError } from 'commander';
import { tcpWire } from '../../adapters/probe-client/wire.ts';
import { systemClock } from '../../adapters/system/clock.ts';
import { Problem } from '../../core/problem.ts';
import { serialFromHex } from '../../core/serial.ts';
import { parseRfc3339 } from '../../core/time.ts';
import { probeUrl } from '../../flows/monitor/probe.ts';
import { ServedSample, type SampleVerdict } from '../../flows/monitor/served-sample.ts';
import { ownAddress, watchedIssuers } from '../roles/monitor.ts';
import { servedIssuer } from '../served-issuer.ts';
import type { Api } from '../api.ts';
import type { SampleLine } from '../intake/sample-routes.ts';
import { progressOf, setupOf, withApi } from './context.ts';
import { countTo } from './options.ts';

interface Options {
  readonly issuer: string;
  readonly quarter: string;
  readonly percent: number;
  readonly minimum: number;
  readonly seed?: string;
  readonly through?: string;
}

interface Drawn {
  readonly serial: string;
  readonly crlShard?: string;
  readonly revokedAt?: string;
  readonly reason?: string;
}

export function sampleCommand(program: Command): void {
  program
    .command('sample')
    .description(
      "a random sample of a quarter's certificates, each linted anew as it is served; one JSON line each, exit 1 when one is not right",
    ) // prettier-ignore
    .requiredOption('--issuer <id>', 'issuer')
    .requiredOption('--quarter <quarter>', 'of issue, e.g. 2026Q4')
    .option('--percent <number>', 'of the certificates of the quarter', share, 3)
    .option('--minimum <count>', 'at least so many, where there are so many', countTo(100_000), 1)
    .option('--seed <hex>', 'of a sample that is to be drawn again')
    .option('--through <url>', 'where to ask, e.g. http://edge:80; default: monitor.through, or the public listener')
    .action(async ({ issuer: id, through, ...terms }: Options, command: Command) => {
      await withApi(command, async (api, loaded) => {
        const { config } = loaded;
        const base = through ?? config.monitor.through;
        const setup = setupOf(loaded, id);
        const [watched] = watchedIssuers(
          { setups: [setup], issuers: new Map([[id, servedIssuer(setup)]]) },
          base === undefined ? ownAddress(config.listen.public) : probeUrl(base),
        );
        if (watched === undefined) return;
        const { header, certificates } = await draw(command, api, id, terms);
        const fingerprints = setup.issuer.certificates.map(({ fingerprint }) => fingerprint);
        await line({ issuer: id, fingerprints, ...header });
        const sample = new ServedSample(watched, certificates.map(({ serial }) => serial), tcpWire, systemClock); // prettier-ignore
        const progress = progressOf(command, 'sample', 'certificates');
        let wrong = 0;
        try {
          for (const [i, { serial, crlShard, revokedAt, reason }] of certificates.entries()) {
            const verdict: SampleVerdict = await sample.check({
              serial: serialFromHex(serial),
              crlShard,
              revokedAt: revokedAt === undefined ? undefined : parseRfc3339(revokedAt, 'revokedAt'),
              reason,
            });
            if (verdict.findings.length > 0) wrong += 1;
            await line(verdict);
            progress.update({ items: i + 1, done: i + 1, total: certificates.length });
          }
        } finally {
          progress.end();
        }
        await line({ checked: certificates.length, wrong });
        if (wrong > 0) process.exitCode = 1;
      });
    });
}

/** Goes twice through a ledger of any size; a line a second says how far it is. */
async function draw(
  command: Command,
  api: Api,
  issuer: string,
  terms: object,
): Promise<{ readonly header: object; readonly certificates: readonly Drawn[] }> {
  const progress = progressOf(command, 'sample: drawing', 'certificates');
  const certificates: Drawn[] = [];
  let header: object | undefined;
  try {
    for await (const text of api.lines(`/v1/issuers/${encodeURIComponent(issuer)}/samples`, terms)) {
      const { looked, drawn, certificate, problem } = JSON.parse(text) as SampleLine;
      if (problem !== undefined) throw new Problem(problem.code, problem.message, problem);
      if (looked !== undefined) progress.update({ items: looked, done: looked, total: undefined });
      if (certificate !== undefined) certificates.push(certificate);
      header ??= drawn;
    }
  } finally {
    progress.end();
  }
  if (header === undefined) throw new Problem('unavailable', 'the service stopped while it drew the sample: run it again'); // prettier-ignore
  return { header, certificates };
}

async function line(data: object): Promise<void> {
  if (!process.stdout.write(`${JSON.stringify(data)}\n`))
    await new Promise((resolve) => process.stdout.once('drain', resolve));
}

function share(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 100)) throw new InvalidArgumentError('Not a number above 0, up to 100.');
  return value;
}
