/**
 * How many connections fit below the limit of open files (RLIMIT_NOFILE). Every connection is a file: when they take all of them,
 * neither store nor journal can open one. So the listeners' bounds are made to fit, and it is said.
 */
import { readFileSync } from 'node:fs';
import type { Finding } from '../core/lint/finding.ts';
import type { Config } from './config.ts';

export interface ConnectionBounds {
  readonly public: number;
  readonly origin: number;
  /** Of the intake's port, and of the admin port. */
  readonly private: number;
}

/** Undefined where the system does not tell it, or sets none. Node raises the soft limit to the hard one when it starts. */
export function openFilesLimit(): number | undefined {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined;
  }
}

/** What the configuration wants, or less: in proportion, so that the rest of the process has the files that it needs. */
export function fittingBounds(config: Config, limit: number | undefined): ConnectionBounds {
  const wanted = wantedBounds(config);
  if (limit === undefined) return wanted;
  const share = Math.min(PRIVATE_CONNECTIONS, Math.max(16, Math.floor(limit / 32)));
  // LevelDB takes a fifth of the limit at most, and no more than a thousand.
  const store = config.store.kind === 'embedded' ? Math.min(1000, Math.ceil(limit / 5)) : 32;
  const left = Math.max(2, limit - OWN_FILES - 2 * share - store);
  const both = wanted.public + wanted.origin;
  if (both <= left) return { ...wanted, private: share };
  const origin = Math.floor((left * wanted.origin) / both);
  return { public: left - origin, origin, private: share };
}

/** For check-config and the log: bounds that do not fit. */
export function openFilesFinding(config: Config, limit: number | undefined): Finding | undefined {
  const [wanted, fitting] = [wantedBounds(config), fittingBounds(config, limit)];
  if (!config.roles.has('responder') || (wanted.public === fitting.public && wanted.origin === fitting.origin))
    return undefined;
  return {
    severity: 'warning',
    rule: 'config',
    citation: config.file,
    message:
      `listen.public.maxConnections ${wanted.public} and listen.origin.maxConnections ${wanted.origin} do not fit below the limit of ${limit} open files: ` +
      `${fitting.public} and ${fitting.origin} are taken. Raise the limit (ulimit -n, LimitNOFILE), or lower the bounds`,
  };
}

function wantedBounds({ listen }: Config): ConnectionBounds {
  return {
    public: listen.public.maxConnections,
    origin: listen.origin?.maxConnections ?? 0,
    private: PRIVATE_CONNECTIONS,
  };
}

/** A CA's systems, an operator and a scraper need a handful. */
const PRIVATE_CONNECTIONS = 256;
/** Measured: about 40 with an embedded store and everything started. Files that are open for a moment come on top. */
const OWN_FILES = 80;
