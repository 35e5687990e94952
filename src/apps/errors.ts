/** What a command says when it fails: one line that names what is wrong and what to do, or the same as a JSON object. */
import { Problem } from '../core/problem.ts';
import { VERSION } from './version.ts';

/** With its line end. What nobody has foreseen comes with the stack, for whoever mends it. */
export function errorText(error: unknown): string {
  if (error instanceof Problem) return `certstatus: ${error.line}\n`;
  const said = systemError(error);
  return said === undefined
    ? `certstatus: a defect of certstatus ${VERSION}, please report it: ${stackOf(error)}\n`
    : `certstatus: ${said}\n`;
}

/** `{"code","message","field","value","rule"}` in one line; `code` is of the closed list of core/problem.ts, `usage` or `failed`. */
export function errorJson(error: unknown): string {
  if (error instanceof Problem) {
    const { code, message, field, value, rule } = error;
    return `${JSON.stringify({ code, message, field, value, rule })}\n`;
  }
  return `${JSON.stringify({ code: 'failed', message: systemError(error) ?? stackOf(error) })}\n`;
}

/** What the operating system refused, in words. */
function systemError(error: unknown): string | undefined {
  const { code, path, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  if (typeof code !== 'string') return undefined;
  const where = path ?? (port === undefined ? undefined : `${address ?? ''}:${port}`);
  const advice = ADVICE[code];
  if (advice !== undefined) return `${where === undefined ? '' : `${where}: `}${advice}`;
  return where === undefined ? undefined : (error as Error).message;
}

/** Why a file could not be read or written, in words. */
export function fileProblem(error: unknown): string {
  return ADVICE[(error as NodeJS.ErrnoException).code ?? ''] ?? (error as Error).message;
}

const ADVICE: Readonly<Record<string, string>> = {
  EACCES: 'permission denied; run this as the user that the service runs as',
  EPERM: 'permission denied; run this as the user that the service runs as',
  ENOENT: 'there is no such file or directory',
  EISDIR: 'is a directory; give a file',
  ENOTDIR: 'a part of this path is not a directory',
  ENOSPC: 'no space is left on that disk; free some and run it again',
  EROFS: 'is on a file system that is read-only; give a path elsewhere',
  EMFILE: 'too many open files; raise the limit (ulimit -n)',
  EADDRINUSE: 'the port is in use; stop what has it, or give another (--public-port, --intake-port, …)',
  ECONNREFUSED: 'nobody listens there; start the service (certstatus serve) or give its port',
};

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
