/** What every page of the admin port has in common: the document around it, the style, and escaping. No scripts, no outside assets. */

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

const NAVIGATION: readonly (readonly [path: string, name: string, right: AdminRight])[] = [
  ['/', 'Status', 'view'],
  ['/certificate', 'Certificate', 'audit'],
  ['/audit', 'Audit log', 'audit'],
];

export function document({ title, viewer, path, reloads, body }: Page): string {
  const refresh = reloads === undefined ? '' : `\n<meta http-equiv="refresh" content="${reloads}">`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">${refresh}
<title>${escape(title)} · certstatus</title>
<style>${STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
${viewer === undefined ? '' : navigation(viewer, path)}
<main id="main">
${body}
</main>
</body>
</html>
`;
}

function navigation(viewer: Viewer, path: string): string {
  const links = NAVIGATION.filter(([, , right]) => viewer.may.includes(right)).map(
    ([to, name]) => `<a href="${to}"${to === path ? ' aria-current="page"' : ''}>${name}</a>`,
  );
  return `<nav aria-label="Pages">${links.join('')}<span class="viewer">${escape(viewer.name)}</span></nav>`;
}

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1b2430; --paper: #fbfbf9; --line: #d5d9de; --quiet: #5a6673; --ok: #17683a; --warn: #8a5300; --bad: #a81e1e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14181d; --line: #333b45; --quiet: #9aa6b3; --ok: #63c48c; --warn: #e3b04b; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 0 auto; padding: 1rem; }
nav { display: flex; flex-wrap: wrap; gap: 0 1.5rem; } nav .viewer { margin-left: auto; color: var(--quiet); } nav [aria-current] { font-weight: 600; }
.skip { position: absolute; left: -100rem; } .skip:focus { left: 1rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1.5rem; border-bottom: 1px solid var(--line); }
h1 { font-size: 1.25rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: 0; }
.at, article p, footer { color: var(--quiet); } article p { margin-top: 0; }
.verdict { font-weight: 600; } .verdict::before { content: "● "; }
.ok { color: var(--ok); } .warning { color: var(--warn); } .failing { color: var(--bad); }
.problems strong { display: block; } .problems li { margin-bottom: .5rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .5rem .3rem 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; overflow-wrap: anywhere; vertical-align: baseline; }
td small { display: block; color: var(--quiet); }
tbody th { font-weight: 400; width: 45%; } .number { text-align: right; }
a { color: inherit; } footer { margin-top: 2rem; }
`;
