/** deploy/guide/presets.md, written from the presets themselves. */
import { leftToOperator, loadPreset, type Preset, presetIds, type PublicUrl } from '../../src/apps/presets.ts';
import { formatDuration } from '../../src/core/time.ts';

/** The whole page, Markdown. */
export function presetsPage(): string {
  const presets = presetIds().map((id) => loadPreset(id, 'preset'));
  return `# Presets: one for each CA

\`certstatus issuer add <id> --preset <name>\` takes the numbers of a CA from its own documents. Each preset is a file in
[deploy/presets/](../presets/), with the source of every value beside it; \`issuer.yaml\` may override a value, and \`check-config\` refuses
what a document forbids, and names the rule. This page is made from the files; a test fails when it is not.

Every preset is run by a test: a CA made by OpenSSL with that name and key, asked by OpenSSL at those URLs.

## Which one

| your CA | preset |
|---|---|
${presets.map(({ id, title }) => `| ${title} | \`${id}\` |`).join('\n')}

Not shipped, because they are retired: Security Communication RootCA1, SECOM TLS RSA Root CA 2023.

## Timing

OCSP: how long an answer is valid, when it is signed again, and for how long after its end a certificate is answered for. CRL: how often, how
long valid, how soon after a revocation, and for how long after its end a certificate stays listed. **–**: the documents leave it to a CP, so
the operator must say it.

| preset | OCSP valid | signed again | after expiry | CRL every | CRL valid | after a revocation | listed after expiry |
|---|---|---|---|---|---|---|---|
${presets.map(timing).join('\n')}

## Keys, reasons, rules

| preset | issues | CA key | responder keys | responder certificate | holds | rules of |
|---|---|---|---|---|---|---|
${presets.map(keys).join('\n')}

Reasons are keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn, or none, everywhere. Where holds
*may be allowed*, \`issuer add --allow-hold\` (\`reasons: { hold: allow }\`) does it, for a CA under the policies Legacy or Multipurpose.
A date of revocation may be corrected for a key compromise, and only back; under \`code-signing\` and \`timestamping\` for every reason and both ways
(CSBR 7.2), from the certificate's notBefore on.

## URLs

\`{id}\` is the id that the issuer is registered under. A path without a host answers at every host.

| preset | OCSP | CRL | CA certificate |
|---|---|---|---|
${presets.map(urls).join('\n')}

## What the operator must say

Some documents leave values to a CP that is not public. Such a preset refuses to guess, names all that is missing at once, and runs when it is said:

| preset | values |
|---|---|
${presets
  .filter((preset) => leftToOperator(preset).length > 0)
  .map((preset) => `| \`${preset.id}\` | ${leftToOperator(preset).map(code).join(', ')} |`)
  .join('\n')}

<!-- run by: test/e2e/own-ca.test.ts -->

\`\`\`sh
certstatus issuer add root --preset secom-tls-rsa-root-ca-2024 --ca root.cer --responder-cert ocsp.pem --responder-key ocsp.key \\
    --ocsp-validity 4d --ocsp-refresh-after 1d --crl-period 30d --crl-validity 90d \\
    --ocsp-path ocsp.example/ --crl-path repository.example/root.crl --ca-path repository.example/root.cer
\`\`\`

## The CAs by name

The CA certificate must have this name, and the key identifier where one is known. A certificate with another fingerprint is taken with a
warning: compare it before it is served.

| preset | name | key identifier | signature | SHA-256 of the certificates |
|---|---|---|---|---|
${presets
  .filter(({ issuer }) => issuer !== undefined)
  .map(identity)
  .join('\n')}
${presets.flatMap(({ id, issuer }) => (issuer?.misprint === undefined ? [] : [`\n\`${id}\`: ${issuer.misprint}.`])).join('\n')}

## Sources

${presets.map(({ id, source }) => `- \`${id}\`: ${source}.`).join('\n')}

001 is the SECOM root CPS, 003 the SECOM CPS for its digital certification infrastructure, 004 the Cybertrust Japan CP/CPS; 002 is
SECOM's record in Mozilla's CA program.
`;
}

const NONE = '–';
const code = (text: string): string => `\`${text}\``;
const time = (value: number | undefined): string => (value === undefined ? NONE : formatDuration(value));

function timing({ id, ocsp, crl }: Preset): string {
  const kept = crl.afterExpiry === undefined ? 'one scheduled CRL' : `${time(crl.afterExpiry)}, then one scheduled CRL`;
  return row(code(id), time(ocsp.validity), time(ocsp.refreshAfter), time(ocsp.afterExpiry), time(crl.period), time(crl.validity), time(crl.coalesce), kept); // prettier-ignore
}

function keys({ id, issues, ca, responder, reasons, authorities }: Preset): string {
  const optional = authorities.includes('cabf-smime') && issues === 'subscriber-certificates';
  const holds = reasons.hold === 'allow' ? 'allowed' : optional ? 'refused; may be allowed' : 'refused';
  return row(code(id), issues === 'ca-certificates' ? 'CA certificates' : 'to subscribers', `${ca.keyTypes.join(', ')} (${ca.rule})`, responder.keyTypes.join(', '), `at most ${time(responder.maxValidity)}`, holds, authorities.join(', ')); // prettier-ignore
}

function urls({ id, urls: { ocsp, crl, caCertificate } }: Preset): string {
  const shown = (list: readonly PublicUrl[] = []): string =>
    list.length === 0 ? NONE : list.map(({ host = '', path }) => code(`${host}${path}`)).join(' ');
  return row(code(id), shown(ocsp), shown(crl), shown(caCertificate));
}

function identity({ id, issuer, ca }: Preset): string {
  const { subject = {}, keyId, fingerprints = [] } = issuer ?? {};
  const name = Object.entries(subject).map(([type, value]) => `${type}=${value}`);
  return row(code(id), name.join(', '), keyId ?? NONE, ca.signature ?? NONE, fingerprints.join(' '));
}

function row(...cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
