/** Every command, as commander knows it: what cli.ts runs, what the completion scripts are made of, and what the tests walk through. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { archiveCommands } from './commands/archive.ts';
import { auditCommands } from './commands/audit.ts';
import { backupCommands } from './commands/backup.ts';
import { benchCommand } from './commands/bench.ts';
import { checkConfigCommand } from './commands/check-config.ts';
import { completionCommand } from './commands/completion.ts';
import { compromisedKeyCommands } from './commands/compromised-key.ts';
import { crlCommands } from './commands/crl.ts';
import { crlBookCommands } from './commands/crl-books.ts';
import { drillCommand } from './commands/drill.ts';
import { eventCommands } from './commands/events.ts';
import { explainCommand } from './commands/explain.ts';
import { importCommands } from './commands/import.ts';
import { initCommand } from './commands/init.ts';
import { issuerCommands } from './commands/issuer.ts';
import { keyCommands } from './commands/key.ts';
import { lintCommand } from './commands/lint.ts';
import { massCommands } from './commands/mass.ts';
import { offlineCommands } from './commands/offline.ts';
import { overviewCommand } from './commands/overview.ts';
import { probeCommand } from './commands/probe.ts';
import { reconcileCommand } from './commands/reconcile.ts';
import { reportCommands } from './commands/report.ts';
import { sampleCommand } from './commands/sample.ts';
import { serveCommand } from './commands/serve.ts';
import { signInCommand } from './commands/sign-in.ts';
import { sizeCommand } from './commands/size.ts';
import { teach } from './manual/teach.ts';
import { VERSION } from './version.ts';

export function makeProgram(): Command {
  const program = new Command('certstatus')
    .description('OCSP and CRL status responder that signs ahead of time')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .option(
      '--config <file>',
      'configuration file (default: $CERTSTATUS_CONFIG, <data>/certstatus.yaml, ./certstatus.yaml)',
    )
    .option('--data <directory>', 'data directory (default: $CERTSTATUS_DATA, that of the configuration, ./data)')
    .addOption(new Option('--public-port <port>', 'port of the public listener (8080)').argParser(port))
    .addOption(new Option('--origin-port <port>', 'port of the origin listener (8082)').argParser(port))
    .addOption(new Option('--intake-port <port>', 'port of the intake (8081)').argParser(port))
    .addOption(new Option('--admin-port <port>', 'port of metrics, health and status page (9090)').argParser(port))
    .option('--json', 'print data, and errors, as JSON')
    .exitOverride();
  for (const add of [
    serveCommand,
    initCommand,
    issuerCommands,
    checkConfigCommand,
    completionCommand,
    eventCommands,
    importCommands,
    massCommands,
    drillCommand,
    compromisedKeyCommands,
    crlCommands,
    crlBookCommands,
    archiveCommands,
    backupCommands,
    keyCommands,
    offlineCommands,
    auditCommands,
    reportCommands,
    reconcileCommand,
    sampleCommand,
    lintCommand,
    overviewCommand,
    signInCommand,
    explainCommand,
    probeCommand,
    benchCommand,
    sizeCommand,
  ]) {
    add(program);
  }
  teach(program);
  takeOptionsOnce(program.commands);
  return program;
}

/**
 * `revoke --serial 01 --serial 02` must not revoke the last one alone and succeed. Those that may be given again collect: their parser
 * takes what there is already. Options of the program itself may be repeated: wrappers add theirs, and the last one holds.
 */
function takeOptionsOnce(commands: readonly Command[]): void {
  for (const command of commands) {
    takeOptionsOnce(command.commands);
    for (const option of command.options) {
      const { parseArg: own, argChoices: choices, variadic, required, optional } = option;
      const collects = variadic || (own !== undefined && own.length > 1 && choices === undefined);
      if (collects || !(required || optional)) continue;
      option.argParser((value: string): unknown => {
        if (command.getOptionValueSource(option.attributeName()) === 'cli')
          throw new InvalidArgumentError('It was given before; it is taken once.');
        return own === undefined ? value : own(value, undefined);
      });
    }
  }
}

function port(text: string): number {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value > 65_535) throw new InvalidArgumentError('Not a port number.');
  return value;
}
