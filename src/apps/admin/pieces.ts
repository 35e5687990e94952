/** Small pieces of HTML that every part of the status page is made of. What is handed over as text is escaped here, once. */
import { escape, type AdminRight, type Viewer } from './layout.ts';
import { clockTime, fromNow } from './words.ts';

export type Tone = 'ok' | 'warning' | 'failing';

const SIGNS: Readonly<Record<Tone, string>> = {
  ok: '<circle cx="12" cy="12" r="10.5" fill="none" stroke="currentColor" stroke-width="2.2"/><path d="M7 12.5l3.4 3.4L17 8.8" fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round"/>',
  warning:
    '<path d="M12 2.5L22.5 21h-21z" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linejoin="round"/><path d="M12 9v5.5M12 17.2v1" stroke="currentColor" stroke-width="2.6" stroke-linecap="round"/>',
  failing:
    '<path d="M8 1.8h8L22.2 8v8L16 22.2H8L1.8 16V8z" fill="currentColor"/><path d="M8.3 8.3l7.4 7.4M15.7 8.3l-7.4 7.4" stroke="var(--card)" stroke-width="2.6" stroke-linecap="round"/>',
};

/** A shape for each tone, so that the colour is not needed; the words beside it say the same. */
export function sign(tone: Tone): string {
  return `<svg class="sign" viewBox="0 0 24 24" aria-hidden="true">${SIGNS[tone]}</svg>`;
}

/** `in 3 h` with the instant below it: nobody should have to subtract. */
export function instant(text: string | undefined, now: number, none = '–'): string {
  if (text === undefined) return escape(none);
  return `${escape(fromNow(text, now))}<small><time datetime="${escape(text)}">${escape(clockTime(text, now))}</time></small>`;
}

/** The same in one line. */
export function instantLine(text: string, now: number): string {
  return `<time datetime="${escape(text)}">${escape(clockTime(text, now))}</time> (${escape(fromNow(text, now))})`;
}

const MOST_ON_A_PHONE = 4;

export interface Column {
  readonly name: string;
  /** Right-aligned. */
  readonly number?: boolean;
  /** Takes the room that it needs and no more; it is not broken into lines. */
  readonly fixed?: boolean;
}

/** Cells are HTML; the first of each row is its header. On a phone each row of a wide one is a block, and each cell says what it is. */
export function table(caption: string, columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const kindOf = ({ number, fixed }: Partial<Column>): string =>
    number === true || fixed === true
      ? ` class="${[number === true ? 'number' : '', fixed === true ? 'fixed' : ''].join(' ').trim()}"`
      : '';
  const head = columns.map((column) => `<th scope="col"${kindOf(column)}>${escape(column.name)}</th>`);
  const body = rows.map((cells) => {
    const each = cells.map((cell, i) => {
      const { name = '' } = columns[i] ?? {};
      const kind = kindOf(columns[i] ?? {});
      return i === 0 ? `<th scope="row"${kind}>${cell}</th>` : `<td${kind} data-is="${escape(name)}">${cell}</td>`;
    });
    return `<tr>${each.join('')}</tr>`;
  });
  const wide = columns.length > MOST_ON_A_PHONE ? ' class="stack"' : '';
  return `<table${wide}><caption class="hidden">${escape(caption)}</caption><thead><tr>${head.join('')}</tr></thead><tbody>${body.join('\n')}</tbody></table>`;
}

/** Name and value, a few to a row. Values are HTML. */
export function facts(list: readonly (readonly [name: string, value: string])[]): string {
  return `<dl class="facts">${list.map(([name, value]) => `<div><dt>${escape(name)}</dt><dd>${value}</dd></div>`).join('')}</dl>`;
}

/** Name and value, one to a row. Values are HTML. */
export function list(entries: readonly (readonly [name: string, value: string])[]): string {
  return `<dl class="list">${entries.map(([name, value]) => `<dt>${escape(name)}</dt><dd>${value}</dd>`).join('')}</dl>`;
}

/** A button that does something; nothing for whoever may not. The server checks the right again. */
export function action(
  viewer: Viewer,
  right: AdminRight,
  to: string,
  label: string,
  fields: Readonly<Record<string, string>> = {},
): string {
  if (!viewer.may.includes(right)) return '';
  const hidden = Object.entries({ csrf: viewer.csrf, ...fields }).map(
    ([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`,
  );
  return `<form method="post" action="${escape(to)}">${hidden.join('')}<button id="${idOf('do', to, ...Object.values(fields))}">${escape(label)}</button></form>`;
}

/** The same for the same thing after each reload, so that the focus finds its place again. */
export function idOf(...parts: readonly string[]): string {
  return parts.map((part) => part.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '')).join('-');
}

export function section(id: string, title: string, body: string, after = ''): string {
  return body === '' ? '' : `<section aria-labelledby="${id}"><h2 id="${id}">${escape(title)}${after}</h2>\n${body}</section>`; // prettier-ignore
}
