/** Puts together what changes responder certificates: for the signer while it runs, and for a command when no service runs. */
import { join } from 'node:path';
import { ResponderChanges } from '../flows/sign/change-responder.ts';
import type { SigningKeys } from '../flows/issuer-setup.ts';
import type { Journal } from '../ports/journal.ts';
import type { Core } from './core.ts';
import { keyReferencesIn } from './issuer-files.ts';
import { responderFiles } from './responder-files.ts';
import type { Keyring } from './signing-keys.ts';

/** @param running the open keys by issuer id, and how the signer is woken; undefined when no service runs. */
export function responderChanges(
  core: Core,
  journal: Journal,
  keyring: Keyring,
  running?: { readonly keys: ReadonlyMap<string, SigningKeys>; readonly wake: () => void },
): ResponderChanges {
  const { config, store, clock } = core;
  return new ResponderChanges({
    keys: running?.keys,
    wake: running?.wake ?? (() => undefined),
    store,
    journal,
    clock,
    files: responderFiles(config.dataDir),
    openKey: (issuer, references) =>
      keyring.holder(keyReferencesIn(join(config.dataDir, 'issuers', issuer), references, '/key')),
  });
}
