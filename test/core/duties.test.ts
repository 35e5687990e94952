/** The catalogue of duties is held against the list of ids of the requirements: none forgotten, none invented, none twice. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { makeProgram } from '../../src/apps/program.ts';
import { CLAUSES } from '../../src/core/policy/clause.ts';
import { CATALOGUE } from '../../src/core/duties/catalogue.ts';
import { PROMISES } from '../../src/core/duties/promises.ts';
import { namesCommand } from '../support/command-line.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const FIXTURE = resolve(ROOT, 'test/fixtures/duty-ids.txt');
const wanted = readFileSync(FIXTURE, 'utf8').trim().split('\n');
const duties = CATALOGUE.flatMap((chapter) => chapter.duties);
const ids = duties.flatMap((duty) => duty.ids);

describe('the catalogue of duties', () => {
  it('has every id of the requirements once', () => {
    assert.deepEqual(
      wanted.filter((id) => !ids.includes(id)),
      [],
      'forgotten',
    );
    assert.deepEqual(
      ids.filter((id) => !wanted.includes(id)),
      [],
      'invented',
    );
    assert.deepEqual(
      ids.filter((id, at) => ids.indexOf(id) !== at),
      [],
      'twice',
    );
  });

  it('has a duty for each ground of revocation', () => {
    const clauses = duties.flatMap(({ shown }) => (shown.how === 'evidence' ? (shown.clause ?? []) : []));
    assert.deepEqual(clauses, CLAUSES.filter(({ withinMs }) => withinMs !== undefined).map(({ id }) => id)); // prettier-ignore
  });

  it('has the duties by which the promises are shown', () => {
    assert.deepEqual(
      PROMISES.flatMap(({ shownBy }) => shownBy).filter((id) => !ids.includes(id)),
      [],
    );
    assert.deepEqual(
      PROMISES.map(({ id }) => id),
      ['P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7', 'P8'],
    );
  });

  it('names for what is enforced or tested the source and the tests that show it, and they are there', () => {
    const claims = duties.flatMap(({ ids: [id = ''], shown }) => ('proof' in shown ? [{ id, ...shown }] : []));
    assert.ok(claims.length > 35);
    for (const { id, how, proof, where } of claims) {
      for (const named of proof) {
        const [, path = '', words = ''] = /^([\w./-]+): (.*)$/.exec(named) ?? [];
        assert.ok(path !== '' && words.length > 3, `${id}: ${named}`);
        assert.ok(readFileSync(resolve(ROOT, path), 'utf8').includes(words), `${id}: ${named}`);
      }
      assert.ok(
        proof.some((named) => named.startsWith('test/')),
        `${id} has no test`,
      );
      if (how === 'enforced')
        assert.ok(
          proof.some((named) => !named.startsWith('test/')),
          `${id} has no source`,
        );
      for (const [path] of where.matchAll(/\b(?:README|deploy\/[\w./-]+)\.(?:md|yaml|acl)\b/g))
        assert.ok(existsSync(resolve(ROOT, path)), `${id}: ${path}`);
      for (const [, table] of where.matchAll(/([\w./-]+\.md), the table of clients/g))
        assert.match(readFileSync(resolve(ROOT, table ?? ''), 'utf8'), /^\| client \|/m, `${id}: ${table}`);
      for (const [, line = ''] of where.matchAll(/certstatus ((?:-{0,2}[a-z-]+ ?)+)/g))
        assert.ok(namesCommand(makeProgram(), line.trim()), `${id}: certstatus ${line}`);
    }
  });

  it('says of each in one sentence what is asked, and by which document', () => {
    for (const { ids, source, text } of duties) {
      assert.match(text, /^[A-Z].{10,140}\.$/, ids[0]);
      assert.match(source, /^(?:00[1-4]|CA)/, ids[0]);
    }
  });
});
