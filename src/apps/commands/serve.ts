/** `certstatus serve`. With --demo an empty data directory first gets a demo CA, so that `npm start` needs nothing. */
import { closeSync, openSync } from 'node:fs';
import { isatty } from 'node:tty';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { serviceManager } from '../../adapters/system/service-manager.ts';
import { loadConfig, ROLES, type Role } from '../config.ts';
import { makeLog } from '../log.ts';
import { refuseInspector, waysOutOfMemory } from '../private-process.ts';
import { loadOptions } from './context.ts';

/** Node's releases that are past their end of life, and when that was. */
const ENDED: Record<string, string> = { '20': 'April 2026', '21': 'June 2024', '23': 'June 2025', '25': 'June 2026' };

export function serveCommand(program: Command): void {
  program
    .command('serve')
    .description('runs the responder, signer, intake and monitor')
    .addOption(
      new Option('--roles <list>', `what this process does, of ${ROLES.join(', ')} (default: all)`).argParser(roles),
    )
    .option('--demo', 'create a demo CA first, when the data directory is empty')
    .action(async (options: { demo?: boolean; roles?: readonly Role[] }, command: Command) => {
      const usual = loadOptions(command);
      const asked = { ...usual, overrides: { ...usual.overrides, roles: options.roles } };
      const { announceDemo, createDemoIfNew } = await import('../demo-start.ts');
      if (options.demo) await createDemoIfNew(asked);
      refuseInspector();
      const loaded = loadConfig(asked);
      const log = makeLog(loaded.config.logLevel);
      for (const { rule, message } of loaded.warnings) log.warn({ rule }, message);
      // A token's PIN passes through a signer alone (CT-6.2.2).
      if (loaded.config.roles.has('signer') && loaded.config.tokens.length > 0)
        for (const way of waysOutOfMemory()) log.warn({ rule: 'CT-6.2.2' }, way);
      const ended = ENDED[process.versions.node.split('.')[0] ?? ''];
      if (ended !== undefined)
        log.warn(
          { node: process.versions.node },
          `this Node release is past its end of life (${ended}); 22 or 24 is advised`,
        );
      // Other commands end when nobody reads on. What a service announces is for a person, whose terminal may be gone.
      for (const stream of [process.stdout, process.stderr])
        stream.removeAllListeners('error').on('error', () => undefined);
      // From here on a SIGHUP never ends the process; one that comes while it starts is heard when it serves.
      let early = false;
      let hungUp = false;
      let onHangUp = (): void => void (early = true);
      const terminal = hasTerminal();
      process.on('SIGHUP', () => onHangUp());
      const manager = serviceManager(process.env, process.pid, (reason) =>
        log.warn({ reason }, 'systemd is not told that this process serves'),
      );
      // Loaded here: every other command starts without it.
      const { startService } = await import('../serve.ts');
      const service = await startService(loaded, log);
      // Before anybody is told that it serves: a signal from here on is a clean stop.
      const stopped = new Promise<void>((resolve) => {
        const stop = (signal: string): void => {
          log.info({ signal }, 'stopping: finishing what has arrived');
          manager.stopping();
          void service.stop(signal).then(resolve, (error: unknown) => {
            log.error({ err: error }, 'the stop was not clean');
            process.exitCode = 1;
            resolve();
          });
        };
        for (const signal of ['SIGINT', 'SIGTERM'] as const) {
          process.once(signal, () => {
            // A second signal does not wait.
            process.once(signal, () => process.exit(1));
            stop(signal);
          });
        }
        onHangUp = () => {
          if (!terminal || hasTerminal()) return service.reload(() => loadConfig({ ...asked, nowMs: Date.now() }));
          onHangUp = () => undefined;
          hungUp = true;
          stop('SIGHUP');
        };
      });
      if (early) onHangUp();
      log.info(service.addresses, 'serving');
      manager.ready();
      await announceDemo(service).catch((error: unknown) =>
        log.error({ err: error }, 'the demo certificates could not be recorded'),
      );
      await stopped;
      if (hungUp) {
        // Node aborts when it would restore the settings of a terminal that is gone: it ends by the signal, as others do.
        process.removeAllListeners('SIGHUP');
        process.kill(process.pid, 'SIGHUP');
      }
      // Keep-alive agents or timers of libraries must not keep a stopped service alive.
      process.exit();
    });
}

/**
 * Whether this process belongs to a terminal that is still there. To one that was started from a shell, SIGHUP means that its terminal
 * was closed; to every other, and while the terminal is there, that it shall read its files anew.
 */
function hasTerminal(): boolean {
  if (![0, 1, 2].some((descriptor) => isatty(descriptor))) return false;
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}

function roles(text: string): readonly Role[] {
  return text.split(',').map((name) => {
    const role = ROLES.find((known) => known === name.trim());
    if (role === undefined) throw new InvalidArgumentError(`No such role: ${name}; there are ${ROLES.join(', ')}.`);
    return role;
  });
}
