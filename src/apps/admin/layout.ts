/** What every page of the admin port has in common: the document around it, its policy, and escaping. No outside assets. */
import { RELOAD_HASH, RELOAD_SCRIPT } from './reload.ts';
import { STYLE } from './style.ts';

/** Who looks at a page, and what they may do beyond looking. */
export interface Viewer {
  /** As the page greets them and the audit log names them. */
  readonly name: string;
  readonly may: readonly AdminRight[];
  /** Goes back with every form, in the hidden field `csrf`: a form of another site does not know it. */
  readonly csrf: string;
}

/**
 * view: the status page. operate: publish a CRL, pause and resume a mass revocation. activate: enter a share of a PIN. audit: the
 * history of a certificate, and the audit log.
 */
export const ADMIN_RIGHTS = ['view', 'operate', 'activate', 'audit'] as const;
export type AdminRight = (typeof ADMIN_RIGHTS)[number];

export interface Page {
  /** Said first in the tab: the verdict, or what the page is about. */
  readonly title: string;
  /** Undefined on the page where one signs in. */
  readonly viewer: Viewer | undefined;
  /** Path of the page, for the navigation. */
  readonly path: string;
  /** Seconds; undefined: the page stays as it is. */
  readonly reloads?: number | undefined;
  /** HTML: whatever comes from outside has been through `escape`. */
  readonly body: string;
}

/** Of every page: nothing from anywhere else, no frame around it, and one script, which is known by its hash. */
export const CONTENT_SECURITY_POLICY = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '${RELOAD_HASH}'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`;

/** Where no script runs the whole page is loaded anew, which loses the focus: less often. */
const WITHOUT_SCRIPT_SECONDS = 30;

const NAVIGATION: readonly (readonly [path: string, name: string, right: AdminRight])[] = [
  ['/', 'Status', 'view'],
  ['/certificate', 'Certificate', 'audit'],
  ['/audit', 'Audit log', 'audit'],
];

export function document({ title, viewer, path, reloads, body }: Page): string {
  const reloading = reloads !== undefined;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)} · certstatus</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>${reloading ? `\n<noscript><meta http-equiv="refresh" content="${WITHOUT_SCRIPT_SECONDS}"></noscript>` : ''}
</head>
<body${reloading ? ` data-reloads="${reloads}"` : ''}>
<a class="skip" href="#main">Skip to the content</a>
${viewer === undefined ? '' : navigation(viewer, path)}
${reloading ? '<p id="said" class="hidden" role="status"></p>\n<p id="old" role="alert" hidden>The service does not answer: what you see is old.</p>' : ''}
<main id="main" tabindex="-1">
${body}
</main>
${reloading ? `<script>${RELOAD_SCRIPT}</script>` : ''}
</body>
</html>
`;
}

function navigation(viewer: Viewer, path: string): string {
  const links = NAVIGATION.filter(([, , right]) => viewer.may.includes(right)).map(
    ([to, name]) => `<a href="${to}"${to === path ? ' aria-current="page"' : ''}>${name}</a>`,
  );
  return `<nav aria-label="Pages"><span class="brand">certstatus</span>${links.join('')}<span class="viewer">${escape(viewer.name)}</span></nav>`;
}

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
