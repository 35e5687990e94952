/**
 * The page's only script: gets the page again and puts its content in the place of the old one, so that scroll position, focus and what
 * is unfolded stay. Not while somebody works in a form or has text selected, nor in a tab that nobody looks at. When the service
 * does not answer, the page says that it is old: a picture of a healthy service must not outlive it.
 */
import { createHash } from 'node:crypto';

export const RELOAD_SCRIPT = `
(() => {
  const every = Number(document.body.dataset.reloads) * 1000;
  const byId = (id) => document.getElementById(id);
  const busy = () =>
    document.hidden || document.activeElement.closest('main form') !== null || !getSelection().isCollapsed;
  const take = (next) => {
    const [old, fresh] = [byId('main'), next.getElementById('main')];
    const focused = document.activeElement.id;
    for (const one of old.querySelectorAll('details[id]')) {
      const same = fresh.querySelector('#' + CSS.escape(one.id));
      if (same !== null) same.open = one.open;
    }
    old.replaceWith(document.adoptNode(fresh));
    if (focused !== '') byId(focused)?.focus({ preventScroll: true });
    if (document.title !== next.title) byId('said').textContent = next.title;
    document.title = next.title;
    byId('old').hidden = true;
  };
  const again = async () => {
    try {
      if (busy()) return;
      const answer = await fetch(location.href, { headers: { accept: 'text/html' }, signal: AbortSignal.timeout(every) });
      if (answer.redirected || answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error();
      const text = await answer.text();
      if (!busy()) take(new DOMParser().parseFromString(text, 'text/html'));
    } catch {
      byId('old').hidden = false;
    } finally {
      setTimeout(again, every);
    }
  };
  setTimeout(again, every);
})();
`;

/** Of the script, for the content security policy: nothing else runs. */
export const RELOAD_HASH = `sha256-${createHash('sha256').update(RELOAD_SCRIPT).digest('base64')}`;
