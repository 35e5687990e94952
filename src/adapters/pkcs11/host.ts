/**
 * The token's host: a process of its own, because a vendor's module may crash, hang or need a new start, and because a login
 * belongs to a process. Its main thread logs in, lists and generates; session-worker.ts signs.
 *
 * It holds the login and no PIN: the PIN comes with the request that needs it. pkcs11js takes it as a string, and the channel
 * makes copies on the way; neither can be overwritten, so that these last until they are collected. What is kept (in the
 * signer's process, token.ts) is overwritten.
 *
 * It ends with the signer's process, however that ends and whatever the module is at (lifeline.ts), and only with it: a Ctrl-C goes to the whole group of processes, and
 * the signer's batches still need the token then.
 */
import { Worker } from 'node:worker_threads';
import type { Handle } from 'pkcs11js';
import { CKR_USER_ALREADY_LOGGED_IN, failureOf, isPinFailure } from './ckr.ts';
import { generatePair, listPairs } from './key-pairs.ts';
import { HostError, openModule, type OpenedModule } from './module.ts';
import { SigningSession } from './signing-session.ts';
import type { HostCall, HostFailure, HostReply, HostRequest, TokenPlace } from './wire.ts';

/** 0 to 2 are standard streams, 3 is the IPC channel. */
const LIFELINE_FD = 4;
const FIRST_SESSION_FD = 5;

let place: TokenPlace | undefined;
let opened: OpenedModule | undefined;
/** Open while the login is held. */
let loginSession: Handle | undefined;

// SIGUSR1 would open Node's inspector.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, () => undefined);
new Worker(new URL('lifeline.js', import.meta.url), { workerData: { fd: LIFELINE_FD } });
// Threads that block in the module would keep process.exit() waiting.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.on('message', ({ number, request }: HostCall) => {
  void perform(request).then(
    (value) => reply({ number, ok: true, value }),
    (error: unknown) => reply({ number, ok: false, failure: describe(error) }),
  );
});

async function perform(request: HostRequest): Promise<unknown> {
  switch (request.op) {
    case 'open':
      place = request.place;
      opened = await openModule(request.place);
      return opened.token;
    case 'login':
      mustHave(request.sessions + 1);
      logIn(request.pin);
      if (request.sessions === 0) return logOut();
      for (let i = 0; i < request.sessions; i++) startSession(FIRST_SESSION_FD + i);
      return undefined;
    case 'logout':
      return logOut();
    case 'list':
      return loggedIn(request.pin, () => listPairs(theModule()));
    case 'generate':
      return loggedIn(request.pin, () => generatePair(theModule(), request.type, request.label, request.id));
    case 'sign':
      return loggedIn(request.pin, () => {
        const session = new SigningSession(theModule());
        try {
          return Buffer.from(session.sign(request.key, Buffer.from(request.inputs), request.count));
        } finally {
          session.close();
        }
      });
  }
}

/** One session holds the login. */
function mustHave(sessions: number): void {
  const { maxSessions } = theModule();
  if (maxSessions >= sessions) return;
  throw new HostError(
    'config',
    `the token allows ${maxSessions} sessions, of which the login takes one; ask for fewer`,
  );
}

/** SR-6.2.9: where no login is held, one access logs in and out again, whatever comes of it. */
function loggedIn<T>(pin: Uint8Array | undefined, access: () => T): T {
  if (pin === undefined) return access();
  logIn(pin);
  try {
    return access();
  } finally {
    logOut();
  }
}

function logIn(pin: Uint8Array): void {
  const { cryptoki, constants, slot } = theModule();
  const text = Buffer.from(pin.buffer, pin.byteOffset, pin.byteLength).toString('utf8');
  pin.fill(0);
  loginSession ??= cryptoki.C_OpenSession(slot, constants.CKF_SERIAL_SESSION);
  try {
    cryptoki.C_Login(loginSession, constants.CKU_USER, text);
  } catch (error) {
    const { code, text: name } = failureOf(error);
    if (code === CKR_USER_ALREADY_LOGGED_IN) return;
    throw new HostError(isPinFailure(code) ? 'pin' : 'unavailable', name, code);
  }
}

function logOut(): void {
  const session = loginSession;
  loginSession = undefined;
  if (session === undefined) return;
  const { cryptoki } = theModule();
  try {
    cryptoki.C_Logout(session);
  } finally {
    cryptoki.C_CloseSession(session);
  }
}

function startSession(fd: number): void {
  const thread = new Worker(new URL('session-worker.js', import.meta.url), { workerData: { fd, place } });
  // A thread never ends by itself. The signer's process starts a new host.
  thread.on('error', (error) => {
    reply({ number: 0, ok: false, failure: describe(error) });
    setImmediate(() => process.kill(process.pid, 'SIGKILL'));
  });
}

function theModule(): OpenedModule {
  if (opened === undefined) throw new HostError('unavailable', 'the module is not open');
  return opened;
}

function describe(error: unknown): HostFailure {
  return error instanceof HostError ? error.failure : { kind: 'unavailable', ...failureOf(error) };
}

function reply(message: HostReply): void {
  // The callback takes the error of a channel that has just been closed; 'disconnect' follows.
  process.send?.(message, () => undefined);
}
