#!/usr/bin/env node
/**
 * `certstatus <command>`: exit 0 done, 1 failed, 2 wrong usage. Errors are one line on standard error that says what to do; with
 * --json that line is an object.
 */
import { CommanderError } from 'commander';
import { errorJson, errorText } from './errors.ts';
import { makeProgram } from './program.ts';

// `certstatus audit export | head`: whoever reads has what he wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  throw error;
});
process.stderr.on('error', () => process.exit());

/** Looked at before anything is parsed, because what cannot be parsed is an error too. */
const json = process.argv.includes('--json');
const program = makeProgram();

/** Subcommands made with .command() inherit exitOverride; the usage errors of all of them end here. */
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? 0 : 2) : 1;
  // Commander has written its own, unless it is to be JSON (manual/teach.ts).
  if (!(error instanceof CommanderError)) process.stderr.write(json ? errorJson(error) : errorText(error));
}
