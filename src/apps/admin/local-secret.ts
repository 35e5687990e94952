/**
 * What tells the person at a shell of this machine from everybody else: a secret in the data directory, which only the service's
 * user can read. Two things are made from it, each for five minutes: the link with which one signs in, good for one time, and the
 * Bearer token of commands and scripts, which may look at data and nothing else.
 *
 * Whoever reads the secret can name whatever user: it says which account the shell was of as far as that account is honest. The
 * same account could write the log itself.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Problem } from '../../core/problem.ts';
import { MINUTE, rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import { shellUser } from '../shell-user.ts';

export const TOKEN_LIFE_MS = 5 * MINUTE;
const SECRET_OCTETS = 32;
/** Both ends are this machine's clock, but it may be set between them. */
const MOST_AHEAD_MS = 10 * SECOND;

type Purpose = 'sign-in' | 'bearer';

/** What a token of this machine says. */
export interface LocalToken {
  /** Of the operating system. */
  readonly user: string;
  readonly madeAt: EpochMs;
  /** Tells one link from another: each is good once. */
  readonly nonce: string;
}

/** Reads the secret, and makes it at the first start. @throws Problem `config` when it cannot be kept, or others can read it. */
export function openLocalSecret(dataDir: string): Buffer {
  const file = secretFile(dataDir);
  try {
    return readLocalSecret(dataDir);
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== 'not-found') throw error;
  }
  const draft = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    mkdirSync(join(dataDir, 'admin'), { recursive: true, mode: 0o700 });
    writeFileSync(draft, randomBytes(SECRET_OCTETS), { mode: 0o600, flush: true });
    // Whole or not at all, and never over one that another process was quicker to make.
    linkSync(draft, file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST') throw new Problem('config', `cannot be made: ${message}`, { field: file });
  } finally {
    rmSync(draft, { force: true });
  }
  return readLocalSecret(dataDir);
}

/** @throws Problem `not-found` before the service's first start, `config` when it cannot be used, or others can read it. */
function readLocalSecret(dataDir: string): Buffer {
  const file = secretFile(dataDir);
  let secret: Buffer;
  try {
    secret = readFileSync(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      throw new Problem('not-found', 'is not there: the service makes it when it starts', { field: file });
    const todo = code === 'EACCES' ? 'only the user of the service may read it: use sudo -u' : message;
    throw new Problem('config', todo, { field: file });
  }
  // The group's bits are the mask of an ACL, or of a volume's group; everybody's are a mistake.
  if (statSync(file).mode & 0o007)
    throw new Problem('config', 'others can read it: remove it, and start the service again, which makes another', {
      field: file,
      rule: 'CT-5.2.3',
    });
  if (secret.length !== SECRET_OCTETS)
    throw new Problem('config', `is not ${SECRET_OCTETS} octets: remove it and start the service again`, {
      field: file,
    });
  return secret;
}

/**
 * The link with which the user of this shell signs in. @param dataDir of the service, which has started before.
 * @param base of the admin port, like `http://127.0.0.1:9090`. @throws Problem `not-found`, `config` saying who may read the secret.
 */
export function signInLink(
  dataDir: string,
  base: string,
  nowMs: EpochMs = Date.now(),
): { readonly url: string; readonly expires: string } {
  const token = makeToken(readLocalSecret(dataDir), 'sign-in', nowMs);
  return { url: `${base}/sign-in?token=${token}`, expires: rfc3339(wholeSecond(nowMs + TOKEN_LIFE_MS)) };
}

/**
 * What commands and scripts of this machine send as `Authorization: Bearer` to read /status.json and other data. For five minutes.
 * @throws Problem as signInLink.
 */
export function localAdminToken(dataDir: string, nowMs: EpochMs = Date.now()): string {
  return makeToken(readLocalSecret(dataDir), 'bearer', nowMs);
}

/** @returns undefined for whatever was not made with this secret for this purpose, and `late` for what was, more than 5 minutes ago. */
export function readToken(
  secret: Buffer,
  purpose: Purpose,
  token: string,
  nowMs: EpochMs,
): LocalToken | 'late' | undefined {
  const [payload, mac, ...more] = token.split('.');
  if (payload === undefined || mac === undefined || more.length > 0 || token.length > MAX_TOKEN) return undefined;
  const given = Buffer.from(mac, 'base64url');
  const own = macOf(secret, purpose, payload);
  if (given.length !== own.length || !timingSafeEqual(given, own)) return undefined;
  const { user, madeAt, nonce } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as LocalToken;
  if (madeAt > nowMs + MOST_AHEAD_MS || nowMs > madeAt + TOKEN_LIFE_MS) return 'late';
  return { user, madeAt, nonce };
}

const MAX_TOKEN = 1024;

function makeToken(secret: Buffer, purpose: Purpose, madeAt: EpochMs): string {
  const said: LocalToken = { user: shellUser(), madeAt, nonce: randomBytes(16).toString('base64url') };
  const payload = Buffer.from(JSON.stringify(said)).toString('base64url');
  return `${payload}.${macOf(secret, purpose, payload).toString('base64url')}`;
}

/** The purpose is under the MAC: a Bearer token signs nobody in. */
function macOf(secret: Buffer, purpose: Purpose, payload: string): Buffer {
  return createHmac('sha256', secret).update(`certstatus ${purpose}\n${payload}`).digest();
}

function secretFile(dataDir: string): string {
  return join(dataDir, 'admin', 'secret');
}
