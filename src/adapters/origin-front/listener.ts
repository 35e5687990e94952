/**
 * The origin listener: uWebSockets.js, for CDNs, load balancers and other HTTP/1.1 clients that keep their connections.
 * Same contract as the public listener (ports/front.ts), with what the library decides for itself:
 *
 * - 505 to HTTP/1.0 and to absolute-form targets, so it is not for stapling servers;
 * - no reply to a request after an empty line, two different Content-Length fields accepted (20.51);
 * - 10 s for a request to arrive and for an idle connection, not configurable;
 * - a body must arrive at 16 kB a second, or within 10 s;
 * - a connection too many is closed unanswered: out of files the library would spin;
 * - a second request that comes while the first waits for its reply ends the connection, and so do octets that are no request; replies
 *   to whatever came in the same packet are lost then, and a refusal takes their place;
 * - no chunk extensions, no trailers; 100 (Continue) to whoever sends Expect;
 * - what came in one packet with a request that is the last, or too large, is answered as well;
 * - its own refusals (400, 431, 505) carry no Cache-Control;
 * - it must end before its process or worker thread does; scale it with processes.
 */
import { plainReplies } from '../../core/policy/caching.ts';
import { Problem } from '../../core/problem.ts';
import { LargeReply, REASON_PHRASES } from '../../core/reply.ts';
import {
  MAX_BODY_BYTES,
  STALLED_MS,
  type Answer,
  type Front,
  type Question,
  type Reply,
  type Shed,
} from '../../ports/front.ts';
import { LargeReplies } from './large-reply.ts';
import type { ListenToken, Uws, UwsApp, UwsRequest, UwsResponse } from './uws.ts';

export interface OriginFrontOptions {
  /** loadUws().uws */
  readonly uws: Uws;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly answer: Answer;
  /** Connections above are closed unanswered. Keep it below the limit of open files. Default 3000. */
  readonly maxConnections?: number;
  /** Told of each connection that is ended before its client ends it; not of the library's own time-outs. */
  readonly shed?: ((reason: Shed) => void) | undefined;
  /** How long a large reply may wait for a reader that takes nothing, in ms. Default STALLED_MS. */
  readonly stalledMs?: number;
  /** Other processes listen on the port too, and the kernel spreads connections over them (SO_REUSEPORT). */
  readonly shared?: boolean;
}

/** @throws Problem `config` naming host and port when it cannot listen there. */
export async function openOriginFront(options: OriginFrontOptions): Promise<Front> {
  const listener = new Listener(options);
  await listener.listen();
  return listener;
}

class Listener implements Front {
  readonly engine = 'uws';
  readonly #uws: Uws;
  readonly #app: UwsApp;
  readonly #answer: Answer;
  readonly #listenOptions: number;
  readonly #host: string;
  #port: number;
  #token: ListenToken | undefined;
  /** The question of the GET that is being answered, for one after the other. */
  #reused = new UwsQuestion();
  #closing = false;
  readonly #large: LargeReplies;
  #connections = 0;
  /** Requests whose reply is not written yet. */
  #underWay = 0;
  /** Requests ever: close() waits until this stands still. */
  #served = 0;

  constructor({
    uws,
    host,
    port,
    answer,
    shared = false,
    maxConnections = 3000,
    shed = () => undefined,
    stalledMs = STALLED_MS,
  }: OriginFrontOptions) {
    this.#uws = uws;
    this.#listenOptions = shared ? 0 : uws.LIBUS_LISTEN_EXCLUSIVE_PORT;
    this.#answer = answer;
    this.#host = host;
    this.#port = port;
    this.#large = new LargeReplies(() => shed('slow-reader'), stalledMs);
    this.#app = uws
      .App()
      .filter((response, change) => {
        this.#connections += change;
        if (change < 0 || this.#connections <= maxConnections) return;
        shed('full');
        response.close();
      })
      .get('/*', (response, request) => this.#get(response, request))
      .post('/*', (response, request) => this.#post(response, request))
      .any('/*', (response, request) => this.#other(response, request));
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: this.#host, port: this.#port };
  }

  get connections(): number {
    return this.#connections;
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#app.listen(this.#host, this.#port, this.#listenOptions, (token) => {
        if (token === false) {
          // The library does not say why.
          const at = { field: 'origin listener', value: `${this.#host}:${this.#port}` };
          return reject(new Problem('config', 'cannot listen: the port is taken, not permitted or not ours', at));
        }
        this.#token = token;
        this.#port = this.#uws.us_socket_local_port(token);
        resolve();
      });
    });
  }

  drain(): void {
    this.#closing = true;
  }

  /** The library does not show a request whose head is half there: it counts as arrived only if it is whole by the end of a quiet spell. */
  async close(graceMs: number): Promise<void> {
    this.drain();
    // Connections that the kernel has set up but not handed over would be reset with the port: take them in first.
    for (let turn = 0, before = -1; turn < 50 && before !== this.#connections; turn++) {
      before = this.#connections;
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    }
    if (this.#token !== undefined) this.#uws.us_listen_socket_close(this.#token);
    this.#token = undefined;
    for (let waited = 0, before = -1; waited < graceMs && this.#connections > 0; waited += QUIET_MS) {
      if (this.#underWay === 0 && this.#served === before) break;
      before = this.#served;
      await new Promise((resolve) => setTimeout(resolve, Math.min(QUIET_MS, graceMs - waited)));
    }
    this.#app.close();
  }

  /** The hot path: no more calls into the library than what it takes to be right. */
  #get(response: UwsResponse, request: UwsRequest): void {
    this.#served++;
    const question = this.#reused;
    question.is('GET', request);
    const reply = this.#answer(question);
    if (!(reply instanceof Promise)) return this.#write(response, reply, false);
    this.#reused = new UwsQuestion();
    this.#replyLate(response, question, reply);
  }

  #post(response: UwsResponse, request: UwsRequest): void {
    this.#served++;
    const question = new UwsQuestion();
    question.is('POST', request);
    if (hasNoBody(request)) {
      question.body = EMPTY;
      return this.#reply(response, question);
    }
    question.keepAddress();
    this.#read(response, (body) => {
      question.body = body;
      this.#reply(response, question);
    });
  }

  #other(response: UwsResponse, request: UwsRequest): void {
    this.#served++;
    const question = new UwsQuestion();
    question.is(request.getCaseSensitiveMethod(), request);
    if (question.method === 'HEAD' || hasNoBody(request)) return this.#reply(response, question);
    question.settle();
    this.#read(response, () => this.#reply(response, question));
  }

  /** Calls back with the whole body, not at all when the client goes away or sends too much. */
  #read(response: UwsResponse, whole: (body: Buffer) => void): void {
    this.#underWay++;
    let body: Buffer | undefined;
    let open = true;
    const over = (): void => {
      if (open) this.#underWay--;
      open = false;
    };
    response.onAborted(over);
    response.onData((chunk, isLast) => {
      if (!open) return;
      if ((body?.length ?? 0) + chunk.byteLength > MAX_BODY_BYTES) {
        over();
        // Closes before the rest has come: a client still sending may miss the reply.
        return write(response, plainReplies.tooLarge, false, true);
      }
      // The chunk is the library's again when this returns.
      const copy = Buffer.from(new Uint8Array(chunk));
      body = body === undefined ? copy : Buffer.concat([body, copy]);
      if (!isLast) return;
      over();
      whole(body);
    });
  }

  #reply(response: UwsResponse, question: UwsQuestion): void {
    const reply = this.#answer(question);
    if (reply instanceof Promise) this.#replyLate(response, question, reply);
    else this.#write(response, reply, question.method === 'HEAD');
  }

  #replyLate(response: UwsResponse, question: UwsQuestion, reply: Promise<Reply>): void {
    question.settle();
    this.#underWay++;
    let aborted = false;
    response.onAborted(() => {
      aborted = true;
      this.#underWay--;
    });
    void reply.then((late) => {
      if (aborted) return;
      this.#underWay--;
      response.cork(() => this.#write(response, late, question.method === 'HEAD'));
    });
  }

  #write(response: UwsResponse, reply: Reply, headersOnly: boolean): void {
    if (!(reply instanceof LargeReply) || headersOnly) return write(response, reply, headersOnly, this.#closing);
    writeFields(response, reply, this.#closing);
    this.#underWay++;
    this.#large.send(response, reply, this.#closing, () => this.#underWay--);
  }
}

/** Asks the library for a field only when the answer wants it: each costs a call into C++. */
class UwsQuestion implements Question {
  method = '';
  readonly httpVersion = '1.1';
  body: Uint8Array | undefined = undefined;
  #request: UwsRequest | undefined = undefined;
  #target: string | undefined = undefined;
  #host: string | undefined = undefined;
  #ifNoneMatch: string | undefined = undefined;
  #ifModifiedSince: string | undefined = undefined;

  // For files alone, which are answered while the library's request is there: not worth a field that each question would have to clear.
  get range(): string | undefined {
    return this.#request?.getHeader(RANGE) || undefined;
  }

  get ifRange(): string | undefined {
    return this.#request?.getHeader(IF_RANGE) || undefined;
  }

  get ifMatch(): string | undefined {
    return this.#request?.getHeader(IF_MATCH) || undefined;
  }

  get ifUnmodifiedSince(): string | undefined {
    return this.#request?.getHeader(IF_UNMODIFIED_SINCE) || undefined;
  }

  /** Becomes the question that this request asks. */
  is(method: string, request: UwsRequest): void {
    this.method = method;
    this.#request = request;
    this.#target = undefined;
    this.#host = undefined;
    this.#ifNoneMatch = undefined;
    this.#ifModifiedSince = undefined;
  }

  get target(): string {
    return (this.#target ??= this.#request?.getUrl() ?? '');
  }

  get host(): string {
    return (this.#host ??= this.#request?.getHeader(HOST) ?? '');
  }

  get ifNoneMatch(): string | undefined {
    return (this.#ifNoneMatch ??= this.#request?.getHeader(IF_NONE_MATCH)) || undefined;
  }

  get ifModifiedSince(): string | undefined {
    return (this.#ifModifiedSince ??= this.#request?.getHeader(IF_MODIFIED_SINCE)) || undefined;
  }

  /** Reads what counts in a POST: conditions do not (RFC 9110 §13.1). */
  keepAddress(): void {
    void [this.target, this.host];
    this.#request = undefined;
  }

  /** Reads everything, for use after the handler has returned and the library's request is gone. */
  settle(): void {
    void [this.target, this.host, this.ifNoneMatch, this.ifModifiedSince];
    this.#request = undefined;
  }
}

/** Then onData is not always called to say so (20.51, when the head came in pieces). */
function hasNoBody(request: UwsRequest): boolean {
  const length = request.getHeader(LENGTH);
  return (length === '' || Number(length) === 0) && request.getHeader(TRANSFER_ENCODING) === '';
}

/** Not out of Buffer's pool: the library reads it by its whole ArrayBuffer. */
function octets(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

function write(response: UwsResponse, reply: Reply, headersOnly: boolean, close: boolean): void {
  writeFields(response, reply, close);
  if (reply.status !== 304 && !headersOnly) {
    response.end(reply.body, close);
    return;
  }
  // With any argument endWithoutBody counts as no response at all, and the process ends (20.51). So the length is
  // written as a field, and to close is left to the client.
  if (headersOnly && reply.status !== 304) response.writeHeader(CONTENT_LENGTH, Buffer.from(String(reply.bodyLength)));
  response.endWithoutBody();
}

function writeFields(response: UwsResponse, reply: Reply, close: boolean): void {
  if (reply.status !== 200) response.writeStatus(`${reply.status} ${REASON_PHRASES[reply.status]}`);
  // All fields as the value of the first: one call in place of one per field is worth a tenth.
  response.writeHeader(reply.status === 304 ? CACHE_CONTROL : CONTENT_TYPE, reply.fields);
  if (close) response.writeHeader(CONNECTION, CLOSE);
}

const EMPTY = Buffer.alloc(0);
const [CONNECTION, CLOSE, CONTENT_LENGTH] = [octets('Connection'), octets('close'), octets('Content-Length')];
/** With one of them every reply begins (core/policy/caching.ts). */
const [CONTENT_TYPE, CACHE_CONTROL] = [octets('Content-Type'), octets('Cache-Control')];
const [HOST, LENGTH, TRANSFER_ENCODING] = [octets('host'), octets('content-length'), octets('transfer-encoding')];
const [IF_NONE_MATCH, IF_MODIFIED_SINCE] = [octets('if-none-match'), octets('if-modified-since')];
const [RANGE, IF_RANGE] = [octets('range'), octets('if-range')];
const [IF_MATCH, IF_UNMODIFIED_SINCE] = [octets('if-match'), octets('if-unmodified-since')];
/** No new request for so long, and close() takes the connections for idle. */
const QUIET_MS = 100;
