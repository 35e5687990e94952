/**
 * Activation at start, for the tokens whose PIN comes from one place. Never keeps the service from serving: what cannot be
 * activated is one clear line in the log, with what to do and how long answers last.
 */
import { Problem } from '../core/problem.ts';
import { rfc3339 } from '../core/time.ts';
import type { Activation, Person } from '../flows/activation.ts';
import type { UsedToken } from '../flows/gauges.ts';
import type { Log } from '../flows/log.ts';
import { askName, askSecret, readCredential, readDescriptor } from './pin-sources.ts';
import type { TokenConfig } from './token-config.ts';

/** Never rejects. */
export async function activateAtStart(
  tokens: readonly TokenConfig[],
  activation: Activation,
  env: NodeJS.ProcessEnv,
  log: Log,
): Promise<void> {
  for (const token of tokens) {
    try {
      await activateOne(token, activation, env);
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
): Promise<void> {
  switch (from.source) {
    case 'shares':
      return;
    case 'credential':
      return activateWith(activation, name, readCredential(from.credential, env), {
        name: `credential ${from.credential}`,
        actor: 'service',
      });
    case 'descriptor':
      return activateWith(activation, name, readDescriptor(from.descriptor), {
        name: `descriptor ${from.descriptor}`,
        actor: 'service',
      });
    case 'prompt': {
      // Without a terminal somebody uses `key activate`.
      if (!process.stdin.isTTY) return;
      const person = await askName(`token ${name}: your name, for the audit log: `);
      if (person === '')
        throw new Problem('refused', 'an activation has a name to it', { field: 'name', rule: 'CT-6.2.8' });
      const pin = await askSecret(`token ${name}: PIN: `);
      return activateWith(activation, name, pin, { name: person, actor: `${person} (terminal)` });
    }
  }
}

async function activateWith(activation: Activation, name: string, pin: Buffer, person: Person): Promise<void> {
  try {
    await activation.activate(name, pin, [person]);
  } finally {
    pin.fill(0);
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
