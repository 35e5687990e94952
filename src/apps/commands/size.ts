/** `size`: what a CA of a given size needs; also the tables of deploy/guide/sizing.md. Opens nothing and asks nobody. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { LOG_YEARS, MEASURED, servingSize, sizing, type Population, type SizingKey } from '../../core/sizing.ts';
import { DAY, MINUTE, parseDuration, SECOND } from '../../core/time.ts';
import { print, table } from './context.ts';

interface Asked {
  readonly certificates: number;
  readonly hashes: '1' | '2';
  readonly key: SizingKey;
  readonly refresh: number;
  readonly lifetime: number;
  readonly revoked: number;
  readonly answers: number;
  readonly tables?: boolean;
}

export function sizeCommand(program: Command): void {
  program
    .command('size')
    .description('what a CA of a given size needs: signatures, HSM, Redis, disks, responders (deploy/guide/sizing.md)')
    .option('--certificates <n>', 'unexpired certificates, e.g. 5e7', count, 1_000_000)
    .option('--refresh <duration>', 'ocsp.refreshAfter of the profile', duration, DAY)
    .option('--lifetime <duration>', 'of a certificate', duration, 47 * DAY)
    .option('--revoked <share>', 'of the certificates, in ordinary times', share, 0.01)
    .option('--answers <n>', 'a second at the peak, each on a connection of its own', count, 10_000)
    .addOption(new Option('--hashes <n>', 'CertID hashes answered for').choices(['1', '2']).default('2'))
    .addOption(new Option('--key <type>', 'of the responder').choices(['P-256', 'RSA-2048']).default('P-256'))
    .option('--tables', 'the tables of the guide instead')
    .action((asked: Asked, command: Command) => {
      if (asked.tables === true) return void process.stdout.write(guideTables());
      const population = populationOf(asked);
      const needs = { ...sizing(population), serving: servingSize(asked.answers, CPUS_EACH) };
      print(command, { population, ...needs }, () => sizeText(population, asked.answers));
    });
}

const CPUS_EACH = 4;

function populationOf({ certificates, hashes, key, refresh, lifetime, revoked }: Asked): Population {
  return { certificates, hashes: Number(hashes), key, refreshMs: refresh, lifetimeMs: lifetime, revokedShare: revoked };
}

function sizeText(of: Population, answers: number): string {
  const size = sizing(of);
  const serving = servingSize(answers, CPUS_EACH);
  const beyond = of.certificates > MEASURED.certificates.redis;
  return [
    table([
      ['signatures, on average', `${number(size.signaturesPerSecond)}/s`],
      ['signatures that the HSMs must do', `${number(size.signaturesToHave)}/s`],
      ['for a mass revocation of all within 24 h', `${number(size.signaturesForMass)}/s`],
      ['CPUs of signers', cpus(size.signerCpus)],
      ['memory that the Redis uses', octets(size.redisOctets)],
      ['memory of its machine', octets(size.redisMachineOctets)],
      ['or disk of one machine with its own store', octets(size.embeddedOctets)],
      ['journals', `${octets(size.journalOctetsPerDay)} a day, ${octets(size.journalOctets)} in ${LOG_YEARS} years`],
      ['events of the CA', `${number(size.eventsPerSecond)}/s`],
      ['complete CRL now / if all were revoked', `${octets(size.crlOctets)} / ${octets(size.crlOctetsIfAllRevoked)}`],
      ['CRL shards below 10 MB', String(size.shards)],
      ['an empty Redis is filled again within', time(size.replayMs)],
      ['memory of each process that answers', octets(size.processOctets)],
      [`${number(answers)} answers/s`, `${cpus(serving.cpus)} CPUs, ${serving.machines} machines of ${CPUS_EACH}, ${bits(serving.bitsPerSecond)}`], // prettier-ignore
    ]),
    ...(beyond
      ? ['', `Not measured: the largest that was run had ${number(MEASURED.certificates.redis)} in a Redis.`]
      : []),
  ].join('\n');
}

/** Between the markers of deploy/guide/sizing.md: a test holds the guide against this. */
function guideTables(): string {
  const sizes = [1e5, 1e6, 1e7, 5e7, 1e8, 5e8].map((certificates) => ({
    certificates,
    hashes: 2,
    key: 'P-256' as const,
    refreshMs: DAY,
    lifetimeMs: 47 * DAY,
    revokedShare: 0.01,
  }));
  const column = (title: string, cell: (size: ReturnType<typeof sizing>) => string): readonly string[] => [
    title,
    ...sizes.map((of) => cell(sizing(of))),
  ];
  const bySize = [
    ['certificates', ...sizes.map(({ certificates }) => number(certificates))],
    column('signatures/s, average', (size) => number(size.signaturesPerSecond)),
    column('signatures/s to have', (size) => number(size.signaturesToHave)),
    column('of it for revoking all in 24 h', (size) => number(size.signaturesForMass)),
    column('signer CPUs', (size) => cpus(size.signerCpus)),
    column('Redis, used memory', (size) => octets(size.redisOctets)),
    column('Redis, machine', (size) => octets(size.redisMachineOctets)),
    column('or own store, disk', (size) => octets(size.embeddedOctets)),
    column('journals a day', (size) => octets(size.journalOctetsPerDay)),
    column(`journals, ${LOG_YEARS} years`, (size) => octets(size.journalOctets)),
    column('events/s', (size) => number(size.eventsPerSecond)),
    column('complete CRL, 1 % revoked', (size) => octets(size.crlOctets)),
    column('shards below 10 MB, all revoked', (size) => number(size.shards)),
    column('empty Redis filled again', (size) => time(size.replayMs)),
    column('memory of a process that answers', (size) => octets(size.processOctets)),
  ];
  const answers = [1_000, 10_000, 100_000, 1_000_000].map((rate) => {
    const { cpus: needed, machines, bitsPerSecond } = servingSize(rate, CPUS_EACH);
    return [number(rate), cpus(needed), String(machines), bits(bitsPerSecond)];
  });
  return `${markdown(bySize)}\n${markdown([['answers/s at the peak', 'CPUs', `machines of ${CPUS_EACH} CPUs`, 'to the clients'], ...answers])}`;
}

function markdown(rows: readonly (readonly string[])[]): string {
  const lines = rows.map((row) => `| ${row.join(' | ')} |`);
  const [first = '', ...rest] = lines;
  return [first, `|${'---|'.repeat(rows[0]?.length ?? 0)}`, ...rest, ''].join('\n');
}

/** Two digits that count: none of this is known better. */
function rounded(value: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, value))) - 1);
  return Math.round(value / unit) * unit;
}

function number(value: number): string {
  return value < 10 ? String(Math.ceil(value * 10) / 10) : rounded(value).toLocaleString('en');
}

function cpus(value: number): string {
  return value < 1 ? 'less than 1' : number(Math.ceil(value));
}

function octets(value: number): string {
  return scaled(value, ['B', 'kB', 'MB', 'GB', 'TB']);
}

function bits(value: number): string {
  return scaled(value, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s']);
}

function scaled(value: number, units: readonly string[]): string {
  let [rest, unit] = [rounded(value), 0];
  while (rest >= 1000 && unit < units.length - 1) [rest, unit] = [rest / 1000, unit + 1];
  return `${rest < 10 ? Math.round(rest * 10) / 10 : rounded(rest)} ${units[unit]}`;
}

function time(ms: number): string {
  if (ms < 2 * MINUTE) return `${number(ms / SECOND)} s`;
  return ms < 120 * MINUTE ? `${number(ms / MINUTE)} min` : `${number(ms / (60 * MINUTE))} h`;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('Not a whole number above 0, e.g. 5e7.');
  return value;
}

function share(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError('Not a share between 0 and 1.');
  return value;
}

function duration(text: string): number {
  try {
    const value = parseDuration(text, '--refresh');
    if (value > 0) return value;
  } catch {
    // The same as none.
  }
  throw new InvalidArgumentError('Not a duration like 12h or 4d.');
}
