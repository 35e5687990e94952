/**
 * Copies of the archive in S3 or what speaks its protocol (Swift, Ceph, MinIO). Every object is written once: its name holds its digest, the
 * PUT is conditional where the server knows that (If-None-Match: *), and the digest goes with the signature, so that octets that were damaged
 * on the way are refused. The SDK tries once; whoever calls tries again, with the octets read anew.
 */
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { Readable } from 'node:stream';
import type * as Sdk from '@aws-sdk/client-s3';
import type { PutObjectCommandInput, S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { Problem } from '../../core/problem.ts';
import { SECOND } from '../../core/time.ts';
import type { ArchiveCopies, CopiedObject } from '../../ports/archive-copies.ts';
import type { CrlSource } from '../../ports/crl-archive.ts';

export interface S3Options {
  /** Undefined: Amazon's own, by region. */
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly bucket: string;
  /** In front of every name: empty, or ends in `/`. */
  readonly prefix: string;
  /** The bucket stands in the path instead of the host name. */
  readonly pathStyle: boolean;
  /** PEM file of the CAs of the endpoint; undefined: the well-known ones. */
  readonly ca: string | undefined;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Nobody can remove or replace an object for so long. */
  readonly objectLock: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly forMs: number } | undefined;
}

const CONNECT_MS = 10 * SECOND;
/** Without an octet in either direction. */
const SILENCE_MS = 30 * SECOND;
/** The slowest that a transfer may be, beyond the silence: 32 KiB a second. */
const OCTETS_PER_MS = 32;
const PIECE = 1 << 20;

/** @param now for the end of object locks. @throws Problem `config` when the CA file cannot be read. */
export async function openS3(options: S3Options, now: () => number): Promise<ArchiveCopies> {
  // It says in several lines what the service says in one, that this Node is past its end of life (design decision 14).
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  // Loaded here: a service without copies pays nothing for it.
  const sdk = await import('@aws-sdk/client-s3');
  const agentOptions = { keepAlive: true, maxSockets: 8 };
  const client = new sdk.S3Client({
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    region: options.region,
    forcePathStyle: options.pathStyle,
    credentials: { accessKeyId: options.accessKeyId, secretAccessKey: options.secretAccessKey },
    maxAttempts: 1,
    // It would write to the console; what is wrong is thrown.
    logger: { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing },
    // Every object has its SHA-256 here, and servers that are older know no other checksum.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: SILENCE_MS,
      httpAgent: new HttpAgent(agentOptions),
      httpsAgent: new HttpsAgent({ ...agentOptions, ...(options.ca !== undefined && { ca: caIn(options.ca) }) }),
    },
  });
  return new S3Copies(sdk, client, options, now);
}

const nothing = (): void => undefined;

class S3Copies implements ArchiveCopies {
  readonly #sdk: typeof Sdk;
  readonly #client: S3Client;
  readonly #options: S3Options;
  readonly #now: () => number;
  /** Whether the server knows a conditional PUT; else a look before each is what there is. Undefined: not asked yet. */
  #conditional: boolean | undefined;

  constructor(sdk: typeof Sdk, client: S3Client, options: S3Options, now: () => number) {
    this.#sdk = sdk;
    this.#client = client;
    this.#options = options;
    this.#now = now;
  }

  get describe(): string {
    const { bucket, prefix, endpoint, region } = this.#options;
    return `s3://${bucket}/${prefix} at ${endpoint ?? region}`;
  }

  async size(name: string): Promise<number | undefined> {
    try {
      const { ContentLength } = await this.#client.send(
        new this.#sdk.HeadObjectCommand({ Bucket: this.#options.bucket, Key: this.#key(name) }),
        within(0),
      );
      return ContentLength;
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw this.#problem(error, name);
    }
  }

  async put(name: string, source: CrlSource, sha256: string): Promise<void> {
    if ((await this.size(name)) !== undefined) return;
    this.#conditional ??= await this.#knowsConditions();
    try {
      await this.#send(name, source, sha256);
    } catch (error) {
      // Somebody was quicker; as the name is that of these octets, with the same.
      if (statusOf(error) !== 412) throw this.#problem(error, name);
    }
  }

  /**
   * Asked with an object of its own, because a server that refuses the condition of a large PUT closes the connection while it is still
   * being sent: then nobody reads why.
   */
  async #knowsConditions(): Promise<boolean> {
    const about =
      'The archive of a certstatus service. Names hold the SHA-256 of the octets; nothing here is ever replaced.\n';
    try {
      const key = this.#key('about.txt');
      const input = {
        Bucket: this.#options.bucket,
        Key: key,
        Body: about,
        ContentType: 'text/plain',
        IfNoneMatch: '*',
      };
      await this.#client.send(new this.#sdk.PutObjectCommand(input), within(about.length));
      return true;
    } catch (error) {
      if (statusOf(error) === 412) return true;
      if (statusOf(error) === 501) return false;
      throw this.#problem(error, 'about.txt');
    }
  }

  async #send(name: string, source: CrlSource, sha256: string): Promise<void> {
    const { bucket, objectLock } = this.#options;
    const input: PutObjectCommandInput = {
      Bucket: bucket,
      Key: this.#key(name),
      Body: Readable.from(pieces(source), { objectMode: false }),
      ContentLength: source.octets,
      ContentType: typeOf(name),
      ChecksumSHA256: Buffer.from(sha256, 'hex').toString('base64'),
      ...(this.#conditional === true && { IfNoneMatch: '*' }),
      ...(objectLock && {
        ObjectLockMode: objectLock.mode,
        ObjectLockRetainUntilDate: new Date(this.#now() + objectLock.forMs),
      }),
    };
    const command = new this.#sdk.PutObjectCommand(input);
    // Signature v4 covers the octets by their digest, which is known: else it would say UNSIGNED-PAYLOAD of a stream.
    command.middlewareStack.add(
      (next) => (args) => {
        (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = sha256;
        return next(args);
      },
      { step: 'build', name: 'knownDigest' },
    );
    await this.#client.send(command, within(source.octets));
  }

  async *get(name: string): AsyncIterable<Uint8Array> {
    const silence = new Silence();
    try {
      const { Body, ContentLength } = await this.#client.send(
        new this.#sdk.GetObjectCommand({ Bucket: this.#options.bucket, Key: this.#key(name) }),
        { abortSignal: silence.signal },
      );
      let octets = 0;
      for await (const piece of Body as Readable) {
        silence.broken();
        octets += (piece as Uint8Array).length;
        yield piece as Uint8Array;
        silence.broken();
      }
      if (octets !== ContentLength) throw new Error(`ended at ${octets} of ${ContentLength} octets`);
    } catch (error) {
      throw this.#problem(error, name);
    } finally {
      silence.end();
    }
  }

  async *list(prefix: string): AsyncIterable<CopiedObject> {
    let from: string | undefined;
    do {
      const { Contents, IsTruncated, NextContinuationToken } = await this.#client
        .send(
          new this.#sdk.ListObjectsV2Command({
            Bucket: this.#options.bucket,
            Prefix: this.#key(prefix),
            ...(from !== undefined && { ContinuationToken: from }),
          }),
          within(0),
        )
        .catch((error: unknown) => {
          throw this.#problem(error, prefix);
        });
      for (const { Key, Size } of Contents ?? [])
        if (Key !== undefined) yield { name: Key.slice(this.#options.prefix.length), octets: Size ?? 0 };
      from = IsTruncated === true ? NextContinuationToken : undefined;
    } while (from !== undefined);
  }

  async remove(name: string): Promise<void> {
    try {
      await this.#client.send(
        new this.#sdk.DeleteObjectCommand({ Bucket: this.#options.bucket, Key: this.#key(name) }),
        within(0),
      );
    } catch (error) {
      throw this.#problem(error, name);
    }
  }

  close(): void {
    this.#client.destroy();
  }

  #key(name: string): string {
    return `${this.#options.prefix}${name}`;
  }

  /** One line. Neither the key nor what was signed is in it. */
  #problem(error: unknown, name: string): Problem {
    if (error instanceof Problem) return error;
    const { name: code, message } = error as S3ServiceException;
    const at = { field: this.describe, value: name };
    const advice = ADVICE[code];
    const status = statusOf(error);
    // The answer to HEAD has no body that could say more.
    const said =
      status !== undefined && message === 'UnknownError'
        ? `the server answered ${status}`
        : `${code === 'Error' ? '' : `${code}: `}${message || ((error as NodeJS.ErrnoException).code ?? 'no answer')}`;
    if (code === 'NoSuchKey' || (status === 404 && code !== 'NoSuchBucket'))
      return new Problem('not-found', 'no such object', at);
    if (code === 'InvalidRequest' || code === 'AccessDenied')
      return new Problem('refused', `${said.replace(/\s+/g, ' ')}${advice === undefined ? '' : `; ${advice}`}`, at);
    return new Problem('unavailable', `${said.replace(/\s+/g, ' ')}${advice === undefined ? '' : `; ${advice}`}`, at);
  }
}

/** What to do, by the code that the server gives. */
const ADVICE: Readonly<Record<string, string>> = {
  NoSuchBucket: 'make the bucket, or correct archive.copies.bucket',
  SignatureDoesNotMatch: 'the secret access key is not that of the access key, or the region is wrong',
  InvalidAccessKeyId: 'the server does not know this access key',
  AccessDenied: 'the key may not do this in the bucket; an object lock refuses removal too',
  RequestTimeTooSkewed: 'set the clock of this machine',
  QuotaExceeded: 'the bucket is full',
  EntityTooLarge: 'the bucket is full, or takes no object of this size',
  InsufficientStorage: 'the storage is full',
};

async function* pieces(source: CrlSource): AsyncGenerator<Buffer> {
  for (let at = 0; at < source.octets; at += PIECE) yield await source.read(at, Math.min(PIECE, source.octets - at));
}

/** Ends a download of which nothing comes. */
class Silence {
  readonly #controller = new AbortController();
  #timer = this.#arm();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  broken(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#arm();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #arm(): NodeJS.Timeout {
    return setTimeout(() => this.#controller.abort(), CONNECT_MS + SILENCE_MS);
  }
}

/** A server that takes an octet now and then would never be silent for long enough. */
function within(octets: number): { readonly abortSignal: AbortSignal } {
  return { abortSignal: AbortSignal.timeout(CONNECT_MS + SILENCE_MS + Math.ceil(octets / OCTETS_PER_MS)) };
}

function statusOf(error: unknown): number | undefined {
  return (error as Partial<S3ServiceException>).$metadata?.httpStatusCode;
}

function typeOf(name: string): string {
  if (name.endsWith('.crl')) return 'application/pkix-crl';
  return name.endsWith('.cer') ? 'application/pkix-cert' : 'application/json';
}

function caIn(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Problem('config', (error as Error).message, { field: 'archive.copies.ca', value: file });
  }
}
