/**
 * What the service manager is told (sd_notify(3)): that this process serves, that it stops, and that it still turns. By
 * systemd's own program, because Node has no datagram sockets of the local kind; without $NOTIFY_SOCKET by nobody.
 *
 * The unit needs NotifyAccess=all: the word comes from a child.
 */
import { execFile } from 'node:child_process';

type Environment = NodeJS.ProcessEnv;

export interface ServiceManager {
  /** It serves: whoever waits for the start need wait no longer. From now on a watchdog hears that it turns. */
  ready(): void;
  stopping(): void;
}

/** @param failed told why nobody could be told, once: from then on nobody is. */
export function serviceManager(env: Environment, pid: number, failed: (reason: string) => void): ServiceManager {
  if (!env['NOTIFY_SOCKET']) return { ready: () => undefined, stopping: () => undefined };
  let silent = false;
  const tell = (state: string): void => {
    if (silent) return;
    execFile('systemd-notify', [state], { timeout: PATIENCE_MS, env }, (error) => {
      if (error === null || silent) return;
      silent = true;
      failed(error.message);
    });
  };
  return {
    ready() {
      tell('READY=1');
      const everyMs = watchdogMs(env, pid) / 3;
      // Only an event loop that turns gets here.
      if (everyMs > 0) setInterval(() => tell('WATCHDOG=1'), everyMs).unref();
    },
    stopping: () => tell('STOPPING=1'),
  };
}

/** Within what time it wants to hear something; 0 when it does not (sd_watchdog_enabled(3)). */
function watchdogMs(env: Environment, pid: number): number {
  const of = env['WATCHDOG_PID'];
  if (of !== undefined && of !== String(pid)) return 0;
  const microseconds = Number(env['WATCHDOG_USEC'] ?? 0);
  return microseconds > 0 ? microseconds / 1000 : 0;
}

const PATIENCE_MS = 5000;
