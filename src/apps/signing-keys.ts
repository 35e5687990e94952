/**
 * What the signer role adds to the issuers: the keys behind their references, each checked against its certificate (P7).
 *
 * A key in a file must be there at start. A key in a token need not: it is known by its certificate, and proven to belong to
 * it when the token is activated; until then its holder says why it cannot sign, and serving goes on.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { openToken, type Pkcs11Token } from '../adapters/pkcs11/token.ts';
import { openSoftwareKey } from '../adapters/software-key/key-holder.ts';
import type { KeyReference } from '../core/key-reference.ts';
import type { Finding } from '../core/lint/finding.ts';
import { Problem } from '../core/problem.ts';
import { checkCrlKey, checkOcspKey } from '../core/signer-checks.ts';
import { algorithmFor } from '../core/signature-algorithm.ts';
import type { ControlledToken } from '../flows/sign/activation.ts';
import { failover } from '../flows/sign/failover-key.ts';
import { guarded } from '../flows/sign/guarded-key.ts';
import { FILES_SLOT } from '../flows/sign/slot-metrics.ts';
import type { ServedIssuer, SigningKey, SigningKeys } from '../flows/issuer-setup.ts';
import type { KeyHolder, KeyUse, SlotMeter } from '../ports/key-holder.ts';
import type { IssuerSetup } from './issuer-files.ts';
import { type TokenConfig, unknownToken } from './token-config.ts';

export interface KeyringOptions {
  /** Of a slot, by its name. */
  readonly meter?: (slot: string) => SlotMeter;
  /** Why nothing may be signed with any key now. */
  readonly forbids?: () => string | undefined;
}

/** The tokens of this process, each opened once, and the keys in them and in files. */
export class Keyring {
  readonly tokens: readonly ControlledToken[];
  readonly #byName: ReadonlyMap<string, Pkcs11Token>;
  readonly #warn: (message: string) => void;
  readonly #options: KeyringOptions;

  /** Reaches for no device yet: that is what activating does. */
  constructor(tokens: readonly TokenConfig[], warn: (message: string) => void, options: KeyringOptions = {}) {
    this.#warn = warn;
    this.#options = options;
    const opened = tokens.map(({ name, module, label, serial, sessions, use, activation }) => ({
      token: openToken({
        name,
        module,
        sessions,
        use,
        ...(label !== undefined && { label }),
        ...(serial !== undefined && { serial }),
        ...(options.meter && { meter: options.meter(name) }),
      }),
      threshold: activation.source === 'shares' ? activation.threshold : undefined,
      source: activation.source,
    }));
    this.tokens = opened;
    this.#byName = new Map(opened.map(({ token }) => [token.name, token]));
  }

  /** @throws Problem `config` for a key file that cannot be opened, does not belong to its certificate, or may not sign this. */
  async keysOf(setup: IssuerSetup, served: ServedIssuer): Promise<SigningKeys> {
    const ocsp = new Map<string, SigningKey>();
    for (const { certificate, keys, use } of setup.responders) {
      // The key of a retired one may be gone, or in other hands: it is not opened.
      if (use !== 'signing') continue;
      const holder = await this.holder(keys, certificate.publicKey);
      refuse(checkOcspKey(holder.publicKey, certificate, setup.issuer), holder.describe);
      ocsp.set(certificate.id, { holder, publicKey: certificate.publicKey });
    }
    const { publicKey } = served.issuer;
    const crlHolder = setup.crlKeys === undefined ? undefined : await this.holder(setup.crlKeys, publicKey, 'crl');
    if (crlHolder !== undefined) refuse(checkCrlKey(crlHolder.publicKey, setup.issuer), crlHolder.describe);
    return { ocsp, crl: crlHolder && { holder: crlHolder, publicKey } };
  }

  /**
   * One key pair, in one place or several.
   * @param publicKey of its certificate; undefined while there is none: then the places themselves say what it is.
   * @param use what it signs, for the metrics.
   * @throws Problem `config`, or `unavailable` when a token has to be asked and does not answer.
   */
  async holder(references: readonly KeyReference[], publicKey?: KeyObject, use: KeyUse = 'ocsp'): Promise<KeyHolder> {
    const holders: KeyHolder[] = [];
    for (const reference of references) holders.push(await this.#open(reference, publicKey, use));
    const { forbids } = this.#options;
    return forbids === undefined ? failover(holders) : guarded(failover(holders), forbids);
  }

  async close(): Promise<void> {
    await Promise.all(this.tokens.map(({ token }) => token.close()));
  }

  async #open(reference: KeyReference, publicKey: KeyObject | undefined, use: KeyUse): Promise<KeyHolder> {
    const { meter } = this.#options;
    if (reference.kind === 'file')
      return openSoftwareKey(reference.file, { warn: this.#warn, use, ...(meter && { meter: meter(FILES_SLOT) }) });
    const token = this.#byName.get(reference.token);
    if (token === undefined) throw unknownToken(reference, [...this.#byName.keys()]);
    const known = publicKey ?? (await publicKeyIn(token, reference));
    return token.key(reference, known, algorithmFor(known, reference.uri), use);
  }
}

/** P7: a key that does not belong to its certificate, or may not sign this, stops the start. */
function refuse(findings: readonly Finding[], field: string): void {
  const [finding] = findings.filter(({ severity }) => severity === 'error');
  if (finding !== undefined)
    throw new Problem('config', finding.message, { field, rule: `${finding.rule}, ${finding.citation}` });
}

/** As the token's public key object has it. */
async function publicKeyIn(token: Pkcs11Token, { object, id, uri }: TokenKeyReference): Promise<KeyObject> {
  const found = (await token.keys()).filter(
    (key) => (object === undefined || key.label === object) && (id === undefined || key.id === id),
  );
  const spki = found.length === 1 ? found[0]?.publicKey : undefined;
  if (spki === undefined) {
    throw new Problem(
      'config',
      found.length === 1
        ? 'the token holds no public key object for it'
        : `the token holds ${found.length} such keys; \`certstatus key list\` shows them`,
      { field: 'key', value: uri },
    );
  }
  return createPublicKey({ key: spki, format: 'der', type: 'spki' });
}

type TokenKeyReference = Extract<KeyReference, { kind: 'pkcs11' }>;
