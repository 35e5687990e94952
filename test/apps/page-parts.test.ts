import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { chart } from '../../src/apps/admin/charts.ts';
import { Figures } from '../../src/apps/admin/figures.ts';
import { History } from '../../src/apps/admin/history.ts';
import { CONTENT_SECURITY_POLICY, document } from '../../src/apps/admin/layout.ts';
import { Recent } from '../../src/apps/admin/recent.ts';
import { problemKey, type ProblemStatus } from '../../src/apps/admin/status-problems.ts';
import { THEMES } from '../../src/apps/admin/style.ts';
import { bytes, clockTime, fromNow, span } from '../../src/apps/admin/words.ts';
import type { JournalRecord } from '../../src/core/journal-record.ts';
import { MetricSet } from '../../src/core/metric.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';

const START = Date.UTC(2026, 10, 20, 8);

describe('the colours of the pages', () => {
  /** WCAG 2.2 §1.4.3: relative luminance, and the contrast of two. */
  const luminance = (hex: string): number => {
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map((i) => {
      const part = parseInt(hex.slice(i, i + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a: string, b: string): number => {
    const [dark = 0, light = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };

  it('computes contrasts as WCAG does', () => {
    assert.equal(contrast('#000000', '#ffffff'), 21);
    assert.equal(contrast('#777777', '#ffffff').toFixed(2), '4.48');
  });

  for (const [name, theme] of Object.entries(THEMES))
    it(`can be read in the ${name} theme`, () => {
      const texts = ['ink', 'quiet', 'ok', 'warn', 'bad', 'link', 's0', 's1', 's2', 's3'] as const;
      for (const text of texts)
        for (const ground of ['paper', 'card'] as const)
          assert.ok(contrast(theme[text], theme[ground]) >= 4.5, `${text} on ${ground}`);
      for (const tone of ['ok', 'warn', 'bad'] as const)
        for (const text of ['ink', 'quiet', 'link', tone] as const)
          assert.ok(contrast(theme[text], theme[`${tone}-soft`]) >= 4.5, `${text} on ${tone}-soft`);
      // The strip that says that the page is old; borders of what can be worked (WCAG 1.4.11).
      assert.ok(contrast(theme.card, theme.bad) >= 4.5);
      assert.ok(contrast(theme.control, theme.card) >= 3);
    });
});

describe('the content security policy', () => {
  it('lets the one script run that the page has', () => {
    const page = document({ title: 'a', viewer: undefined, path: '/', reloads: 10, body: '' });
    const [, script = ''] = /<script>([^]*)<\/script>/.exec(page) ?? [];
    const hash = createHash('sha256').update(script).digest('base64');
    assert.ok(script.length > 100 && CONTENT_SECURITY_POLICY.includes(`script-src 'sha256-${hash}'`));
    assert.ok(script.split('\n').length < 60);
  });
});

describe('History', () => {
  it('keeps an hour of looks and two days of steps, and turns counters into rates', () => {
    const set = new MetricSet();
    const answers = set.counter('certstatus_answers_total', '', { outcome: 'good' });
    const later = set.counter('certstatus_answers_total', '', { outcome: 'try-later' });
    let waiting = 0;
    set.gauge('certstatus_backlog', '', () => [[{ lane: 'refresh' }, waiting]]);
    const history = new History(new Map([['a', 100]]), START);
    let now = START;
    const looks = (3 * DAY) / (10 * SECOND);
    for (let i = 0; i <= looks; i += 1, now += 10 * SECOND) {
      waiting = i % 30 === 17 ? 500 : 3;
      history.add(now, Figures.of(set));
      answers.value += 40;
      later.value += 10;
    }
    const end = now - 10 * SECOND;
    const hour = history.points('answers', 'hour');
    assert.deepEqual([hour.length, hour[0]?.[0], hour.at(-1)?.[0]], [360, end - HOUR + 10 * SECOND, end]);
    assert.ok(hour.every(([, value]) => value === 5));
    assert.ok(history.points('later', 'hour').every(([, value]) => value === 1));
    const days = history.points('backlog:refresh', 'days');
    assert.equal(days.length, 576);
    // A peak of ten seconds is not lost in two days.
    assert.ok(days.every(([, value]) => value === 500));
    assert.deepEqual(history.points('age:1:b', 'hour'), []);
  });

  it('knows nothing where a counter began anew or the clock was set back', () => {
    const set = new MetricSet();
    const signed = set.counter('certstatus_signatures_total', '', { slot: 'files', use: 'ocsp' });
    const history = new History(new Map(), START);
    const values = [[0, 100], [10, 200], [20, 50], [15, 90], [25, 140]] as const; // prettier-ignore
    for (const [seconds, value] of values) {
      signed.value = value;
      history.add(START + seconds * SECOND, Figures.of(set));
    }
    assert.deepEqual(history.points('signatures', 'hour').map(([, value]) => value), [undefined, 10, undefined, undefined, 5]); // prettier-ignore
  });

  it('says of revocations how long the slowest took at most', () => {
    const set = new MetricSet();
    const seconds = set.histogram('certstatus_revocation_to_ocsp_seconds', '', [0.1, 1, 60]);
    const history = new History(new Map(), START);
    const look = (i: number): void => history.add(START + i * 10 * SECOND, Figures.of(set));
    seconds.observe(50);
    look(0);
    look(1);
    seconds.observe(0.05);
    seconds.observe(0.7);
    look(2);
    look(3);
    assert.deepEqual(history.points('visible:ocsp', 'hour').map(([, value]) => value), [undefined, undefined, 1, undefined]); // prettier-ignore
  });
});

describe('chart', () => {
  const points = [0, 1, 2, 3].map((i) => [START + i * MINUTE, i === 1 ? undefined : 10 * i] as const);
  const drawn = { id: 'a', title: 'A < B', unit: 'x', from: START, to: START + 3 * MINUTE, format: String };

  it('breaks a line where nothing is known, and names lines and limit', () => {
    const svg = chart({ ...drawn, lines: [{ name: 'one', points }], limit: { value: 40, name: 'limit' } });
    assert.match(svg, /<path class="line s0" d="M[\d. ]+M[\d. ]+L[\d. ]+"\/>/);
    assert.match(svg, /aria-label="A &#60; B, x\. one: last 30, least 0, most 30; limit: 40\."/);
    assert.match(svg, /class="label s0"[^>]*>one</);
    assert.match(svg, /class="limit"[^>]*>limit</);
  });

  it('keeps the names of lines that lie on each other apart', () => {
    const lines = ['one', 'two', 'three', 'four'].map((name) => ({ name, points: [[START, 0] as const] }));
    const places = [...chart({ ...drawn, lines }).matchAll(/class="label s\d" x="[\d.]+" y="([\d.]+)"/g)].map(([, y]) => Number(y)); // prettier-ignore
    assert.equal(places.length, 4);
    places
      .sort((a, b) => a - b)
      .forEach((y, i) => assert.ok(i === 0 || y - (places[i - 1] as number) >= 14, places.join()));
    assert.ok(places.every((y) => y > 0 && y < 190));
  });

  it('says that there is nothing, instead of an empty picture', () => {
    assert.match(chart({ ...drawn, lines: [{ name: 'one', points: [] }] }), /Nothing known yet/);
    assert.match(chart({ ...drawn, lines: [], dots: true }), /None in this time/);
  });
});

describe('Recent', () => {
  const problem = (what: string): ProblemStatus => ({
    severity: 'failing',
    alert: 'TokenUnusable',
    subject: 'hsm',
    what,
    means: '',
    promise: undefined,
    todo: '',
    since: undefined,
  });
  const record = (type: JournalRecord['type'], seconds: number, description: string): JournalRecord => ({
    type,
    actor: 'signer',
    issuer: 'a',
    description,
    seq: 1,
    at: new Date(START + seconds * SECOND).toISOString(),
    prev: '',
    hash: '',
  });

  it('tells of a problem when it comes and when it goes, whatever is said of it meanwhile', () => {
    const recent = new Recent();
    recent.problems([problem('3 h left')], START);
    recent.problems([problem('2 h left')], START + HOUR);
    assert.equal(recent.since(problemKey(problem(''))), START);
    recent.problems([], START + 2 * HOUR);
    assert.equal(recent.since(problemKey(problem(''))), undefined);
    assert.deepEqual(recent.list.map(({ kind, what }) => [kind, what]), [['cleared', 'No more: 2 h left'], ['problem', '3 h left']]); // prettier-ignore
  });

  it('puts CRLs of many shards into one line, leaves signatures out, and stays bounded', () => {
    const recent = new Recent();
    recent.records([record('ocsp.signed', 0, '500 answers')]);
    for (let i = 0; i < 12; i += 1) recent.records([record('crl.published', i, `CRL ${i}`)]);
    assert.deepEqual(
      recent.list.map(({ what }) => what),
      ['a: CRL 11 and 11 more before it'],
    );
    recent.records([record('crl.published', 1000, 'CRL 99')]);
    assert.equal(recent.list.length, 2);
    for (let i = 0; i < 100; i += 1) recent.records([record('token.lost', i, `${i}`)]);
    assert.equal(recent.list.length, 30);
    assert.equal(recent.list[0]?.what, 'a: 99');
  });
});

describe('words', () => {
  it('cuts lengths of time, and never rounds up', () => {
    const said = [0, 340, 9990, 119_999, 2 * HOUR - 1, 2 * HOUR, 5 * HOUR + 59 * MINUTE, 47 * HOUR, 9 * DAY + 23 * HOUR, 400 * DAY].map(span); // prettier-ignore
    assert.deepEqual(said, ['0 s', '340 ms', '9.9 s', '119 s', '119 min', '2 h', '5 h 59 min', '47 h', '9 days 23 h', '400 days']); // prettier-ignore
  });

  it('says sizes and instants', () => {
    assert.deepEqual([0, 999, 1000, 1250, 999_600, 38e6].map(bytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '1.3 kB',
      '1.0 MB',
      '38 MB',
    ]);
    assert.equal(clockTime('2026-11-20T08:00:05Z', START), '20 Nov 08:00:05Z');
    assert.equal(clockTime('2027-02-03T08:00:00Z', START), '3 Feb 2027');
    assert.deepEqual([fromNow('2026-11-20T08:00:00Z', START), fromNow('2026-11-20T09:00:00Z', START)], ['0 s ago', 'in 60 min']); // prettier-ignore
  });
});
