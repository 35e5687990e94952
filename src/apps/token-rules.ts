/** What the documents of a CA ask of the tokens that hold its keys: how they are activated, and for how long. */
import type { KeyReference } from '../core/key-reference.ts';
import { Problem } from '../core/problem.ts';
import type { IssuerSetup } from './issuer-files.ts';
import { type TokenConfig, unknownToken } from './token-config.ts';

/** Everything that is wrong: a start with it is refused. */
export function checkTokens(tokens: readonly TokenConfig[], setups: readonly IssuerSetup[]): readonly Problem[] {
  const byName = new Map(tokens.map((token) => [token.name, token]));
  return setups.flatMap((setup) => {
    const crlKeys = inTokens(setup.crlKeys ?? []);
    const keys = [...setup.responders.flatMap((responder) => inTokens(responder.keys)), ...crlKeys];
    const used = new Set(keys.flatMap(({ token }) => byName.get(token) ?? []));
    return [
      ...keys.filter(({ token }) => !byName.has(token)).map((key) => unknownToken(key, [...byName.keys()])),
      ...[...used].flatMap((token) => checkControl(token, setup)),
      ...crlKeys.flatMap((key) => checkCrlUse(key, byName.get(key.token), setup)),
    ];
  });
}

/** CT-6.2.2, SR-6.4.1: at no time does one person control a key of these CAs. */
function checkControl({ name, activation }: TokenConfig, { id, profile }: IssuerSetup): readonly Problem[] {
  const several = profile.authorities.includes('cybertrust') || profile.authorities.includes('secom');
  // The schema has 2 as the least threshold.
  if (!several || activation.source === 'shares') return [];
  return [
    new Problem('config', `issuer ${id} asks for several persons: set source: shares, with a threshold`, {
      field: `tokens.${name}.activation`,
      value: activation.source,
      rule: 'CT-6.2.2, SR-6.4.1',
    }),
  ];
}

/** SR-6.2.9: a CA key is deactivated after each access. */
function checkCrlUse(
  key: KeyReference & { kind: 'pkcs11' },
  token: TokenConfig | undefined,
  { id, profile }: IssuerSetup,
): readonly Problem[] {
  if (profile.crl.keyUse !== 'per-operation' || token === undefined || token.use === 'per-operation') return [];
  return [
    new Problem(
      'config',
      `the CRL key ${key.uri} of issuer ${id} is logged in for each CRL alone: set use: per-operation`,
      {
        field: `tokens.${token.name}.use`,
        value: token.use,
        rule: 'SR-6.2.9',
      },
    ),
  ];
}

function inTokens(keys: readonly KeyReference[]): readonly (KeyReference & { kind: 'pkcs11' })[] {
  return keys.flatMap((key) => (key.kind === 'pkcs11' ? [key] : []));
}
