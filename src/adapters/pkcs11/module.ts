/** The module in the host's process: loaded, initialized, and the one token found in it. */
import type * as Pkcs11js from 'pkcs11js';
import { CKR_CRYPTOKI_ALREADY_INITIALIZED, failureOf } from './ckr.ts';
import type { HostFailure, TokenDescription, TokenPlace } from './wire.ts';

export type Cryptoki = Pkcs11js.PKCS11;
export type Constants = typeof Pkcs11js;

export interface OpenedModule {
  readonly cryptoki: Cryptoki;
  readonly constants: Constants;
  readonly slot: Pkcs11js.Handle;
  readonly token: TokenDescription;
  /** That one process may have open; Infinity when the token does not say. */
  readonly maxSessions: number;
}

type FoundToken = Pick<OpenedModule, 'slot' | 'token' | 'maxSessions'>;

/** Thrown in the host; becomes a Problem in the signer's process. */
export class HostError extends Error {
  readonly failure: HostFailure;

  constructor(kind: HostFailure['kind'], text: string, code = 0) {
    super(text);
    this.failure = { kind, code, text };
  }
}

/**
 * Another thread of this process may have initialized the module already: that is as good.
 * @throws HostError `config` without the optional package or the module, `unavailable` without the token.
 */
export async function openModule(place: TokenPlace): Promise<OpenedModule> {
  const constants = await loadPackage();
  const cryptoki = new constants.PKCS11();
  try {
    cryptoki.load(place.module);
  } catch (error) {
    throw new HostError('config', `the module cannot be loaded: ${failureOf(error).text}`);
  }
  try {
    // Several threads call it (PKCS#11 v2.40 §5.4); it may use the locks of the operating system.
    cryptoki.C_Initialize({ flags: constants.CKF_OS_LOCKING_OK });
  } catch (error) {
    const { code, text } = failureOf(error);
    if (code !== CKR_CRYPTOKI_ALREADY_INITIALIZED) {
      throw new HostError('unavailable', `the module does not start: ${text}`, code);
    }
  }
  return { cryptoki, constants, ...findToken(cryptoki, place) };
}

async function loadPackage(): Promise<Constants> {
  try {
    return (await import('pkcs11js')).default as Constants;
  } catch {
    throw new HostError(
      'config',
      'the optional package pkcs11js is not installed or not built: install g++, make and python3, then npm ci',
    );
  }
}

function findToken(cryptoki: Cryptoki, { label, serial }: TokenPlace): FoundToken {
  const present: TokenDescription[] = [];
  const found: FoundToken[] = [];
  try {
    for (const slot of cryptoki.C_GetSlotList(true)) {
      const info = cryptoki.C_GetTokenInfo(slot);
      // PKCS#11 v2.40 §3.2: padded with blanks; some modules end them with NUL.
      const [tokenLabel, serialNumber, manufacturer, model] = [
        info.label,
        info.serialNumber,
        info.manufacturerID,
        info.model,
      ].map((text) => text.replace(/[\0 ]+$/, '')) as [string, string, string, string];
      const token = { label: tokenLabel, serial: serialNumber, manufacturer, model };
      present.push(token);
      // CK_EFFECTIVELY_INFINITE is 0, CK_UNAVAILABLE_INFORMATION the greatest number.
      const maxSessions = info.maxSessionCount === 0 ? Infinity : info.maxSessionCount;
      if ((label ?? tokenLabel) === tokenLabel && (serial ?? serialNumber) === serialNumber)
        found.push({ slot, token, maxSessions });
    }
  } catch (error) {
    const { code, text } = failureOf(error);
    throw new HostError('unavailable', `the module does not list its tokens: ${text}`, code);
  }
  const wanted = [label === undefined ? '' : `label ${label}`, serial === undefined ? '' : `serial ${serial}`]
    .filter((text) => text !== '')
    .join(' and ');
  const [first, second] = found;
  if (first === undefined) {
    // A slot whose token was never initialized shows an empty label.
    const names = present
      .filter((token) => token.label !== '')
      .slice(0, 8)
      .map((token) => JSON.stringify(token.label))
      .join(', ');
    throw new HostError('unavailable', `no token with ${wanted} is present; present: ${names === '' ? 'none' : names}`);
  }
  if (second !== undefined)
    throw new HostError('config', `${found.length} tokens have ${wanted}: name the serial number too`);
  return first;
}
