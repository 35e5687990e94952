/**
 * Return values of PKCS#11 (v2.40 §11.1) by what is to be done about them. Whatever is in no list concerns one signature
 * alone: that one fails, and the rest goes on.
 */

/** What a call of the module ended with. Code 0: no return value of PKCS#11, the text says what. */
export interface CkrFailure {
  readonly code: number;
  /** `CKR_PIN_INCORRECT`, or a sentence. Never contains what was passed in. */
  readonly text: string;
}

export const CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191;
export const CKR_USER_ALREADY_LOGGED_IN = 0x100;

/** A PIN that was refused is not tried again: tokens count, and lock. */
const PIN = new Set([
  0xa0, // PIN_INCORRECT
  0xa1, // PIN_INVALID
  0xa2, // PIN_LEN_RANGE
  0xa3, // PIN_EXPIRED
  0xa4, // PIN_LOCKED
  0x102, // USER_PIN_NOT_INITIALIZED
  0x103, // USER_TYPE_INVALID
]);

/** A session or handle that went stale: a new session and a new search heal it, or show that more is wrong. */
const STALE = new Set([
  0x06, // FUNCTION_FAILED
  0x60, // KEY_HANDLE_INVALID
  0x82, // OBJECT_HANDLE_INVALID
  0x90, // OPERATION_ACTIVE
  0x91, // OPERATION_NOT_INITIALIZED
  0xb0, // SESSION_CLOSED
  0xb3, // SESSION_HANDLE_INVALID
]);

/** The token or the module as a whole: only a new process with a new login helps. */
const LOST = new Set([
  0x02, // HOST_MEMORY
  0x03, // SLOT_ID_INVALID
  0x05, // GENERAL_ERROR
  0x30, // DEVICE_ERROR
  0x31, // DEVICE_MEMORY
  0x32, // DEVICE_REMOVED
  0xb1, // SESSION_COUNT
  0xe0, // TOKEN_NOT_PRESENT
  0xe1, // TOKEN_NOT_RECOGNIZED
  0x101, // USER_NOT_LOGGED_IN
  0x190, // CRYPTOKI_NOT_INITIALIZED
]);

export const isPinFailure = (code: number): boolean => PIN.has(code);
export const isStale = (code: number): boolean => STALE.has(code);
/** Asked after a stale session has been opened anew: what is stale then is lost. */
export const isLost = (code: number): boolean => LOST.has(code) || STALE.has(code);

/** pkcs11js throws `CKR_NAME:code` with lines of C++ behind it, or Error objects with the code apart. */
export function failureOf(error: unknown): CkrFailure {
  const { message, code } = error as { message?: unknown; code?: unknown };
  const first = String(message ?? error).split('\n')[0] ?? '';
  const named = /(CKR_\w+)(?::(\d+))?/.exec(first);
  if (named === null) return { code: 0, text: first.slice(0, 200) };
  return { code: Number(named[2] ?? (typeof code === 'number' ? code : 0)), text: named[1] as string };
}
