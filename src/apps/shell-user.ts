/** Who types a command, and whether what it writes stays open to the service. */
import { statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { Problem } from '../core/problem.ts';

/** For audit records and reports. An account without a name, as containers have it, still has a number. */
export function shellUser(): string {
  try {
    return userInfo().username.slice(0, 64);
  } catch {
    return `uid ${process.geteuid?.() ?? 'unknown'}`;
  }
}

/**
 * Root may write into a data directory of the service's user, but what it makes there (a store's next file, a journal) is closed to the
 * service, which then does not start again.
 * @throws Problem `config` for root in a directory that is not root's.
 */
export function refuseForeignDirectory(dataDir: string): void {
  if (process.geteuid?.() !== 0) return;
  const owner = statSync(dataDir, { throwIfNoEntry: false })?.uid ?? 0;
  if (owner === 0) return;
  throw new Problem(
    'config',
    `belongs to the user with the number ${owner}, and what root writes there is closed to the service: run this as that user (sudo -u '#${owner}' certstatus …)`,
    { field: 'dataDir', value: dataDir },
  );
}
