/** An issuer as its directory has it, for the flows. */
import { loadResponderCertificate } from '../core/responder-certificate.ts';
import type { ServedIssuer } from '../flows/issuer-setup.ts';
import { Responders, servedResponder } from '../flows/responders.ts';
import type { IssuerSetup } from './issuer-files.ts';

/** With the responder certificates of its directory. */
export function servedIssuer(setup: IssuerSetup): ServedIssuer {
  const { id, issuer, profile, crls, ocspSignedBy, crlKeys } = setup;
  const own = ocspSignedBy === 'ca' ? issuer.certificates.map(({ der }) => loadResponderCertificate(der)) : [];
  const certificates = [...own, ...setup.responders.map(({ certificate }) => certificate)];
  const responders = new Responders(certificates.map((certificate) => servedResponder(issuer, certificate)));
  for (const { certificate, use } of setup.responders) if (use !== 'signing') responders.retire(certificate.id, use);
  const offline = { crl: crlKeys === undefined, ocsp: ocspSignedBy === 'ca' };
  return { id, tag: issuer.tag, issuer, profile, crls, offline, responders };
}
