/** An issuer as its directory has it, for the flows. */
import type { ServedIssuer } from '../flows/issuer-setup.ts';
import { Responders, servedResponder } from '../flows/responders.ts';
import type { IssuerSetup } from './issuer-files.ts';

/** With the responder certificates of its directory. */
export function servedIssuer(setup: IssuerSetup): ServedIssuer {
  const { id, issuer, profile, crls } = setup;
  const responders = new Responders(setup.responders.map(({ certificate }) => servedResponder(issuer, certificate)));
  for (const { certificate, use } of setup.responders) if (use !== 'signing') responders.retire(certificate.id, use);
  return { id, tag: issuer.tag, issuer, profile, crls, responders };
}
