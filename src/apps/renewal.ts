/**
 * What is renewed while the process runs: TLS of intake and admin, the CRL of the client CAs and the metrics token, when their
 * files were replaced or at SIGHUP; at SIGHUP also who may do what (`intake.clients`). What is new is read and checked whole; then all
 * of it is used, by connections from then on, or none of it, and what was in use stays in use.
 */
import { isDeepStrictEqual } from 'node:util';
import { Problem } from '../core/problem.ts';
import { rfc3339, type EpochMs } from '../core/time.ts';
import type { CertificateGaugeSources } from '../flows/certificate-gauges.ts';
import type { Log } from '../flows/log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import { digest } from './admin/access.ts';
import type { Config, Loaded } from './config.ts';
import { FileWatch } from './file-watch.ts';
import type { IntakeClient } from './intake-config.ts';
import { forNextStart } from './next-start.ts';
import {
  endOf,
  octetsOf,
  portFiles,
  redisFiles,
  reviewTls,
  sameOctets,
  type TlsFileNames,
  type TlsMaterial,
} from './tls-files.ts';

export interface RenewalFailure {
  readonly line: string;
  readonly since: EpochMs;
}

type PortName = 'intake' | 'admin';
type UseTls = (tls: TlsMaterial, trust: 'same' | 'changed') => void;

interface InUse {
  readonly tls: Readonly<Record<PortName, TlsMaterial | undefined>>;
  readonly metricsDigest: Buffer | undefined;
  readonly clients: readonly IntakeClient[];
}

export interface RenewalParts {
  readonly loaded: Loaded;
  readonly clock: Clock;
  readonly log: Log;
  /** Where it is recorded who may do what from now on; undefined in a process that records nothing. */
  readonly journal: Journal | undefined;
}

export class Renewal {
  readonly #parts: RenewalParts;
  readonly #watch: FileWatch;
  readonly #ports = new Map<PortName, UseTls>();
  /** What is to be used: of the start, or of the last SIGHUP whose configuration could be read. */
  #wanted: Loaded;
  #inUse: InUse;
  #failure: RenewalFailure | undefined;
  /** Why the configuration of the last SIGHUP is not in use: nothing but another SIGHUP changes that. */
  #misread: RenewalFailure | undefined;

  /** @throws Problem `config` for files that no connection could be made with; what is merely out of time is logged. */
  constructor(parts: RenewalParts) {
    this.#parts = parts;
    this.#wanted = parts.loaded;
    this.#watch = new FileWatch(parts.clock, () => filesOf(this.#wanted.config), () => this.#renew('its file was replaced')); // prettier-ignore
    const { next, unusable, refusing } = review(parts.loaded.config, parts.clock.now());
    if (unusable[0] !== undefined) throw unusable[0];
    for (const { problem } of refusing) say(parts.log, 'error', problem, '');
    this.#inUse = next;
  }

  get tls(): InUse['tls'] {
    return this.#inUse.tls;
  }

  get clients(): readonly IntakeClient[] {
    return this.#inUse.clients;
  }

  /** SHA-256 of what a scraper must send. */
  get metricsDigest(): Buffer | undefined {
    return this.#inUse.metricsDigest;
  }

  /** Why what was to be used is not; undefined when it is. */
  get failure(): RenewalFailure | undefined {
    return this.#misread ?? this.#failure;
  }

  /** When the certificates end that are shown to clients now. */
  get ends(): NonNullable<ReturnType<NonNullable<CertificateGaugeSources['tls']>>> {
    return (['intake', 'admin'] as const).flatMap((use) => {
      const notAfter = endOf(this.#inUse.tls[use]);
      return notAfter === undefined ? [] : [{ use, notAfter }];
    });
  }

  /** How a port that listens is told. */
  port(name: PortName, use: UseTls): void {
    this.#ports.set(name, use);
  }

  start(): void {
    this.#watch.start();
  }

  stop(): void {
    this.#watch.stop();
  }

  /** SIGHUP. Never throws. @param load reads the configuration anew. */
  reload(load: () => Loaded): void {
    const { log, clock, loaded } = this.#parts;
    let next: Loaded;
    try {
      next = load();
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem('config', (error as Error).message);
      this.#misread = { line: problem.line, since: this.#misread?.since ?? clock.now() };
      say(log, 'error', problem, REFUSED);
      return;
    }
    this.#misread = undefined;
    this.#wanted = next;
    this.#watch.note();
    if (!this.#renew('SIGHUP')) return;
    const later = forNextStart(loaded, next);
    if (later.length > 0) log.warn({ keys: later }, `changed, but used from the next start on: ${later.join(', ')}`);
  }

  /** False when what is there cannot be used. */
  #renew(why: string): boolean {
    const { clock, log } = this.#parts;
    const { config } = this.#wanted;
    const { next, unusable, refusing } = review(config, clock.now());
    // What refuses everybody is refused, but not what did so before: a port must not wait for another's files.
    const worse = refusing.filter(({ port, of }) => !sameOctets(next.tls[port]?.[of], this.#inUse.tls[port]?.[of]));
    const [problem] = [...unusable, ...worse.map((one) => one.problem)];
    if (problem !== undefined) {
      const { line } = problem;
      this.#failure = { line, since: this.#failure?.since ?? clock.now() };
      say(log, 'error', problem, REFUSED);
      return false;
    }
    this.#failure = undefined;
    const renewed = this.#use(next);
    if (renewed.length > 0) this.#record(renewed, why);
    if (renewed.length > 0 || why === 'SIGHUP')
      log.info({ why }, renewed.length === 0 ? 'reloaded: nothing has changed' : `reloaded: ${renewed.join(', ')}`);
    return true;
  }

  /** Returns what is new, in words. */
  #use(next: InUse): readonly string[] {
    const before = this.#inUse;
    // TLS is switched on and off at the start alone.
    const tls = { intake: next.tls.intake ?? before.tls.intake, admin: next.tls.admin ?? before.tls.admin };
    const renewed: string[] = [];
    for (const [name, use] of this.#ports) {
      const [was, is] = [before.tls[name], tls[name]];
      if (was === undefined || is === undefined) continue;
      const changed = (['cert', 'key', 'ca', 'crl'] as const).filter((of) => !sameOctets(was[of], is[of]));
      if (changed.length === 0) continue;
      use(is, changed.includes('ca') || changed.includes('crl') ? 'changed' : 'same');
      const until = changed.includes('cert') ? ` (until ${rfc3339(endOf(is) as EpochMs)})` : '';
      renewed.push(`TLS of ${name}${until}`);
    }
    if (!sameOctets(before.metricsDigest, next.metricsDigest)) renewed.push('the metrics token');
    // Without the section the port goes on until the next start, and so does who is let in.
    const clients = this.#wanted.config.intake === undefined ? before.clients : next.clients;
    if (!isDeepStrictEqual(before.clients, clients)) renewed.push('intake.clients');
    this.#inUse = { ...next, clients, tls };
    return renewed;
  }

  #record(renewed: readonly string[], why: string): void {
    const { journal, log } = this.#parts;
    const clients = this.#inUse.clients.map(({ name, issuers, may }) => ({ name, issuers, may }));
    journal
      ?.append([
        {
          type: 'service.reloaded',
          actor: 'service',
          description: `${why}: ${renewed.join(', ')}`,
          detail: { clients },
        },
      ])
      .catch((error: unknown) => log.error({ err: error }, 'the reload could not be recorded'));
  }
}

const REFUSED = 'not reloaded, what was in use stays in use: ';

function say(log: Log, level: 'error', { line, field, rule }: Problem, before: string): void {
  log[level]({ field, rule }, `${before}${line}`);
}

interface Review {
  readonly next: InUse;
  readonly unusable: readonly Problem[];
  readonly refusing: readonly { readonly port: PortName; readonly of: keyof TlsMaterial; readonly problem: Problem }[];
}

/** What is wrong with the TLS files and the metrics token of this process, for `check-config`. */
export function checkRenewables(config: Config, now: EpochMs): readonly Problem[] {
  const { store } = config;
  const redis = store.kind === 'redis' && store.tls !== undefined ? [reviewTls(redisFiles(store.tls), now)] : [];
  return [review(config, now), ...redis].flatMap(({ unusable, refusing }) => [
    ...unusable,
    ...refusing.map(({ problem }) => problem),
  ]);
}

function review(config: Config, now: EpochMs): Review {
  const unusable: Problem[] = [];
  const refusing: Review['refusing'][number][] = [];
  const materialOf = (port: PortName): TlsMaterial | undefined => {
    const names = portNames(config)[port];
    if (names === undefined) return undefined;
    const found = reviewTls(names, now);
    unusable.push(...found.unusable);
    refusing.push(...found.refusing.map((one) => ({ port, ...one })));
    return found.material;
  };
  const tls = { intake: materialOf('intake'), admin: materialOf('admin') };
  let metricsDigest: Buffer | undefined;
  try {
    metricsDigest = metricsDigestOf(config.admin.metricsTokenFile);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    unusable.push(error);
  }
  return { next: { tls, metricsDigest, clients: config.intake?.clients ?? [] }, unusable, refusing };
}

function portNames({ roles, intake, admin }: Config): Readonly<Record<PortName, TlsFileNames | undefined>> {
  // The other roles may have the section too, of a file for all, and not the files.
  const listens = roles.has('intake') || roles.has('signer');
  return {
    intake: intake !== undefined && listens ? portFiles('intake', intake) : undefined,
    admin: admin.tls && portFiles('listen.admin.tls', admin.tls),
  };
}

function filesOf(config: Config): readonly string[] {
  const { intake, admin } = portNames(config);
  const tls = [intake, admin].flatMap((names) =>
    names === undefined ? [] : [names.certificate, names.key, names.ca, names.crl],
  );
  return [...tls.flatMap((one) => one?.file ?? []), config.admin.metricsTokenFile ?? []].flat();
}

/** @throws Problem `config` for a file that cannot be read, or holds nothing. */
function metricsDigestOf(file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined;
  const named = { field: 'listen.admin.metricsToken.file', file };
  const token = octetsOf(named).toString().trim();
  if (token !== '') return digest(token);
  throw new Problem('config', 'is empty', { field: named.field, value: file });
}
