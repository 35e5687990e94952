/**
 * Where a PIN comes from that one person or the service manager gives: a terminal, an open descriptor, a credential. Read
 * as octets, which are overwritten after use; one newline at the end is not part of it.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_PIN_BYTES } from '../core/pin.ts';
import { Problem } from '../core/problem.ts';

/** Of a PIN or a share. */
const MAX_SECRET_BYTES = 4096;

/**
 * A credential of the service manager: $CREDENTIALS_DIRECTORY/<name>.
 * @throws Problem `config` when there is none, or others than the service can read it.
 */
export function readCredential(name: string, env: NodeJS.ProcessEnv): Buffer {
  const directory = env['CREDENTIALS_DIRECTORY'];
  if (directory === undefined || directory === '') {
    throw new Problem(
      'config',
      'is not set: the service manager hands over no credentials (LoadCredentialEncrypted=)',
      {
        field: '$CREDENTIALS_DIRECTORY',
      },
    );
  }
  const file = join(directory, name);
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    throw new Problem('config', `the credential cannot be read: ${(error as Error).message}`, { field: file });
  }
  try {
    const { mode } = fstatSync(descriptor);
    // The group's bits are the mask of the ACL with which a service manager lets the service's user in.
    if (mode & 0o007) {
      throw new Problem('config', 'others can read it; it is for the service alone', {
        field: file,
        value: (mode & 0o777).toString(8),
        rule: 'CT-6.2.2',
      });
    }
    return readPin(descriptor, file);
  } finally {
    closeSync(descriptor);
  }
}

/** Reads an open descriptor to its end and closes it. @throws Problem `config` */
export function readDescriptor(descriptor: number): Buffer {
  const field = `descriptor ${descriptor}`;
  try {
    return readPin(descriptor, field);
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem('config', `cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`, {
      field,
    });
  } finally {
    try {
      closeSync(descriptor);
    } catch {
      // It was not open: said above.
    }
  }
}

function readPin(descriptor: number, field: string): Buffer {
  const pin = readSecret(descriptor, field);
  if (pin.length > 0 && pin.length <= MAX_PIN_BYTES) return pin;
  pin.fill(0);
  throw new Problem('config', `holds no PIN of 1 to ${MAX_PIN_BYTES} octets`, { field });
}

/** All that comes, without one newline at the end. @throws Problem `too-large` */
export function readSecret(descriptor: number, field: string): Buffer {
  const all = Buffer.alloc(MAX_SECRET_BYTES + 2);
  let length = 0;
  try {
    for (;;) {
      const count = readSync(descriptor, all, length, all.length - length, null);
      if (count === 0) break;
      length += count;
      if (length === all.length) throw new Problem('too-large', `has more than ${MAX_SECRET_BYTES} octets`, { field });
    }
    if (all[length - 1] === 0x0a) length -= 1;
    if (all[length - 1] === 0x0d) length -= 1;
    return copyOf(all, length);
  } finally {
    all.fill(0);
  }
}

/**
 * Asks on the terminal, without echo. Ctrl-D gives it up; Ctrl-C is for the process, as ever.
 * @throws Problem `refused` when it was given up, `unavailable` where there is no terminal.
 */
export async function askSecret(question: string): Promise<Buffer> {
  return ask(question, false);
}

/** The same with echo, for what is no secret. */
export async function askName(question: string): Promise<string> {
  return (await ask(question, true)).toString('utf8').trim();
}

function ask(question: string, echo: boolean): Promise<Buffer> {
  const input = process.stdin;
  if (!input.isTTY) throw new Problem('unavailable', 'there is no terminal to ask on', { field: 'standard input' });
  const typed = Buffer.alloc(MAX_SECRET_BYTES);
  let length = 0;
  // Raw: the terminal shows nothing by itself, and hands over each key. Before the question: who answers it may be quick.
  input.setRawMode(true);
  process.stderr.write(question);
  input.resume();
  return new Promise((resolve, reject) => {
    const end = (outcome: () => void): void => {
      input.off('data', take);
      input.setRawMode(false);
      input.pause();
      process.stderr.write('\n');
      outcome();
      typed.fill(0);
    };
    const take = (chunk: Buffer): void => {
      for (const octet of chunk) {
        if (octet === 0x03 || (octet === 0x04 && length === 0)) {
          end(() => reject(new Problem('refused', 'nothing was entered', { field: 'terminal' })));
          // In raw mode the terminal does not send it.
          if (octet === 0x03) process.kill(process.pid, 'SIGINT');
          return;
        }
        if (octet === 0x0d || octet === 0x0a || octet === 0x04) {
          const answer = copyOf(typed, length);
          return end(() => resolve(answer));
        }
        if (octet === 0x7f || octet === 0x08) {
          if (length > 0) {
            length -= 1;
            if (echo) process.stderr.write('\b \b');
          }
        } else if (length < typed.length) {
          typed[length++] = octet;
          if (echo) process.stderr.write(Buffer.of(octet));
        }
      }
      chunk.fill(0);
    };
    input.on('data', take);
  });
}

/** In memory of its own, not in the pool that small Buffers share. */
function copyOf(from: Buffer, length: number): Buffer {
  const own = Buffer.allocUnsafeSlow(length);
  from.copy(own, 0, 0, length);
  return own;
}
