import { expect, it } from 'vitest';
import { Gathering, type Drawn } from '#machine/process/gathering';
import { LARGE, SiteRow, type Surveyed } from '#machine/process/site-row';
import { rowsOf } from '#machine/process/survey';
import { Windows } from '#machine/process/windows';
import type { Batch } from '#plan/batch';
import { SiteColumns } from '#plan/draw';

const [HERE, THERE] = [0, 1];
const APART = 4096;

/** Groups of sites in made-up memory, each with bytes of its own; all change unless told otherwise. */
class Sites implements Drawn {
  readonly #memory = new ArrayBuffer(1 << 20);
  readonly #groups: Surveyed[] = [];
  #rows: SiteRow[] | null = null;
  /** The text of a group. */
  readonly texts: number[] = [];
  /** How often edits were asked for in a batch of their own. */
  asked = 0;
  #end = 0;

  add(count: number, way = 1, change = (_site: number): boolean => true, text = HERE): void {
    this.texts.push(text);
    const columns = new SiteColumns(count, -1, this.#memory, this.#end);
    const { batch } = columns;
    for (let i = 0; i < count; i++) {
      batch.at[i] = APART * (1 + this.count) + 32 * i;
      batch.length[i] = 5;
      batch.old.fill(this.count + i, 8 * i, 8 * i + 5);
      batch.new.set(batch.old.subarray(8 * i, 8 * i + 8), 8 * i);
      if (!change(i)) continue;
      batch.new[8 * i + 4]! ^= 0x55;
      batch.way[i] = way;
      batch.ways |= way;
    }
    const at = this.#end;
    this.#end += Math.ceil(SiteColumns.size(count) / 8) * 8;
    this.#groups.push({ at, columns, rows: rowsOf(columns) });
  }

  /** A window is a copy of the memory here, so every group is there before. */
  get rows(): SiteRow[] {
    const view = (at: number, length: number): ArrayBuffer => this.#memory.slice(at, at + length);
    const windows = new Windows({ view });
    return (this.#rows ??= this.#groups.map(
      (group, k) => new SiteRow(windows, group, this.texts[k]!),
    ));
  }

  get count(): number {
    return this.#groups.length;
  }
  row(k: number): SiteRow {
    return this.rows[k]!;
  }
  batch(k: number): Batch {
    this.asked++;
    const { columns } = this.#groups[k]!;
    const { batch } = columns;
    return columns.changed(batch.way.subarray(0, batch.count).filter((way) => way === 0).length);
  }
}

interface Edit {
  readonly at: number;
  readonly bytes: readonly number[];
  readonly way: number;
}

const editsOf = (batches: readonly Batch[]): Edit[] =>
  batches
    .flatMap((b) =>
      Array.from({ length: b.count }, (_, i) => ({
        at: b.address(i),
        bytes: [
          b.lengthAt(i),
          ...b.old.subarray(8 * i, 8 * i + 8),
          ...b.new.subarray(8 * i, 8 * i + 8),
        ],
        way: b.way[i]!,
      })),
    )
    .sort((a, b) => a.at - b.at);

const everyBatch = (sites: Sites): Batch[] =>
  Array.from({ length: sites.count }, (_, k) => sites.batch(k));

it('a thousand keys that are updated at once are one batch for each text, and no edit is lost', () => {
  const sites = new Sites();
  for (let i = 0; i < 1000; i++)
    sites.add(1 + (i % 3), 1 << (i % 3), () => true, i % 7 === 0 ? THERE : HERE);
  const gathered = new Gathering().gather(sites);
  expect(sites.asked).toBe(0);
  expect(gathered).toHaveLength(2);
  expect(gathered.map(({ ways }) => ways)).toEqual([7, 7]);
  expect(editsOf(gathered)).toEqual(editsOf(everyBatch(sites)));
  const apart = everyBatch(sites).filter((_, i) => sites.texts[i] === THERE);
  expect(editsOf(gathered.slice(0, 1))).toEqual(editsOf(apart));
});

it('a site that stays as it is gets no edit', () => {
  const sites = new Sites();
  for (let i = 0; i < 100; i++) sites.add(3, 1, (site) => site === i % 3);
  const gathered = new Gathering().gather(sites);
  expect(gathered.map(({ count }) => count)).toEqual([100]);
  expect(editsOf(gathered)).toEqual(editsOf(everyBatch(sites)));
});

it('a large key beside many small ones is not copied', () => {
  const sites = new Sites();
  for (let i = 0; i < 20; i++) sites.add(i === 10 ? 1000 : 2);
  const gathered = new Gathering().gather(sites);
  expect(gathered).toContain(sites.batch(10));
  expect(gathered).toHaveLength(2);
  expect(editsOf(gathered)).toEqual(editsOf(everyBatch(sites)));
});

it('a few batches stay as they are: each is an operation, and none is copied', () => {
  const sites = new Sites();
  sites.add(1000);
  sites.add(LARGE - 1);
  const gathered = new Gathering().gather(sites);
  expect(gathered).toEqual([sites.batch(0), sites.batch(1)]);
});

it('what was gathered for the last update is not in the next one', () => {
  const gathering = new Gathering();
  const [first, second] = [30, 20].map((count, k) => {
    const sites = new Sites();
    for (let i = 0; i < count; i++) sites.add(1, 1 << k);
    return sites;
  });
  gathering.gather(first!);
  const gathered = gathering.gather(second!);
  expect(editsOf(gathered)).toEqual(editsOf(everyBatch(second!)));
  expect(gathered.map(({ ways }) => ways)).toEqual([2]);
});
