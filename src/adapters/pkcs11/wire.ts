/**
 * What goes between the signer's process and the token's host. Two ways, because they carry different things:
 *
 * - the IPC channel of node:child_process: few requests, structured (HostRequest, HostReply). The PIN goes this way only.
 * - one socket pair for each session: signatures, as frames, read and written by the session's thread without an event loop.
 *   The thread answers in the order of the frames, so that frames need no numbers.
 *
 * Frame: length of the rest (u32), kind or status (u8), 0 (u8), then (all integers big-endian)
 *   define   key number (u16), JSON of KeyDefinition
 *   sign     key number (u16), count (u16), octets of each input (u16), the inputs
 *   answer   count (u16), microseconds spent (u32), count × (return value (u32), length (u16), signature or error text)
 *   key trouble (instead of an answer)  return value or 0 (u32), text
 * A sign frame without inputs asks whether the key is there and ours.
 */
import type { CkrFailure } from './ckr.ts';

/** Inputs in one frame: the most that an urgent one may have to wait for. */
export const MAX_ITEMS = 64;
/** No honest frame comes near it: 64 signatures of RSA-4096 are 33 kB. */
export const MAX_FRAME = 1 << 20;

export const DEFINE = 1;
const SIGN = 2;

/** How a frame of the host ends for the key as a whole. */
export type ChunkStatus = 'answer' | 'key-missing' | 'key-wrong' | 'token-failed';
const STATUS: readonly ChunkStatus[] = ['answer', 'key-missing', 'key-wrong', 'token-failed'];

/** How the host finds a private key, and knows that it is the right one. */
export interface KeyDefinition {
  /** CKA_LABEL. */
  readonly object?: string;
  /** CKA_ID, hex. */
  readonly id?: string;
  /** SubjectPublicKeyInfo, base64: the key must sign what this verifies (P7). */
  readonly spki: string;
  /** CKM_RSA_PKCS over a DigestInfo, or CKM_ECDSA over a digest. */
  readonly kind: 'rsa' | 'ecdsa';
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  /** Octets of a signature as the token gives it: r || s for ECDSA. */
  readonly signatureOctets: number;
}

export interface ChunkAnswer {
  readonly status: ChunkStatus;
  /** Why, when the status is not `answer`. */
  readonly failure: CkrFailure | undefined;
  /** Spent signing, the search for the key apart. */
  readonly microseconds: number;
  /** For each input: the signature as the token gives it, or why there is none. */
  readonly items: readonly (Buffer | CkrFailure)[];
}

export function defineFrame(key: number, definition: KeyDefinition): Buffer {
  const json = Buffer.from(JSON.stringify(definition));
  const frame = Buffer.allocUnsafe(8 + json.length);
  frame.writeUInt32BE(4 + json.length, 0);
  frame.writeUInt16BE(DEFINE << 8, 4);
  frame.writeUInt16BE(key, 6);
  json.copy(frame, 8);
  return frame;
}

/** @param inputs of `count` items, packed. */
export function signFrame(key: number, inputs: readonly Uint8Array[], count: number, itemOctets: number): Buffer {
  const frame = Buffer.allocUnsafe(12 + count * itemOctets);
  frame.writeUInt32BE(frame.length - 4, 0);
  frame.writeUInt16BE(SIGN << 8, 4);
  frame.writeUInt16BE(key, 6);
  frame.writeUInt16BE(count, 8);
  frame.writeUInt16BE(itemOctets, 10);
  let at = 12;
  for (const part of inputs) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

/** Written into by the session's thread while it signs. */
export class AnswerFrame {
  readonly #buffer = Buffer.alloc(12 + MAX_ITEMS * 1024);
  #at = 12;
  #count = 0;

  begin(): void {
    this.#at = 12;
    this.#count = 0;
  }

  /** Where the token shall put the next signature. */
  room(octets: number): Buffer {
    return this.#buffer.subarray(this.#at + 6, this.#at + 6 + octets);
  }

  /** The signature lies in room(). */
  signed(octets: number): void {
    this.#header(0, octets);
  }

  failed({ code, text }: CkrFailure): void {
    const octets = this.#buffer.write(text.slice(0, 200), this.#at + 6, 'latin1');
    // 0 says that there is a signature.
    this.#header(code === 0 ? 0xffff_ffff : code, octets);
  }

  finish(microseconds: number): Buffer {
    const buffer = this.#buffer;
    buffer.writeUInt32BE(this.#at - 4, 0);
    buffer.writeUInt16BE(STATUS.indexOf('answer') << 8, 4);
    buffer.writeUInt16BE(this.#count, 6);
    buffer.writeUInt32BE(Math.min(Math.round(microseconds), 0xffff_ffff), 8);
    return buffer.subarray(0, this.#at);
  }

  #header(code: number, octets: number): void {
    this.#buffer.writeUInt32BE(code, this.#at);
    this.#buffer.writeUInt16BE(octets, this.#at + 4);
    this.#at += 6 + octets;
    this.#count++;
  }
}

export function troubleFrame(status: ChunkStatus, { code, text }: CkrFailure): Buffer {
  const words = Buffer.from(text.slice(0, 200));
  const frame = Buffer.allocUnsafe(10 + words.length);
  frame.writeUInt32BE(frame.length - 4, 0);
  frame.writeUInt16BE(STATUS.indexOf(status) << 8, 4);
  frame.writeUInt32BE(code, 6);
  words.copy(frame, 10);
  return frame;
}

/** @param frame without its length. @throws RangeError when it is none of ours. */
export function readAnswer(frame: Buffer): ChunkAnswer {
  const status = STATUS[frame.readUInt8(0)];
  if (status === undefined) throw new RangeError('unknown status');
  if (status !== 'answer') {
    const failure = { code: frame.readUInt32BE(2), text: frame.toString('utf8', 6) };
    return { status, failure, microseconds: 0, items: [] };
  }
  const count = frame.readUInt16BE(2);
  const items: (Buffer | CkrFailure)[] = [];
  let at = 8;
  for (let i = 0; i < count; i++) {
    const code = frame.readUInt32BE(at);
    const end = at + 6 + frame.readUInt16BE(at + 4);
    if (end > frame.length) throw new RangeError('cut off');
    items.push(code === 0 ? frame.subarray(at + 6, end) : { code, text: frame.toString('latin1', at + 6, end) });
    at = end;
  }
  return { status, failure: undefined, microseconds: frame.readUInt32BE(4), items };
}

/** Cuts a stream into frames, given without their length. */
export class FrameSplitter {
  #rest: Buffer | undefined;

  /** @throws RangeError when a frame would be longer than MAX_FRAME. */
  push(received: Buffer, take: (frame: Buffer) => void): void {
    const data = this.#rest === undefined ? received : Buffer.concat([this.#rest, received]);
    let at = 0;
    while (data.length - at >= 4) {
      const end = at + 4 + data.readUInt32BE(at);
      if (end - at > MAX_FRAME) throw new RangeError('frame too long');
      if (end > data.length) break;
      take(data.subarray(at + 4, end));
      at = end;
    }
    this.#rest = at === data.length ? undefined : data.subarray(at);
  }
}

/** Which token of which module. */
export interface TokenPlace {
  readonly module: string;
  readonly label: string | undefined;
  readonly serial: string | undefined;
}

export type HostRequest =
  /** Loads and initializes the module, finds the token. */
  | { readonly op: 'open'; readonly place: TokenPlace }
  /** Logs in; `sessions` threads begin to read their sockets. 0: logs out again at once (`use: per-operation`). */
  | { readonly op: 'login'; readonly pin: Uint8Array; readonly sessions: number }
  | { readonly op: 'logout' }
  /** A PIN comes along where no login is held. */
  | { readonly op: 'list'; readonly pin: Uint8Array | undefined }
  | {
      readonly op: 'generate';
      readonly pin: Uint8Array | undefined;
      readonly type: string;
      readonly label: string;
      readonly id: Uint8Array;
    }
  /** `use: per-operation`: logs in, signs, logs out. `inputs` are packed. */
  | {
      readonly op: 'sign';
      readonly pin: Uint8Array;
      readonly key: KeyDefinition;
      readonly inputs: Uint8Array;
      readonly count: number;
    };

export interface HostCall {
  readonly number: number;
  readonly request: HostRequest;
}

export type HostReply = { readonly number: number } & (
  { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly failure: HostFailure }
);

export interface HostFailure extends CkrFailure {
  /** What it is for the operator. `pin`: refused, and not to be tried again. */
  readonly kind: 'config' | 'pin' | 'unavailable' | 'conflict';
}

export interface TokenDescription {
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
}
