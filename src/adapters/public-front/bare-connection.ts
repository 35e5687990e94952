/**
 * A plain connection without a net.Socket. Clients of OCSP open a connection per request, and making and ending a
 * net.Socket is half of what such a request costs (bench/README.md). So a connection is held by the handle that node:net
 * would have wrapped; whatever is not a whole plain request with its reply at hand makes it a net.Socket after all.
 *
 * Handles are no documented interface of Node. They were found alike in Node 20, 22 and 24; canBeBare looks at a live one
 * before any is used, and where something is missing every connection stays a net.Socket. `hold: 'socket'` does the same.
 */
import { Socket, type Server } from 'node:net';
import { MAX_IMAGE_BODY } from '../../core/reply.ts';
import type { Reply } from '../../ports/front.ts';
import { Connection, type Host } from './connection.ts';
import { readWhole } from './request.ts';
import { dateNow } from './wire.ts';

/** A TCP connection, as libuv has it. */
export interface Handle {
  /** Called with what was read; with undefined at the end and on errors. */
  onread: (octets: ArrayBuffer | undefined) => void;
  /** Octets that the kernel has not taken yet. */
  readonly writeQueueSize: number;
  readStart(): number;
  readStop(): number;
  /** Writes what the kernel takes at once; `request` is used only if something is left. 0, or an error number. */
  writeBuffer(request: WriteRequest, octets: Buffer): number;
  close(): void;
}

interface WriteRequest {
  oncomplete: (status: number) => void;
  handle?: Handle;
}

/** What canBeBare found out. */
export interface Tools {
  /** Makes the request that writeBuffer needs. */
  readonly WriteRequest: new () => WriteRequest;
}

/** Looks at the first write on a connection: calls `found` if handles are as this file takes them to be. */
export function canBeBare(socket: Socket, found: (tools: Tools) => void): void {
  const handle = (socket as unknown as { _handle?: Handle })._handle;
  if (handle === undefined || handle === null) return;
  const methods = [handle.readStart, handle.readStop, handle.writeBuffer, handle.close, handle.onread];
  if (methods.some((method) => typeof method !== 'function') || typeof handle.writeQueueSize !== 'number') return;
  // For this one write it shadows the method of the prototype.
  handle.writeBuffer = (request, octets) => {
    delete (handle as Partial<Handle>).writeBuffer;
    const { constructor } = request as unknown as { constructor: Tools['WriteRequest'] };
    if (constructor.name === 'WriteWrap') found({ WriteRequest: constructor });
    return handle.writeBuffer(request, octets);
  };
}

/** From now on the server's connections come as handles. */
export function acceptBare(server: Server, accept: (handle: Handle) => void): void {
  const listening = (server as unknown as { _handle?: { onconnection?: OnConnection } })._handle;
  const wrap = listening?.onconnection;
  if (listening === undefined || listening === null || typeof wrap !== 'function') return;
  listening.onconnection = function (error, handle) {
    if (error !== 0 || handle === undefined) wrap.call(this, error, handle);
    else accept(handle);
  };
}

type OnConnection = (this: unknown, error: number, handle: Handle | undefined) => void;

export interface BareHost extends Host {
  adopt(connection: Connection): void;
  gone(connection: Connection | BareConnection): void;
}

export class BareConnection {
  readonly #handle: Handle;
  readonly #tools: Tools;
  readonly #host: BareHost;
  /** Until when a request must have come, or the rest of a reply been taken. */
  expiresAtTick: number;
  #open = true;
  /** A reply is awaited, or not with the kernel yet. Meanwhile nothing is read: what follows waits in the kernel. */
  #busy = false;

  constructor(handle: Handle, tools: Tools, host: BareHost) {
    this.#handle = handle;
    this.#tools = tools;
    this.#host = host;
    this.expiresAtTick = host.tick + host.limits.requestTicks;
    handle.onread = (octets) => this.#read(octets);
    if (handle.readStart() !== 0) this.close();
  }

  /** No reply is under way. */
  get idle(): boolean {
    return !this.#busy;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#handle.close();
    this.#host.gone(this);
  }

  #read(octets: ArrayBuffer | undefined): void {
    if (!this.#open) return;
    // The end of the client's sending, or of the connection: nothing is owed.
    if (octets === undefined) return this.close();
    const chunk = Buffer.from(octets);
    const request = readWhole(chunk);
    if (request === undefined) return this.#become().read(chunk);
    const reply = this.#host.answer(request);
    if (reply instanceof Promise) this.#await(reply, request.keepAlive);
    else this.#finish(reply, request.keepAlive);
  }

  #finish(reply: Reply, keepAlive: boolean): void {
    if (reply.bodyLength > MAX_IMAGE_BODY) this.#become().finish(reply, keepAlive);
    else this.#reply(reply, keepAlive && !this.#host.closing);
  }

  #await(reply: Promise<Reply>, keepAlive: boolean): void {
    this.#busy = true;
    // Whoever answers keeps within its time; the sweep is for clients.
    this.expiresAtTick = Infinity;
    this.#handle.readStop();
    void reply.then((late) => {
      if (!this.#open) return;
      this.#busy = false;
      this.#finish(late, keepAlive);
      if (this.#open && !this.#busy && this.#handle.readStart() !== 0) this.close();
    });
  }

  #reply(reply: Reply, keepAlive: boolean): void {
    const handle = this.#handle;
    const request = (spare ??= new this.#tools.WriteRequest());
    if (handle.writeBuffer(request, reply.image(keepAlive, dateNow())) !== 0) return this.close();
    const { tick, limits } = this.#host;
    if (handle.writeQueueSize === 0) {
      // All is with the kernel, which sends it before the end.
      if (keepAlive) this.expiresAtTick = tick + limits.idleTicks;
      else this.close();
      return;
    }
    spare = undefined;
    reply.leave();
    this.#busy = true;
    this.expiresAtTick = tick + limits.writeTicks;
    handle.readStop();
    request.handle = handle;
    request.oncomplete = (status) => {
      if (!this.#open) return;
      this.#busy = false;
      this.expiresAtTick = this.#host.tick + limits.idleTicks;
      if (status !== 0 || !keepAlive || handle.readStart() !== 0) this.close();
    };
  }

  /** Becomes a net.Socket, as node:net would have made it. */
  #become(): Connection {
    this.#open = false;
    // A socket starts reading itself, and must find the handle at rest.
    this.#handle.readStop();
    const options = { handle: this.#handle, allowHalfOpen: true, readable: true, writable: true };
    const connection = new Connection(new Socket(options), this.#host);
    this.#host.adopt(connection);
    this.#host.gone(this);
    return connection;
  }
}

/** Of a write that the kernel took at once nothing is kept, so its request serves for the next one. */
let spare: WriteRequest | undefined;
