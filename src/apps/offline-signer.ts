/** What `offline sign` is told, on a machine where there is nothing else: the CA, its key, and the rules that bind it. */
import { openToken } from '../adapters/pkcs11/token.ts';
import { openSoftwareKey } from '../adapters/software-key/key-holder.ts';
import { certificatesFromFile } from '../core/certificate-reader.ts';
import { crlFromFile } from '../core/crl/crl-reader.ts';
import { type Issuer, loadIssuer } from '../core/issuer.ts';
import { parseKeyReference } from '../core/key-reference.ts';
import type { JudgedWith, SigningRules } from '../core/offline/judge.ts';
import { openSealedPin } from '../core/pin.ts';
import { Problem } from '../core/problem.ts';
import { parseShare } from '../core/share.ts';
import { serialFromHex } from '../core/serial.ts';
import { algorithmFor } from '../core/signature-algorithm.ts';
import { DAY, type EpochMs } from '../core/time.ts';
import type { KeyHolder } from '../ports/key-holder.ts';
import { readBounded } from './offline-files.ts';
import { askSecret, readSecret } from './pin-sources.ts';
import { checkIdentity, loadPreset } from './presets.ts';
import { combineShares } from './shares.ts';

export interface CaKeyOptions {
  readonly ca: string;
  readonly key: string;
  readonly module?: string;
}

export interface RuleOptions {
  readonly preset?: string;
  readonly issues: string;
  readonly previous?: string[];
  readonly mayLeave?: string[];
}

/** @throws Problem `config` or `invalid` when the file holds no CA certificate. */
export function caOf(file: string): Issuer {
  return loadIssuer(certificatesFromFile(readBounded(file), file), '--ca');
}

/** @throws Problem `config` for a preset that there is not, or that is for another CA. */
export function judgedWith(options: RuleOptions, issuer: Issuer, nowMs: EpochMs): JudgedWith {
  return {
    rules: rulesOf(options, issuer),
    nowMs,
    previous: (options.previous ?? []).map((file) => Buffer.from(crlFromFile(readBounded(file)))),
    mayLeave: new Set((options.mayLeave ?? []).map((serial) => serialFromHex(serial, '--may-leave'))),
  };
}

function rulesOf({ preset: id, issues }: RuleOptions, issuer: Issuer): SigningRules {
  if (id !== undefined) {
    const preset = loadPreset(id, '--preset');
    const [problem] = checkIdentity(preset, issuer, '--ca');
    if (problem !== undefined) throw problem;
    const { authorities, responder } = preset;
    return {
      authorities,
      issues: preset.issues,
      responder: { maxValidityMs: responder.maxValidity, keyTypes: responder.keyTypes },
    };
  }
  if (issues !== 'ca-certificates' && issues !== 'subscriber-certificates')
    throw new Problem('invalid', 'is ca-certificates or subscriber-certificates', { field: '--issues', value: issues });
  return { ...COMMON_RULES, issues };
}

/** Without a preset: what binds every CA in a root program, and the shortest of the documents' limits (SR-6.3.2-a). */
const COMMON_RULES: Omit<SigningRules, 'issues'> = {
  authorities: ['rfc', 'cabf-tls', 'mozilla', 'microsoft'],
  responder: { maxValidityMs: 125 * DAY, keyTypes: ['RSA-2048', 'RSA-3072', 'RSA-4096', 'P-256', 'P-384'] },
};

/**
 * Opens the key for one run, and closes it whatever comes of it (SR-6.2.9).
 * @throws Problem `config` for a key that cannot be opened, `refused` for a wrong PIN, and what `run` throws.
 */
export async function withCaKey<T>(
  options: CaKeyOptions,
  issuer: Issuer,
  run: (holder: KeyHolder) => Promise<T>,
): Promise<T> {
  const reference = parseKeyReference(options.key, '--key');
  if (reference.kind === 'file') {
    const holder = await openSoftwareKey(reference.file);
    return run(holder).finally(() => holder.close());
  }
  if (options.module === undefined)
    throw new Problem('config', 'is needed for a key in a token', { field: '--module', value: options.key });
  const token = openToken({
    name: reference.token,
    module: options.module,
    label: reference.token,
    sessions: 1,
    use: 'per-operation',
  });
  try {
    const holder = token.key(reference, issuer.publicKey, algorithmFor(issuer.publicKey, '--ca'));
    const pin = await pinOf(reference.token);
    await token.activate(pin).finally(() => pin.fill(0));
    try {
      return await run(holder);
    } finally {
      await holder.close();
      await token.deactivate();
    }
  } finally {
    await token.close();
  }
}

/** The PIN, or as many of its shares as it takes, each by its keeper (SR-6.4.1). Without a terminal: one PIN from standard input. */
async function pinOf(token: string): Promise<Uint8Array> {
  if (!process.stdin.isTTY) return readSecret(0, 'standard input');
  const first = await askSecret(`PIN of token ${token}, or the first share of it: `);
  if (!first.toString('latin1').startsWith('certstatus-share:')) return first;
  const shares = [parseShare(first.toString('latin1'), 'share 1')];
  const { threshold } = shares[0] as (typeof shares)[0];
  const field = (): string => `share ${shares.length + 1} of ${threshold}`;
  while (shares.length < threshold)
    shares.push(parseShare((await askSecret(`${field()}: `)).toString('latin1'), field()));
  const sealed = await combineShares(shares.map(({ octets }) => octets));
  const pin = openSealedPin(sealed, token, threshold);
  sealed.fill(0);
  for (const { octets } of shares) octets.fill(0);
  if (pin === undefined)
    throw new Problem('refused', 'the shares do not belong together, or to this token', {
      field: '--key',
      value: token,
    });
  return pin;
}
