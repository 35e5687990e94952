/** The dashboards, in the order in which somebody who was called looks at them. The arithmetic of the limits is in ../prometheus/alerts.rules.yml. */
import { AUDIT } from './audit.ts';
import { CRLS } from './crls.ts';
import { PROMISES } from './promises.ts';
import { RESPONDERS } from './responders.ts';
import { SIGNER } from './signer.ts';
import { STORES } from './stores.ts';
import { type Dashboard } from './panels.ts';

export const DASHBOARDS: readonly Dashboard[] = [PROMISES, SIGNER, RESPONDERS, CRLS, STORES, AUDIT];
