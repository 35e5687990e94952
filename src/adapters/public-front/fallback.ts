/**
 * Every connection that the listener does not answer itself: HEAD, chunked and fragmented requests, pipelines, Expect,
 * absolute-form targets, and what is not HTTP at all. node:http reads them; this file adds what it leaves open: one Host
 * and no more, a bound on bodies, no-store on every refusal (T-54), a close that does not reset the client's connection.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { plainReplies, plainReply } from '../../core/policy/caching.ts';
import { LargeReply } from '../../core/reply.ts';
import {
  MAX_BODY_BYTES,
  MAX_HEAD_BYTES,
  type Answer,
  type Question,
  type Reply,
  type Shed,
} from '../../ports/front.ts';
import { dateNow, sendLarge } from './wire.ts';

export interface FallbackLimits {
  readonly idleMs: number;
  readonly requestMs: number;
  readonly writeMs: number;
  readonly stalledMs: number;
  /** How often time-outs are looked for. */
  readonly sweepMs: number;
}

/** What a connection is told of its requests here, so that it is known whether anything is owed on it. */
export interface Progress {
  /** A request is here, whole. */
  asked(): void;
  /** Its reply, of so many octets, is on its way. */
  sending(octets: number): void;
  /** Every reply is out. */
  replied(): void;
}

export class Fallback {
  /** From then on each reply is the last of its connection. */
  closing = false;
  readonly #answer: Answer;
  readonly #shed: (reason: Shed) => void;
  readonly #stalledMs: number;
  readonly #server: Server;
  /** Requests whose reply is not out, by connection, so that a refusal keeps its place behind the replies to the whole ones before it. */
  readonly #underWay = new WeakMap<Socket, Set<IncomingMessage>>();
  readonly #progress = new WeakMap<Socket, Progress>();
  readonly #refused = new WeakMap<Socket, Reply>();
  /** Connections with a reply, sent or under way, that says it is the last. */
  readonly #ending = new WeakSet<Socket>();

  /** @param shed told of each connection that is ended before its client ends it. */
  constructor(
    answer: Answer,
    { idleMs, requestMs, writeMs, stalledMs, sweepMs }: FallbackLimits,
    shed: (reason: Shed) => void = () => undefined,
  ) {
    this.#answer = answer;
    this.#shed = shed;
    this.#stalledMs = stalledMs;
    this.#server = createServer(
      {
        // HTTP/1.0 has no duty to send Host; HTTP/1.1 has, see #serve.
        requireHostHeader: false,
        maxHeaderSize: MAX_HEAD_BYTES,
        headersTimeout: requestMs,
        requestTimeout: requestMs,
        keepAliveTimeout: idleMs,
        connectionsCheckingInterval: sweepMs,
      },
      (request, response) => this.#serve(request, response),
    );
    this.#server.timeout = writeMs;
    this.#server.on('timeout', (socket: Socket) => {
      shed((this.#underWay.get(socket)?.size ?? 0) > 0 ? 'slow-reader' : 'idle');
      socket.destroy();
    });
    // A client that says it is done sending is owed what it has asked for. No documented option: without it only that is lost.
    Object.assign(this.#server, { httpAllowHalfOpen: true });
    this.#server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      // Behind another request in a pipeline the response has no socket yet, and what is kept for it until then would go out
      // between its head and its body. The client sends its body without being told to (RFC 9110 §10.1.1).
      const isWanted = hostIsRight(request) && declaredLength(request) <= MAX_BODY_BYTES;
      if (response.socket !== null && isWanted) response.writeContinue();
      this.#serve(request, response);
    });
    this.#server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      this.#send(request, response, EXPECTATION_FAILED, true);
    });
    this.#server.on('connect', (_request: IncomingMessage, socket: Socket) =>
      this.#refuse(socket, plainReplies.methodNotAllowed),
    );
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      const isEnding = this.#ending.has(socket) || this.#refused.has(socket) || error.code === 'HPE_CLOSED_CONNECTION';
      // What follows the last request of a connection is no request (RFC 9112 §9.6): it is read, and nothing is said to it.
      if (isEnding && error.code !== 'ECONNRESET') socket.resume();
      else if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
      else if (error.code === 'HPE_HEADER_OVERFLOW') this.#refuse(socket, HEAD_TOO_LARGE);
      else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
        shed('slow-request');
        this.#refuse(socket, TIMED_OUT);
      } else this.#refuse(socket, plainReplies.badRequest);
    });
    // A server that never listens starts its checks of headersTimeout and requestTimeout on this event only.
    this.#server.emit('listening');
  }

  /** Takes a connection over for good, with the octets that were read from it. */
  take(socket: Socket, unread: Buffer, progress: Progress): void {
    this.#progress.set(socket, progress);
    this.#server.emit('connection', socket);
    socket.unshift(unread);
  }

  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  /** Ends the checks. Connections are for the listener to close. */
  close(): void {
    this.#server.close();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.#begin(request, response);
    if (!hostIsRight(request)) return this.#send(request, response, plainReplies.badRequest, true);
    if (declaredLength(request) > MAX_BODY_BYTES) return this.#refuseBody(request, response);
    if (request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined) {
      return this.#reply(request, response, undefined);
    }
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= MAX_BODY_BYTES) chunks.push(chunk);
      else if (!response.headersSent) this.#refuseBody(request, response);
    });
    request.on('end', () => {
      if (length <= MAX_BODY_BYTES) this.#reply(request, response, Buffer.concat(chunks));
    });
  }

  #reply(request: IncomingMessage, response: ServerResponse, body: Buffer | undefined): void {
    // Now it is whole: a client that drips a body has asked nothing yet.
    this.#progress.get(request.socket)?.asked();
    const { method = '', url = '', headers, httpVersion } = request;
    const question: Question = {
      method,
      target: url,
      host: headers.host ?? '',
      body: method === 'POST' ? (body ?? Buffer.alloc(0)) : undefined,
      ifNoneMatch: headers['if-none-match'],
      ifModifiedSince: headers['if-modified-since'],
      range: headers.range,
      ifRange: one(headers['if-range']),
      ifMatch: headers['if-match'],
      ifUnmodifiedSince: headers['if-unmodified-since'],
      httpVersion,
    };
    const reply = this.#answer(question);
    // llhttp stops behind a request with Upgrade, though nothing is upgraded, and what came in the same packet is lost: so it is the last.
    const close = httpVersion !== '1.1' || headers.upgrade !== undefined;
    if (reply instanceof Promise) void reply.then((late) => this.#send(request, response, late, close));
    else this.#send(request, response, reply, close);
  }

  #send(request: IncomingMessage, response: ServerResponse, reply: Reply, close: boolean): void {
    if (close) this.#ending.add(request.socket);
    this.#progress.get(request.socket)?.sending(reply.bodyLength);
    response.writeHead(reply.status, this.#fields(reply, close));
    if (request.method === 'HEAD') return void response.end();
    if (reply instanceof LargeReply) return this.#sendLarge(request, response, reply);
    response.end(reply.body);
  }

  #sendLarge({ socket }: IncomingMessage, response: ServerResponse, reply: LargeReply): void {
    // Until the next request sets it anew.
    socket.setTimeout(this.#stalledMs);
    const cut = (): void => {
      this.#shed('slow-reader');
      socket.destroy();
    };
    sendLarge(response, reply, cut, () => response.end());
  }

  /**
   * 413 goes out at once, but the connection is closed only when the body has come or the patience is over: closing with
   * octets unread makes the kernel reset the connection, and the client would lose the reply (RFC 9112 §9.6).
   */
  #refuseBody(request: IncomingMessage, response: ServerResponse): void {
    this.#ending.add(request.socket);
    response.writeHead(413, this.#fields(plainReplies.tooLarge, true));
    response.write(plainReplies.tooLarge.body);
    let discarded = 0;
    const finish = (): void => void response.end();
    const patience = setTimeout(finish, LINGER_MS).unref();
    response.once('close', () => clearTimeout(patience));
    request.once('end', finish);
    request.on('data', (chunk: Buffer) => {
      discarded += chunk.length;
      if (discarded > LINGER_BYTES) finish();
    });
  }

  /** For node:http: names and values in turn. Without a Connection field it adds its own, keep-alive. */
  #fields(reply: Reply, close: boolean): string[] {
    const fields = reply.headers
      .slice(0, -2)
      .split('\r\n')
      .flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]);
    return close || this.closing ? [...fields, 'Connection', 'close'] : fields;
  }

  #begin(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    let underWay = this.#underWay.get(socket);
    if (underWay === undefined) this.#underWay.set(socket, (underWay = new Set()));
    underWay.add(request);
    const refuseNext = (): void => {
      underWay.delete(request);
      const refusal = this.#refused.get(socket);
      // Behind a reply that has said to be the last, nothing is said.
      if (refusal !== undefined && !this.#ending.has(socket)) this.#refuseInTurn(socket, refusal);
    };
    // Ahead of node:http, which at this event ends the socket of a client that has ended its own sending.
    response.prependOnceListener('finish', refuseNext);
    response.once('close', () => {
      refuseNext();
      if (underWay.size === 0) this.#progress.get(socket)?.replied();
    });
  }

  /** What follows on the connection is not read as a request any more. */
  #refuse(socket: Socket, refusal: Reply): void {
    if (this.#refused.has(socket) || this.#ending.has(socket)) return;
    this.#refused.set(socket, refusal);
    this.#refuseInTurn(socket, refusal);
  }

  #refuseInTurn(socket: Socket, refusal: Reply): void {
    // A whole request has a reply coming, even if its body has not been handed to #serve yet.
    for (const request of this.#underWay.get(socket) ?? []) if (request.complete) return;
    writeRefusal(socket, refusal);
  }
}

/** The client's octets go on being read, into nothing, until it has seen the refusal or its time is up. */
function writeRefusal(socket: Socket, refusal: Reply): void {
  if (!socket.writable) return;
  socket.end(Buffer.from(refusal.image(false, dateNow())));
  const patience = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('end', () => socket.destroy());
  socket.once('close', () => clearTimeout(patience));
  socket.resume();
}

/** RFC 9112 §3.2: 400 to HTTP/1.1 without Host and to anyone with two. Other versions than 1.0 and 1.1 have no say here. */
function hostIsRight({ rawHeaders, httpVersion }: IncomingMessage): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if ((rawHeaders[i] as string).toLowerCase() === 'host') hosts++;
  return httpVersion === '1.1' ? hosts === 1 : httpVersion === '1.0' && hosts <= 1;
}

/** A field that Node keeps several of is none that can be heeded. */
function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join() : value;
}

function declaredLength({ headers }: IncomingMessage): number {
  return Number(headers['content-length'] ?? 0);
}

const TIMED_OUT = plainReply(408, 'Request took too long\n');
const EXPECTATION_FAILED = plainReply(417, 'Expectation not supported\n');
const HEAD_TOO_LARGE = plainReply(431, 'Head too large\n');

/** How long and how much a refused client may go on sending. */
const LINGER_MS = 1000;
const LINGER_BYTES = 262_144;
