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
import { startProgress } from '../progress.ts';
import { withApi } from './context.ts';

interface Options {
  readonly issuer: string;
  readonly quarter: string;
  readonly percent: number;
  readonly minimum: number;
  readonly seed?: string;
  readonly through?: string;
}

interface Drawn {
  readonly seed: string;
  readonly population: number;
  readonly sampled: number;
  readonly certificates: readonly {
    readonly serial: string;
    readonly crlShard?: string;
    readonly revokedAt?: string;
    readonly reason?: string;
  }[];
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
    .option('--minimum <count>', 'at least so many, where there are so many', count, 1)
    .option('--seed <hex>', 'of a sample that is to be drawn again')
    .option('--through <url>', 'where to ask, e.g. http://edge:80; default: monitor.through, or the public listener')
    .action(async ({ issuer: id, through, ...terms }: Options, command: Command) => {
      await withApi(command, async (api, { config, issuers: setups }) => {
        const base = through ?? config.monitor.through;
        const setup = setups.find((one) => one.id === id);
        if (setup === undefined) throw new Problem('not-found', 'no such issuer', { field: '--issuer', value: id });
        const [watched] = watchedIssuers(
          { setups: [setup], issuers: new Map([[id, servedIssuer(setup)]]) },
          base === undefined ? ownAddress(config.listen.public) : probeUrl(base),
        );
        if (watched === undefined) return;
        const path = `/v1/issuers/${encodeURIComponent(id)}/samples`;
        const drawn = (await api.call('POST', path, { ...terms })) as Drawn;
        const { certificates, ...header } = drawn;
        const fingerprints = setup.issuer.certificates.map(({ fingerprint }) => fingerprint);
        await line({ issuer: id, fingerprints, ...header });
        const sample = new ServedSample(watched, certificates.map(({ serial }) => serial), tcpWire, systemClock); // prettier-ignore
        const progress = startProgress('sample', 'certificates');
        let wrong = 0;
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
        progress.end();
        await line({ checked: certificates.length, wrong });
        if (wrong > 0) process.exitCode = 1;
      });
    });
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

function count(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('Not a number from 1.');
  return Number(text);
}
