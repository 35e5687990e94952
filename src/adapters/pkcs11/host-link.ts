/**
 * The signer's end of a host: starts it, asks it, gives its sessions work, notices its end. What goes wrong here ends the
 * host, always by SIGKILL: it may be stuck in the module, and holds nothing that would need a farewell.
 */
import { fork, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Problem, type ProblemCode } from '../../core/problem.ts';
import {
  type ChunkAnswer,
  defineFrame,
  FrameSplitter,
  type HostCall,
  type HostFailure,
  type HostReply,
  type HostRequest,
  type KeyDefinition,
  readAnswer,
  signFrame,
  type TokenDescription,
  type TokenPlace,
} from './wire.ts';

/** Node's start, a module's start, a login over a network: seconds. */
const REQUEST_MS = 30_000;
/** RSA-4096 in a device takes a minute on a bad day. */
const GENERATE_MS = 180_000;

/** Work that one place takes, in order. */
export interface Lane {
  /** Chunks it may have at a time. */
  readonly depth: number;
  /** How long a chunk should keep it busy, in microseconds. */
  readonly chunkUs: number;
  /** Rejects when the host is gone. */
  sign(key: LaneKey, inputs: readonly Uint8Array[], count: number): Promise<ChunkAnswer>;
}

export interface LaneKey {
  /** 0 … 65,535, the same for the whole life of the token object. */
  readonly number: number;
  readonly definition: KeyDefinition;
  /** Octets of one input. */
  readonly inputOctets: number;
}

/** The host said it: the token's PIN is wrong, locked or expired. */
export class PinRefused extends Error {}

export class HostLink {
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #lanes: SessionLane[] = [];
  #number = 0;
  #ended: string | undefined;
  #fatal: string | undefined;
  #onEnd: ((reason: string) => void) | undefined;
  readonly #exited: Promise<void>;

  /**
   * Starts the process; open() and login() come next.
   * @param sessions threads that login() starts.
   * @param env of the host; that of this process when absent.
   */
  constructor(sessions: number, env: NodeJS.ProcessEnv | undefined) {
    // A debugger's or test runner's options are not for the process that sees the PIN.
    const environment = { ...(env ?? process.env) };
    delete environment.NODE_OPTIONS;
    this.#child = fork(fileURLToPath(new URL('host.js', import.meta.url)), [], {
      env: environment,
      execArgv: [],
      serialization: 'advanced',
      // After the channel: the lifeline (lifeline.ts), then a socket for each session.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe', ...Array.from({ length: sessions }, () => 'pipe' as const)],
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        this.end(this.#fatal ?? `its host process ended with ${signal ?? `code ${code}`}`);
        resolve();
      });
      this.#child.once('error', (error) => {
        this.end(`its host process does not start: ${error.message}`);
        resolve();
      });
    });
    this.#child.on('message', (message: HostReply) => this.#take(message));
    this.#child.stdio[4]?.on('error', () => undefined);
    for (let i = 0; i < sessions; i++) {
      const lane = new SessionLane(this.#child.stdio[5 + i] as Socket, (reason) => this.end(reason));
      this.#lanes.push(lane);
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** One for each session. They answer after login(). */
  get lanes(): readonly Lane[] {
    return this.#lanes;
  }

  /** Told once, unless kill() was called before. */
  onEnd(listener: (reason: string) => void): void {
    if (this.#ended !== undefined) listener(this.#ended);
    else this.#onEnd = listener;
  }

  /** Loads the module and finds the token. @throws Problem `config` or `unavailable` */
  async open(place: TokenPlace): Promise<TokenDescription> {
    return (await this.ask({ op: 'open', place })) as TokenDescription;
  }

  /**
   * @param pin is copied on its way and stays the caller's.
   * @throws PinRefused, Problem `unavailable`
   */
  async login(pin: Uint8Array): Promise<void> {
    await this.ask({ op: 'login', pin, sessions: this.#lanes.length });
  }

  /** @throws PinRefused, Problem. No answer in time ends the host. */
  ask(request: HostRequest, deadlineMs = request.op === 'generate' ? GENERATE_MS : REQUEST_MS): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(new Problem('unavailable', this.#ended));
    const call: HostCall = { number: ++this.#number, request };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.end(`the token did not answer (${request.op}) within ${deadlineMs} ms`),
        deadlineMs,
      );
      this.#pending.set(call.number, {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#child.send(call, (error) => {
        if (error !== null) this.end(`its host process does not listen: ${error.message}`);
      });
    });
  }

  /** Ends the host; what is under way fails with this reason. */
  end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#child.kill('SIGKILL');
    if (this.#child.connected) this.#child.disconnect();
    const problem = new Problem('unavailable', reason);
    for (const { reject } of this.#pending.values()) reject(problem);
    this.#pending.clear();
    for (const lane of this.#lanes) lane.end(problem);
    this.#onEnd?.(reason);
  }

  /** Ends the host silently; resolves when the process is gone. */
  kill(): Promise<void> {
    this.#onEnd = undefined;
    this.end('it was closed');
    return this.#exited;
  }

  #take(message: HostReply): void {
    // 0: no answer, but the last words of a thread.
    if (message.number === 0) {
      if (!message.ok) this.#fatal = message.failure.text;
      return;
    }
    const pending = this.#pending.get(message.number);
    this.#pending.delete(message.number);
    if (message.ok) pending?.resolve(message.value);
    else pending?.reject(problemOf(message.failure));
  }
}

/** A session's end of the socket pair. Its thread answers in order. */
class SessionLane implements Lane {
  /** One that is being signed and one behind it, so that the session does not wait for this process. */
  readonly depth = 2;
  /** Long beside the 20 µs that a chunk costs on its way, short beside anything that a person notices. */
  readonly chunkUs = 5000;
  readonly #socket: Socket;
  readonly #splitter = new FrameSplitter();
  readonly #waiting: { resolve: (answer: ChunkAnswer) => void; reject: (error: Error) => void }[] = [];
  readonly #defined = new Set<number>();
  #ended: Problem | undefined;

  constructor(socket: Socket, fail: (reason: string) => void) {
    this.#socket = socket;
    socket.on('data', (data: Buffer) => {
      try {
        this.#splitter.push(data, (frame) => this.#waiting.shift()?.resolve(readAnswer(frame)));
      } catch {
        fail('its host process sent something that is no answer');
      }
    });
    // The end of the process is told by its exit.
    socket.on('error', () => undefined);
  }

  sign(key: LaneKey, inputs: readonly Uint8Array[], count: number): Promise<ChunkAnswer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#defined.has(key.number)) {
        this.#defined.add(key.number);
        this.#socket.write(defineFrame(key.number, key.definition));
      }
      this.#socket.write(signFrame(key.number, inputs, count, key.inputOctets));
    });
  }

  end(problem: Problem): void {
    this.#ended = problem;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.splice(0)) reject(problem);
  }
}

/** `use: per-operation`: each chunk is a request that logs in, signs, logs out. */
export class OperationLane implements Lane {
  readonly depth = 1;
  /** A login is dear, and a whole call is one operation. */
  readonly chunkUs = Infinity;
  readonly #host: HostLink;
  readonly #pin: () => Uint8Array;
  readonly #refused: (code: string) => void;
  readonly #deadlineMs: number;

  /** @param refused told when the token refuses the PIN. */
  constructor(host: HostLink, deadlineMs: number, pin: () => Uint8Array, refused: (code: string) => void) {
    this.#host = host;
    this.#deadlineMs = deadlineMs;
    this.#pin = pin;
    this.#refused = refused;
  }

  async sign(key: LaneKey, inputs: readonly Uint8Array[], count: number): Promise<ChunkAnswer> {
    const request = {
      op: 'sign',
      pin: this.#pin(),
      key: key.definition,
      inputs: Buffer.concat(inputs),
      count,
    } as const;
    try {
      return readAnswer(((await this.#host.ask(request, this.#deadlineMs)) as Buffer).subarray(4));
    } catch (error) {
      if (error instanceof PinRefused) this.#refused(error.message);
      throw error;
    }
  }
}

const CODES: Record<Exclude<HostFailure['kind'], 'pin'>, ProblemCode> = {
  config: 'config',
  unavailable: 'unavailable',
  conflict: 'conflict',
};

function problemOf({ kind, text }: HostFailure): Error {
  return kind === 'pin' ? new PinRefused(text) : new Problem(CODES[kind], text);
}
