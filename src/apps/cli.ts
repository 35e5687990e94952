#!/usr/bin/env node
/** `certstatus <command>`: exit 0 done, 1 failed, 2 wrong usage. Errors are one line on standard error that says what to do. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { Problem } from '../core/problem.ts';
import { archiveCommands } from './commands/archive.ts';
import { auditCommands } from './commands/audit.ts';
import { benchCommand } from './commands/bench.ts';
import { checkConfigCommand } from './commands/check-config.ts';
import { crlCommands } from './commands/crl.ts';
import { crlBookCommands } from './commands/crl-books.ts';
import { eventCommands } from './commands/events.ts';
import { compromisedKeyCommands } from './commands/compromised-key.ts';
import { drillCommand } from './commands/drill.ts';
import { explainCommand } from './commands/explain.ts';
import { importCommands } from './commands/import.ts';
import { initCommand } from './commands/init.ts';
import { issuerCommands } from './commands/issuer.ts';
import { keyCommands } from './commands/key.ts';
import { lintCommand } from './commands/lint.ts';
import { offlineCommands } from './commands/offline.ts';
import { massCommands } from './commands/mass.ts';
import { probeCommand } from './commands/probe.ts';
import { reconcileCommand } from './commands/reconcile.ts';
import { reportCommands } from './commands/report.ts';
import { sampleCommand } from './commands/sample.ts';
import { serveCommand } from './commands/serve.ts';
import { sizeCommand } from './commands/size.ts';
import { VERSION } from './version.ts';

const program = new Command('certstatus')
  .description('OCSP and CRL status responder that signs ahead of time')
  .version(VERSION)
  .option(
    '--config <file>',
    'configuration file (default: $CERTSTATUS_CONFIG, <data>/certstatus.yaml, ./certstatus.yaml)',
  )
  .option('--data <directory>', 'data directory (default: $CERTSTATUS_DATA, ./data)')
  .addOption(new Option('--public-port <port>', 'port of the public listener (8080)').argParser(port))
  .addOption(new Option('--origin-port <port>', 'port of the origin listener (8082)').argParser(port))
  .addOption(new Option('--intake-port <port>', 'port of the intake (8081)').argParser(port))
  .addOption(new Option('--admin-port <port>', 'port of metrics, health and status page (9090)').argParser(port))
  .option('--json', 'print data as JSON')
  .showHelpAfterError('(certstatus --help lists the commands; each has its own --help)')
  .configureHelp({ showGlobalOptions: true })
  .exitOverride();

for (const add of [
  serveCommand,
  initCommand,
  issuerCommands,
  importCommands,
  eventCommands,
  massCommands,
  drillCommand,
  compromisedKeyCommands,
  crlCommands,
  archiveCommands,
  crlBookCommands,
  offlineCommands,
  keyCommands,
  explainCommand,
  lintCommand,
  probeCommand,
  reconcileCommand,
  reportCommands,
  sampleCommand,
  checkConfigCommand,
  auditCommands,
  benchCommand,
  sizeCommand,
]) {
  add(program);
}

/** Subcommands made with .command() inherit exitOverride; the usage errors of all of them end here. */
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else if (error instanceof Problem) {
    process.stderr.write(`certstatus: ${error.line}\n`);
    process.exitCode = 1;
  } else {
    process.stderr.write(`certstatus: ${(error as Error).stack ?? String(error)}\n`);
    process.exitCode = 1;
  }
}

function port(text: string): number {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value > 65_535) throw new InvalidArgumentError('Not a port number.');
  return value;
}
