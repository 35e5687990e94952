/**
 * One connection of the public listener, as a net.Socket. Answers what readWhole reads, in order; gives the rest to
 * node:http with the octets that it has not used.
 */
import type { Socket } from 'node:net';
import { LargeReply } from '../../core/reply.ts';
import type { Answer, Reply, Shed } from '../../ports/front.ts';
import type { Fallback, Progress } from './fallback.ts';
import { readWhole } from './request.ts';
import { dateNow, sendLarge, writeReply } from './wire.ts';

/** What its listener is to a connection. */
export interface Host {
  readonly answer: Answer;
  readonly fallback: Fallback;
  readonly limits: Limits;
  /** From then on each reply is the last of its connection. */
  readonly closing: boolean;
  /** Counts sweeps: the clock of time-outs, which a step of the wall clock cannot disturb and a hit need not read. */
  readonly tick: number;
  /** Told of each connection that is ended before its client ends it. */
  readonly shed: (reason: Shed) => void;
  /** Called once, when the connection is gone. */
  gone(connection: Connection): void;
}

export interface Limits {
  readonly idleTicks: number;
  readonly requestTicks: number;
  readonly writeMs: number;
  readonly stalledMs: number;
  readonly writeTicks: number;
  /** How much of a reply must be taken in a tick, on the whole. */
  readonly octetsPerTick: number;
  /** How long the largest may take. */
  readonly longestTicks: number;
}

export class Connection implements Progress {
  readonly socket: Socket;
  readonly #host: Host;
  /** Until when a request must have come, or the last octet of a reply been taken; renewed with each. */
  expiresAtTick: number;
  #writingSince = 0;
  #state: 'reading' | 'answering' | 'writing' | 'handed over' = 'reading';
  /** Something came while a reply was under way, and waits in the socket. */
  #held = false;
  #ended = false;
  readonly #onData: (chunk: Buffer) => void;
  readonly #onEnd: () => void;

  constructor(socket: Socket, host: Host) {
    this.socket = socket;
    this.#host = host;
    this.expiresAtTick = host.tick + host.limits.requestTicks;
    this.#onData = (chunk) => this.read(chunk);
    this.#onEnd = () => this.#end();
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    // A client that goes away is its own affair; 'close' follows.
    socket.on('error', ignore);
    socket.on('close', () => host.gone(this));
  }

  /** Nothing of a request is here, and no reply is under way. */
  get idle(): boolean {
    return this.#state === 'reading';
  }

  /** A reply is on its way. */
  get writing(): boolean {
    return this.#state === 'writing';
  }

  /** No reply is owed: closing it costs the client a request that it has not finished, at most. */
  get spare(): boolean {
    return this.#state === 'reading' || this.#state === 'handed over';
  }

  /** It has been taking one reply for longer than a client that reads does without a pause. */
  get slow(): boolean {
    return this.writing && this.#host.tick - this.#writingSince > this.#host.limits.writeTicks / 4;
  }

  /** Octets from the client. Called from without only to begin with what was read before. */
  read(chunk: Buffer): void {
    if (this.#state !== 'reading') {
      // Back into the socket, so that a client's end of sending is heard only behind what it has asked before.
      this.#held = true;
      this.socket.pause();
      this.socket.unshift(chunk);
      return;
    }
    const request = readWhole(chunk);
    if (request === undefined) return this.#handOver(chunk);
    this.finish(this.#host.answer(request), request.keepAlive);
  }

  /** Sends the reply when it is there. Called from without only for a request that was read before. */
  finish(reply: Reply | Promise<Reply>, keepAlive: boolean): void {
    if (!(reply instanceof Promise)) return this.#reply(reply, keepAlive);
    this.#state = 'answering';
    void reply.then((late) => this.#reply(late, keepAlive));
  }

  #reply(reply: Reply, wanted: boolean): void {
    const { socket } = this;
    if (socket.destroyed) return;
    const keepAlive = wanted && !this.#ended && !this.#host.closing;
    if (reply instanceof LargeReply) return this.#download(reply, keepAlive);
    const flushed = writeReply(socket, reply, keepAlive);
    if (keepAlive && flushed) return this.#next();
    this.sending(reply.bodyLength);
    if (flushed) {
      // All is with the kernel, which sends it before the end: no shutdown() is needed, and close() says the same.
      socket.destroy();
      return;
    }
    socket.setTimeout(this.#host.limits.writeMs, () => {
      this.#host.shed('slow-reader');
      socket.destroy();
    });
    if (!keepAlive) return socket.destroySoon();
    // Not 'drain', which comes only after more than a socket likes to hold: what is left of a small reply is less.
    socket.write('', (error) => {
      if (error) return;
      socket.setTimeout(0);
      this.#next();
    });
  }

  #download(reply: LargeReply, keepAlive: boolean): void {
    const { socket } = this;
    const cut = (): void => {
      this.#host.shed('slow-reader');
      socket.destroy();
    };
    this.sending(reply.bodyLength);
    socket.setTimeout(this.#host.limits.stalledMs, cut);
    socket.write(reply.image(keepAlive, dateNow()));
    if (socket.writableLength > 0) reply.leave();
    sendLarge(socket, reply, cut, () => {
      // All is with the kernel, as above.
      socket.setTimeout(0, cut);
      if (keepAlive) this.#next();
      else socket.destroy();
    });
  }

  /** The reply is out, the connection stays. */
  #next(): void {
    const { tick, limits } = this.#host;
    this.#state = 'reading';
    this.expiresAtTick = tick + limits.idleTicks;
    if (this.#held) {
      this.#held = false;
      this.socket.resume();
    } else if (this.#ended) this.socket.end();
  }

  #handOver(chunk: Buffer): void {
    const { socket } = this;
    this.#state = 'handed over';
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.setNoDelay(true);
    this.#host.fallback.take(socket, chunk, this);
  }

  asked(): void {
    this.#state = 'answering';
  }

  sending(octets: number): void {
    const { tick, limits } = this.#host;
    this.#state = 'writing';
    this.#writingSince = tick;
    const ticks = Math.min(Math.ceil(octets / limits.octetsPerTick), limits.longestTicks);
    this.expiresAtTick = tick + limits.writeTicks + ticks;
  }

  replied(): void {
    this.#state = 'handed over';
    this.expiresAtTick = this.#host.tick + this.#host.limits.idleTicks;
  }

  #end(): void {
    this.#ended = true;
    if (this.#state === 'reading') this.socket.destroy();
  }
}

function ignore(): void {
  // See where it is registered.
}
