/**
 * Activation at start, for the tokens whose PIN comes from one place. Never keeps the service from serving: what cannot be
 * activated is one clear line in the log, with what to do and how long answers last. A token that cannot be reached yet is tried
 * again, ever more rarely; a PIN that the token or the rules refuse is not, nor at a third start after two refusals: tokens lock
 * themselves after a few, and whoever keeps the service running starts it again and again. The audit log knows.
 */
import { Problem } from '../core/problem.ts';
import { MINUTE, rfc3339, SECOND } from '../core/time.ts';
import type { Activation } from '../flows/sign/activation.ts';
import type { Person } from '../flows/sign/token-records.ts';
import type { UsedToken } from '../flows/sign/signing-gauges.ts';
import type { Log } from '../flows/log.ts';
import type { Clock } from '../ports/clock.ts';
import { searchLog } from './admin/log-search.ts';
import { askName, askSecret, readCredential, readDescriptor } from './pin-sources.ts';
import type { TokenConfig } from './token-config.ts';

const FIRST_RETRY_MS = 5 * SECOND;
/** Each try is three audit records at most. */
const LAST_RETRY_MS = 10 * MINUTE;

/** Most tokens lock at 3 to 10: one is left for a person. */
const MOST_REFUSALS = 2;

/** Resolves when each token has been tried once. Never rejects. @param auditDir of this process's log. */
export async function activateAtStart(
  tokens: readonly TokenConfig[],
  activation: Activation,
  env: NodeJS.ProcessEnv,
  auditDir: string,
  clock: Clock,
  log: Log,
): Promise<void> {
  for (const token of tokens) {
    try {
      await activateOne(token, activation, env, async (pin, person) => {
        await mustNotHaveBeenRefused(token.name, person, auditDir, clock).catch((error: unknown) => {
          pin.fill(0);
          throw error;
        });
        return keepTrying(activation, token.name, pin, person, clock);
      });
    } catch (error) {
      const why = error instanceof Problem ? error.line : (error as Error).message;
      log.error({ token: token.name, why }, 'the token could not be activated at start');
    }
  }
}

async function activateOne(
  { name, activation: from }: TokenConfig,
  activation: Activation,
  env: NodeJS.ProcessEnv,
  keep: (pin: Buffer, person: Person) => Promise<void>,
): Promise<void> {
  switch (from.source) {
    case 'shares':
      return;
    case 'credential':
      return keep(readCredential(from.credential, env), { name: `credential ${from.credential}`, actor: 'service' });
    case 'descriptor':
      return keep(readDescriptor(from.descriptor), { name: `descriptor ${from.descriptor}`, actor: 'service' });
    case 'prompt': {
      // Without a terminal somebody uses `key activate`.
      if (!process.stdin.isTTY) return;
      const person = await askName(`token ${name}: your name, for the audit log: `);
      if (person === '')
        throw new Problem('refused', 'an activation has a name to it', { field: 'name', rule: 'CT-6.2.8' });
      const pin = await askSecret(`token ${name}: PIN: `);
      try {
        await activation.activate(name, pin, [{ name: person, actor: `${person} (terminal)` }]);
      } finally {
        pin.fill(0);
      }
    }
  }
}

/**
 * Whether it is still the same PIN nobody may remember; so the right one is told by the name of where it comes from.
 * @throws Problem `refused` when the token has refused what came from there again and again since it took a PIN.
 */
async function mustNotHaveBeenRefused(name: string, from: Person, auditDir: string, clock: Clock): Promise<void> {
  const { records } = await searchLog(
    auditDir,
    {
      maybe: (line) => line.includes('"token.activat'),
      wanted({ type, detail }) {
        if (detail?.['token'] !== name) return false;
        if (type === 'token.activated') return 'stop';
        return detail['pinRefused'] === true && (detail['persons'] as readonly string[]).includes(from.name);
      },
      most: MOST_REFUSALS,
    },
    clock,
  );
  if (records.length < MOST_REFUSALS) return;
  throw new Problem(
    'refused',
    `the token has refused the PIN of ${from.name} ${MOST_REFUSALS} times and may lock itself: it is not asked with that one again; ` +
      `put the right PIN where another name leads to, and write that name here`,
    { field: `tokens.${name}.activation`, value: from.name, rule: 'CT-6.2.8' },
  );
}

/** Once, and in the background as long as the token cannot be reached. Overwrites the PIN in the end. @throws as the first try does */
async function keepTrying(
  activation: Activation,
  name: string,
  pin: Buffer,
  person: Person,
  clock: Clock,
  delayMs = FIRST_RETRY_MS,
): Promise<void> {
  try {
    await activation.activate(name, pin, [person]);
    pin.fill(0);
  } catch (error) {
    if (activation.stopped || !(error instanceof Problem) || error.code !== 'unavailable') pin.fill(0);
    else {
      const next = Math.min(2 * delayMs, LAST_RETRY_MS);
      clock.after(delayMs, () => void keepTrying(activation, name, pin, person, clock, next).catch(() => undefined));
    }
    throw error;
  }
}

/** One line for each token that is not activated. */
export function sayInactive(tokens: readonly UsedToken[], log: Log): void {
  for (const { view, issuers, servedUntil } of tokens) {
    if (view.state === 'active') continue;
    const about = { token: view.name, issuers: issuers.map(({ id }) => id) };
    const until = servedUntil === undefined ? 'nothing is published yet' : `answers last until ${rfc3339(servedUntil)}`;
    log.warn(
      about,
      `${view.failure ?? `token ${view.name} is ${view.state}`}: nothing is signed with its keys; ${until}`,
    );
  }
}
