/** What lies where in a data directory, for commands that open nothing else: no store, no server. */
import { join } from 'node:path';
import { FileKeptArchive } from '../adapters/crl-archive/kept-archive.ts';
import type { Config } from './config.ts';

export function auditDir({ dataDir }: Pick<Config, 'dataDir'>): string {
  return join(dataDir, 'audit');
}

export function archiveOf(dataDir: string): FileKeptArchive {
  return new FileKeptArchive(join(dataDir, 'crl'));
}
