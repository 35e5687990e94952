/**
 * The configuration: one file, `certstatus.yaml`, and one directory per issuer (issuer-files.ts). The schema below is the manual; unknown keys
 * are refused. Environment variables and flags override the few values that differ between machines. Loaded once, before anything starts.
 */
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { Finding } from '../core/lint/finding.ts';
import { Problem } from '../core/problem.ts';
import type { EpochMs } from '../core/time.ts';
import { adminOf, type AdminConfig } from './admin-config.ts';
import { archiveOfSection, archiveSchema, type ArchiveConfig } from './archive-config.ts';
import { clockOf, clockSchema, type ClockConfig } from './clock-config.ts';
import { fileProblem } from './errors.ts';
import { type IssuerSetup, readIssuers } from './issuer-files.ts';
import { listenOf, listenSchema, type ListenConfig } from './listen-config.ts';
import { monitorOf, monitorSchema, type MonitorConfig } from './monitor-config.ts';
import { openFilesFinding, openFilesLimit } from './open-files.ts';
import { probeSchema, type ProbeConfig } from './probe-config.ts';
import { responderOf, responderSchema, type ResponderConfig } from './responder-config.ts';
import { intakeOf, intakeSchema, type IntakeConfig } from './intake-config.ts';
import { separationFindings } from './separation.ts';
import { adminSchema, runbookOf } from './runbook-config.ts';
import { storeOf, storeSchema, type StoreConfig } from './store-config.ts';
import { tokensOf, tokensSchema, type TokenConfig } from './token-config.ts';
import { checkTokens } from './token-rules.ts';
import { duration, readYamlFile } from './yaml-file.ts';

export interface Config {
  /** The file it came from. */
  readonly file: string;
  /** Of this process: in audit records, and to the other processes of a shared store. */
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  /** Absolute. Ledger, journal, CRL archive and issuers lie below it. */
  readonly dataDir: string;
  readonly store: StoreConfig;
  readonly tokens: readonly TokenConfig[];
  readonly listen: ListenConfig;
  readonly admin: AdminConfig;
  /** Undefined: no events are taken over the network; the intake role does not start. Files are absolute. */
  readonly intake: IntakeConfig | undefined;
  /** What the commands present to the intake. Files are absolute. */
  readonly cli: { readonly certificate: string; readonly key: string; readonly ca: string } | undefined;
  readonly logLevel: LogLevel;
  readonly responder: ResponderConfig;
  readonly limits: { readonly responseTableBytes: number; readonly lookupsPerSecond: number };
  readonly probe: ProbeConfig;
  readonly monitor: MonitorConfig;
  readonly archive: ArchiveConfig;
  /** Where problems on the status page link to; undefined: nowhere. */
  readonly runbook: string | undefined;
  readonly clock: ClockConfig;
}

/** What a process does; together on one machine, or apart over a shared store. */
export type Role = (typeof ROLES)[number];
export const ROLES = ['intake', 'signer', 'responder', 'monitor'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

/** certstatus.yaml. Files are relative to it. */
export const configSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, 'letters, digits, . _ and -')
    .default('certstatus')
    .describe('of this process, in audit records and to the others; $CERTSTATUS_NAME'),
  roles: z
    .array(z.enum(ROLES))
    .min(1)
    .default([...ROLES])
    .describe('what this process does; --roles. Apart only over a shared store'),
  dataDir: z
    .string()
    .min(1)
    .optional()
    .describe('ledger, journal, CRLs and issuers; default: the directory of this file'),
  listen: listenSchema,
  intake: intakeSchema,
  cli: z
    .strictObject({ certificate: z.string(), key: z.string(), ca: z.string() })
    .optional()
    .describe('client certificate, key and server CA of issue, revoke, status and wait, PEM'),
  store: storeSchema(duration),
  tokens: tokensSchema,
  logLevel: z.enum(LOG_LEVELS).default('info').describe('least severe level that is logged'),
  responder: responderSchema(duration),
  limits: z
    .strictObject({
      responseTableBytes: z
        .int()
        .min(1 << 20)
        .default(256 << 20)
        .describe(
          'memory for OCSP answers that are ready to send, in bytes; the rest is read from the store when asked for',
        ),
      lookupsPerSecond: z
        .int()
        .min(1)
        .max(1_000_000)
        .default(2000)
        .describe(
          'reads of the store a second that may find nothing, because nobody issued what was asked for; beyond it tryLater',
        ),
    })
    .prefault({}),
  probe: probeSchema(duration),
  monitor: monitorSchema(duration),
  archive: archiveSchema(duration),
  admin: adminSchema,
  clock: clockSchema(duration),
});

export type ConfigFile = z.output<typeof configSchema>;

export interface LoadOptions {
  /** `--config`. */
  readonly configFile?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where relative paths of flags and environment start. */
  readonly cwd?: string;
  /** Flags: they win over the environment, which wins over the file. */
  readonly overrides?: Overrides;
  /** Certificates are judged at this instant. */
  readonly nowMs: EpochMs;
}

export interface Overrides {
  readonly dataDir?: string | undefined;
  readonly publicPort?: number | undefined;
  readonly originPort?: number | 'off' | undefined;
  readonly intakePort?: number | undefined;
  readonly adminPort?: number | undefined;
  readonly logLevel?: LogLevel | undefined;
  readonly roles?: readonly Role[] | undefined;
}

export interface Loaded {
  readonly config: Config;
  readonly issuers: readonly IssuerSetup[];
  /** certstatus.yaml as it stands, with the defaults: what a reload holds it against. */
  readonly written: ConfigFile;
  /** For the log: what is permitted but unwise, and what was left out. */
  readonly warnings: readonly Finding[];
}

/** @throws Problem `config` for the first thing that is wrong. */
export function loadConfig(options: LoadOptions): Loaded {
  const { loaded, problems } = review(options);
  if (problems[0] !== undefined) throw problems[0];
  return loaded as Loaded;
}

/** Everything that is wrong or unwise, for `check-config`. What else is to be asked of each issuer, and of the files of the process. */
export function checkConfig(
  options: LoadOptions,
  checkIssuer: (setup: IssuerSetup, config: Config) => readonly Problem[] = () => [],
  checkFiles: (config: Config) => readonly Problem[] = () => [],
): readonly Finding[] {
  const { loaded, problems, warnings } = review(options);
  const further =
    loaded === undefined
      ? []
      : [...loaded.issuers.flatMap((setup) => checkIssuer(setup, loaded.config)), ...checkFiles(loaded.config)];
  return [...[...problems, ...further].map(findingOf), ...warnings];
}

/** A problem as check-config lists it. */
export function findingOf(problem: Problem): Finding {
  const { message, field, value } = problem;
  const [rule = 'config', citation = 'certstatus.yaml'] = problem.rule?.split(', ') ?? [];
  return { severity: 'error', rule, citation, message: new Problem('config', message, { field, value }).line };
}

/** The data directory of a configuration that is yet to be written: flag, then environment, then `./data`. */
export function chosenDataDir({ env = {}, cwd = process.cwd(), overrides = {} }: Omit<LoadOptions, 'nowMs'>): string {
  return resolve(cwd, overrides.dataDir ?? env['CERTSTATUS_DATA'] ?? DEFAULT_DATA);
}

/** The file that loadConfig would read. @throws Problem `config` naming every place that was looked at. */
export function findConfigFile(options: Omit<LoadOptions, 'nowMs'>): string {
  const { env = {}, cwd = process.cwd(), overrides = {} } = options;
  const named = options.configFile ?? env['CERTSTATUS_CONFIG'];
  if (named !== undefined) return resolve(cwd, named);
  const data = overrides.dataDir ?? env['CERTSTATUS_DATA'] ?? DEFAULT_DATA;
  const places = [resolve(cwd, data, FILE_NAME), resolve(cwd, FILE_NAME)];
  const found = places.find(isThere);
  if (found === undefined) {
    throw new Problem(
      'config',
      `no configuration: looked for ${places.join(' and ')}; \`certstatus init\` writes one`,
      { field: '--config' },
    );
  }
  return found;
}

/** @throws Problem `config` when that cannot be told: another file than the one that was meant must not be taken. */
function isThere(place: string): boolean {
  try {
    statSync(place);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw new Problem('config', `cannot be read: ${fileProblem(error)}`, { field: place });
  }
}

/** Where data lies when nothing says otherwise, below the working directory. */
const DEFAULT_DATA = 'data';
const FILE_NAME = 'certstatus.yaml';

interface Review {
  readonly loaded: Loaded | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Finding[];
}

function review(options: LoadOptions): Review {
  const problems: Problem[] = [];
  let read: { readonly config: Config; readonly written: ConfigFile } | undefined;
  try {
    read = readConfig(options, problems);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problems.push(error);
  }
  if (read === undefined) return { loaded: undefined, problems, warnings: [] };
  const { config, written } = read;
  const reviews = readIssuers(config.dataDir, options.nowMs);
  const issuers = reviews.flatMap(({ setup }) => setup ?? []);
  problems.push(...reviews.flatMap((review) => review.problems));
  // Whoever does not sign has the same issuers and no tokens (P7).
  if (config.roles.has('signer')) problems.push(...checkTokens(config.tokens, issuers));
  const together = separationFindings(config.file, config.intake);
  problems.push(...together.problems);
  const tooMany = openFilesFinding(config, openFilesLimit());
  const warnings = [
    ...(tooMany === undefined ? [] : [tooMany]),
    ...together.warnings,
    ...reviews.flatMap((review) => review.warnings),
  ];
  // A client may be set up before its issuer is, but a typing error must not go unseen.
  const known = new Set(['*', ...issuers.map(({ id }) => id)]);
  for (const client of config.intake?.clients ?? []) {
    for (const id of client.issuers.filter((name) => !known.has(name))) {
      warnings.push({
        severity: 'warning',
        rule: 'config',
        citation: config.file,
        message: `intake client ${client.name} names ${id}, which is no issuer here`,
      });
    }
  }
  return { loaded: { config, issuers, written, warnings }, problems, warnings };
}

function readConfig(
  options: LoadOptions,
  problems: Problem[],
): { readonly config: Config; readonly written: ConfigFile } | undefined {
  const { env = {}, cwd = process.cwd(), overrides = {} } = options;
  const pin = Object.keys(env).find((variable) => /^CERTSTATUS_(.*_)?PIN$/.test(variable));
  // Whoever can read /proc, a unit file or a crash report would have it. Its value is not repeated.
  if (pin !== undefined) {
    throw new Problem(
      'config',
      'a PIN never stands in the environment: unset it; certstatus key activate asks for it',
      {
        field: pin,
        rule: 'CT-6.2.2',
      },
    );
  }
  const file = findConfigFile(options);
  const read = readYamlFile(file, configSchema);
  if (!read.ok) {
    problems.push(...read.problems);
    return undefined;
  }
  const { value } = read;
  const beside = (name: string): string => resolve(dirname(file), name);
  const chosen = overrides.dataDir ?? env['CERTSTATUS_DATA'];
  const store = storeOf(value.store, dirname(file));
  const roles = new Set(overrides.roles ?? value.roles);
  const name = env['CERTSTATUS_NAME'] ?? value.name;
  checkRoles(roles, name, store);
  const config: Config = {
    file,
    name,
    roles,
    store,
    tokens: tokensOf(value.tokens, dirname(file)),
    dataDir: chosen === undefined ? beside(value.dataDir ?? '.') : resolve(cwd, chosen),
    listen: listenOf(value.listen, env, overrides),
    admin: adminOf(value.listen.admin, value.intake, beside),
    intake: value.intake && intakeOf(value.intake, beside),
    cli: value.cli && {
      certificate: beside(value.cli.certificate),
      key: beside(value.cli.key),
      ca: beside(value.cli.ca),
    },
    logLevel: overrides.logLevel ?? value.logLevel,
    responder: responderOf(value.responder),
    limits: value.limits,
    probe: { urls: value.probe.urls, everyMs: value.probe.every },
    monitor: monitorOf(value.monitor),
    archive: archiveOfSection(value.archive, dirname(file)),
    runbook: runbookOf(value.admin),
    clock: clockOf(value.clock),
  };
  return { config, written: value };
}

/** @throws Problem `config` for roles that would not find each other. */
function checkRoles(roles: ReadonlySet<Role>, name: string, store: StoreConfig): void {
  if (store.kind === 'embedded') {
    const missing = ROLES.filter((role) => role !== 'monitor' && !roles.has(role));
    if (missing.length > 0) {
      throw new Problem('config', `the embedded store has one process: add ${missing.join(', ')}, or set store.redis`, {
        field: 'roles',
        value: [...roles].join(','),
      });
    }
    return;
  }
  // The others wait for the names that they know.
  if (roles.has('intake') !== store.intakes.includes(name)) {
    throw new Problem(
      'config',
      roles.has('intake')
        ? `a process with the intake role must be among store.redis.intakes (${store.intakes.join(', ')})`
        : 'store.redis.intakes names this process, which has no intake role: the others would wait for it',
      { field: 'name', value: name, rule: 'P1' },
    );
  }
}
