// The playground in Chromium: each thing that a person does, at the width of a desk and of a phone,
// in the light and in the dark. The short run has the desk in the light.

import { statSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { check } from '#check/ask/check';
import { replayToken } from '#check/explain/replay';
import { decodeToken } from '#check/explain/token';
import { PROPERTY_NAMES } from '#check/properties';
import type { Protocol } from '#plan/protocol';
import { build, Folder } from '../build.js';
import { LONG, more } from '../more.js';
import { launch, LOOKS, noChromium, serious, SIZES, visit } from './browser.js';

// A browser beside other programs on two CPUs may take tens of seconds for what takes it one.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });
const SOON = { timeout: 100_000 } as const;

let browser: Browser;
beforeAll(async () => {
  if (!noChromium) browser = await launch();
});
afterAll(async () => {
  if (!noChromium) await browser.close();
});

/** On a phone one pane is shown at a time. */
async function pane(page: Page, name: string): Promise<void> {
  const button = page.getByRole('navigation', { name: 'Panes' }).getByRole('button', { name });
  if (await button.isVisible()) await button.click();
}
async function machine(page: Page): Promise<void> {
  const summary = page.getByText('machine', { exact: true });
  if (await summary.isVisible()) await summary.click();
}
const here = (page: Page) => page.locator('.time').first().locator('li.here');
const tokenIn = (page: Page): Promise<string> =>
  page.evaluate(() => location.hash.slice(1).split(';')[0] ?? '');

async function chooseSmall(page: Page, protocol: string): Promise<void> {
  await page.locator('#protocol').selectOption({ label: protocol });
  await machine(page);
  for (const name of ['passes', 'updates']) await page.getByLabel(name).selectOption('1');
}

const looks = LONG ? LOOKS : LOOKS.slice(0, 1);
describe.skipIf(noChromium).each(looks)('the page on a %s, %s', (size, colorScheme) => {
  const open = (fragment = '') => visit(browser, fragment, { viewport: SIZES[size], colorScheme });

  it('shows a torn call beside a whole one at the first visit', async () => {
    const { page, wrong } = await open();
    await expect.poll(() => here(page).innerText(), SOON).toContain('mixture');
    expect(await page.locator('.time h2').allInnerTexts()).toEqual([
      expect.stringContaining('naive'),
      expect.stringContaining('int3'),
    ]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(SIZES[size].width);
    expect(await serious(page)).toEqual([]);
    expect(wrong).toEqual([]);
    await page.context().close();
  });

  if (LONG)
    it('tells someone new why two stores tear, and lets them tear a call by three clicks', async () => {
      const { page, wrong } = await open();
      await here(page).waitFor();
      // Without a click or a scroll: what happens, in words, and which two steps decide it.
      const intro = page.locator('.intro');
      const { y, height } = (await intro.boundingBox())!;
      expect(y + height).toBeLessThan(SIZES[size].height);
      const told = await intro.innerText();
      expect(told).toMatch(/a CPU fetches between two of the stores and runs a ✕ mixture/);
      expect(told).toMatch(/A red line joins the two steps that decide, the crux/);
      const rows = await page.locator('.time').first().locator('li').allInnerTexts();
      const mixed = rows.findIndex((row) => /✕ a mixture/.test(row));
      expect(rows[mixed - 1]).toMatch(/stores 08 at f\+1/);
      expect(rows.join(' ')).toContain('a CPU may fetch between two of these stores');
      // From here each click is what the page says.
      let clicks = 0;
      const click = async (locator: Locator): Promise<void> => {
        await locator.click();
        clicks++;
      };
      const [, named] = /To choose the steps yourself, (.*)\./.exec(told) ?? [];
      await click(page.getByRole('button', { name: named!, exact: true }));
      const scheduler = page.getByRole('region', { name: 'Be the scheduler' });
      await click(scheduler.getByRole('button', { name: 'take back' }));
      await click(scheduler.getByRole('button', { name: /breaks torn: a mixture/ }).first());
      await scheduler.locator('.broken').getByText('a mixture is executed').first().waitFor();
      console.log(`${size}: the reason without a click, a torn call of one's own by ${clicks}`);
      expect(clicks).toBeLessThanOrEqual(5);
      expect(wrong).toEqual([]);
      await page.context().close();
    });

  if (LONG)
    it('searches, says the verdict, and steps through the failure by keys', async () => {
      const { page, wrong } = await open();
      await chooseSmall(page, 'int3-gap/no-gap');
      await page.getByRole('button', { name: 'Search' }).click();
      await page.getByRole('status').getByText('Fails').waitFor();
      await here(page).waitFor();
      const at = () => page.locator('.controls output').innerText();
      await expect.poll(at, SOON).toMatch(/^(\d+)\/\1$/);
      const end = await at();
      await page.keyboard.press('Home');
      await expect.poll(at, SOON).toMatch(/^0\//);
      await page.keyboard.press('ArrowRight');
      await expect.poll(at, SOON).not.toMatch(/^0\//);
      await page.keyboard.press('c');
      await expect.poll(at, SOON).toBe(end);
      await page.keyboard.press('?');
      await page.getByRole('dialog').waitFor();
      await page.keyboard.press('Escape');
      await pane(page, 'verdicts');
      const table = page.locator('.verdicts table');
      expect(await table.locator('tbody tr').count()).toBe(PROPERTY_NAMES.length);
      await table.getByRole('button', { name: /fails/ }).first().click();
      // The address is the command line's token.
      expect(replayToken(await tokenIn(page)).protocol).toBe('int3-gap');
      expect(await serious(page)).toEqual([]);
      expect(wrong).toEqual([]);
      await page.context().close();
    });

  if (LONG)
    it('lets a person tear a call by hand, and says what broke', async () => {
      const { page, wrong } = await open();
      await chooseSmall(page, 'naive');
      await pane(page, 'time');
      await page.keyboard.press('s');
      const scheduler = page.getByRole('region', { name: 'Be the scheduler' });
      await scheduler.getByRole('button', { name: 'What could still break?' }).click();
      await scheduler.getByRole('button', { name: /^torn in/ }).click();
      await scheduler.getByText('Nothing can.').waitFor();
      expect(await scheduler.locator('.broken').innerText()).toContain('a mixture is executed');
      await scheduler.getByRole('button', { name: 'take back' }).click();
      const moves = scheduler.locator('.moves').first().getByRole('button');
      await expect.poll(() => moves.count(), SOON).toBeGreaterThan(0);
      await moves.filter({ hasText: 'breaks torn' }).first().click();
      await scheduler.getByText('Nothing can.').waitFor();
      // Someone else sees the same by the address.
      const other = await open(`#${await tokenIn(page)}`);
      await other.page.getByText('a mixture is executed').first().waitFor();
      await other.page.context().close();
      expect(await serious(page)).toEqual([]);
      expect(wrong).toEqual([]);
      await page.context().close();
    });

  if (LONG)
    it('changes a protocol, and a missing sync is found', async () => {
      const { page, wrong } = await open();
      await chooseSmall(page, 'int3');
      await pane(page, 'protocol');
      await page.getByRole('button', { name: /Leave out step 3/ }).click();
      await page.getByRole('button', { name: 'Search' }).click();
      await page.getByRole('status').getByText('Fails').waitFor();
      await pane(page, 'time');
      await page.locator('.time .end.bad').waitFor();
      expect(replayToken(await tokenIn(page)).own).toBe(true);
      expect(wrong).toEqual([]);
      await page.context().close();
    });

  if (LONG)
    it('reads a file that is dropped, and refuses one that is none', async () => {
      const { page, wrong } = await open();
      await page.getByRole('button', { name: 'Files' }).click();
      const files = [
        { name: 'filters.o', mimeType: 'application/octet-stream', buffer: object() },
        { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('nothing') },
        { name: 'cut.o', mimeType: '', buffer: object().subarray(0, 90) },
        { name: 'far.o', mimeType: '', buffer: hostile() },
      ];
      await page.locator('input[type=file]').setInputFiles(files);
      const [good, bad, cut, far] = files.map(({ name }) => page.getByRole('article', { name }));
      await good?.getByText('Sites by key').waitFor();
      expect(await good?.locator('.cells rect').count()).toBeGreaterThan(1);
      expect(await good?.locator('.byname').first().innerText()).toContain('blend');
      await bad?.getByText('not-elf').waitFor();
      await cut?.getByRole('alert').waitFor();
      await far?.getByRole('alert').waitFor();
      expect(await serious(page)).toEqual([]);
      expect(wrong).toEqual([]);
      await page.context().close();
    });
});

const SOURCE = `#include <static_call.h>
int one(int a) { return a; }
int two(int a) { return a + 1; }
DEFINE_STATIC_CALL(blend, one);
STATIC_CALL_TARGET(blend, two);
int f(int a) { return static_call(blend)(a) + 1; }
int g(int a) { return static_call(blend)(a) + static_call(blend)(a + 1); }
`;
/** Its section headers lie beyond every file, and there are as many as can be said. */
function hostile(): Buffer {
  const bytes = object();
  bytes.writeBigUInt64LE(2n ** 60n, 0x28);
  bytes.writeUInt16LE(0xffff, 0x3c);
  return bytes;
}
const object = (): Buffer => build('gcc', '.c', SOURCE, ['-O2', '-fPIC', '-Iinclude', '-c']);

/** As from a folder of the desk, on whatever of the page is under the pointer. */
async function drop(page: Page, files: Readonly<Record<string, Buffer>>): Promise<void> {
  const named = Object.entries(files).map(([name, bytes]) => [name, bytes.toString('base64')]);
  const dataTransfer = await page.evaluateHandle((each) => {
    const transfer = new DataTransfer();
    for (const [name = '', base64 = ''] of each)
      transfer.items.add(
        new File([Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))], name),
      );
    return transfer;
  }, named);
  await page.locator('header').dispatchEvent('drop', { dataTransfer });
}

/** Calls stop at a jump to itself, and no step leads them on. */
const NEVER: Protocol = {
  name: 'never',
  about: 'jmp . over the first two bytes',
  accepts: { bytes: 'whole', within: null },
  handler: null,
  steps: [
    { do: 'publish', why: 'the new target may be called' },
    { do: 'store-head', bytes: [0xeb, 0xfe], why: 'a CPU that comes by waits' },
    { do: 'sync', why: 'no CPU decodes the old instruction any more' },
  ],
};

describe.skipIf(noChromium)('the page', () => {
  it('is one file of at most 1.5 MB, whose first picture takes less than a second of its own', async () => {
    const { page } = await visit(browser);
    const [mark] = await page.evaluate(() =>
      performance.getEntriesByName('picture').map(({ startTime }) => startTime),
    );
    expect(mark).toBeGreaterThan(0);
    const { size } = statSync('dist/view.html');
    console.log(`page: ${size} bytes, first picture after ${mark?.toFixed(0)} ms`);
    expect(size).toBeLessThan(1_500_000);
    await page.context().close();
  });

  it.each([
    ['of another version', '#path1.e30', /made by version 1/],
    ...more(['that is damaged', '#path2.e30AAA', /damaged/] as const),
  ])('says of an address %s what is wrong, and works on', async (_, fragment, message) => {
    const { page, wrong } = await visit(browser, fragment);
    await expect.poll(() => page.getByRole('alert').innerText(), SOON).toMatch(message);
    expect(await page.locator('.time li').count()).toBeGreaterThan(2);
    expect(wrong).toEqual([]);
    await page.context().close();
  });

  if (LONG)
    it('takes what is dropped anywhere, also packed, and says what it cannot read', async () => {
      const { page, wrong } = await visit(browser);
      await here(page).waitFor();
      await drop(page, {
        'filters.o.gz': gzipSync(object()),
        'bomb.gz': gzipSync(Buffer.alloc(1 << 27)),
        'module.ko.xz': Buffer.from('fd377a585a0000', 'hex'),
      });
      const said = (name: string): Locator => page.getByRole('article', { name });
      await said('filters.o.gz').getByText('Sites by key').waitFor();
      await said('bomb.gz').getByText('packed so tightly').waitFor();
      await said('module.ko.xz').getByText('does not unpack xz').waitFor();
      expect(wrong).toEqual([]);
      await page.context().close();
    });

  if (LONG)
    it('says of a protocol that never ends where its calls stay', async () => {
      using folder = new Folder();
      const file = folder.write('never.mjs', `export default ${JSON.stringify(NEVER)};`);
      const { runs } = await check([file], { environment: 'user', passes: 1, updates: 1 });
      const { page, wrong } = await visit(browser, `#${runs[0]?.properties.deadlock.path}`);
      await page.getByText('nothing can make progress').first().waitFor();
      await page.getByRole('button', { name: 'Search' }).click();
      await page.getByRole('status').getByText('Fails').waitFor();
      expect(wrong).toEqual([]);
      await page.context().close();
    });

  if (LONG)
    it('says so where JavaScript is off, and where there are no workers', async () => {
      const off = await visit(browser, '', { javaScriptEnabled: false });
      expect(await off.page.locator('noscript').innerText()).toContain('needs JavaScript');
      await off.page.context().close();
      const { page } = await visit(browser);
      await page.evaluate(() => Reflect.deleteProperty(globalThis, 'Worker'));
      await page.getByRole('button', { name: 'Search' }).click();
      await page.getByText('gives the page no worker thread').waitFor();
      await page.context().close();
    });

  if (LONG)
    it('searches without WebAssembly, and says that it can read no file', async () => {
      const bare = await launch('--js-flags=--jitless');
      const { page, wrong } = await visit(bare);
      expect(await page.evaluate(() => 'WebAssembly' in globalThis)).toBe(false);
      await chooseSmall(page, 'naive');
      await page.getByRole('button', { name: 'Search' }).click();
      await page.getByRole('status').getByText('Fails').waitFor();
      await page.getByRole('button', { name: 'Files' }).click();
      const file = { name: 'filters.o', mimeType: '', buffer: object() };
      await page.locator('input[type=file]').setInputFiles(file);
      const article = page.getByRole('article', { name: file.name });
      await article.getByText('which this browser has not').waitFor();
      expect(wrong).toEqual([]);
      await bare.close();
    });

  if (LONG)
    it('can be stopped, and keeps what it knows', async () => {
      const { page, wrong } = await visit(browser);
      await page.locator('#protocol').selectOption({ label: 'int3-levels' });
      for (const name of ['nmi', 'mc', 'irq']) await page.getByLabel(name, { exact: true }).check();
      await page.getByRole('button', { name: 'Search' }).click();
      await page.getByText(/[1-9][\d,]* states/).waitFor();
      await page.getByRole('button', { name: 'Stop' }).click();
      await page.getByText('Stopped (interrupted)').waitFor();
      expect(wrong).toEqual([]);
      await page.context().close();
    });

  const SETTINGS = [
    ['naive', 'user'],
    ...more(
      ['int3', 'user'],
      ['store', 'user'],
      ['int3-retire', 'user'],
      ['naive', 'kernel'],
      ['trampoline', 'kernel'],
      ['int3-gap', 'kernel'],
      ['int3-gap/no-gap', 'kernel'],
      ['int3-skip', 'kernel'],
      ['int3-stub', 'kernel'],
    ),
  ] as const;
  if (LONG)
    it.each(SETTINGS)(
      'says of %s (%s) what check says, to the state',
      async (name, environment) => {
        const { page } = await visit(browser);
        // A page from a file has no memory that threads share, and needs none.
        expect(await page.evaluate(() => 'SharedArrayBuffer' in globalThis)).toBe(false);
        await page.locator('#protocol').selectOption(`${environment} ${name}`);
        for (const bound of ['passes', 'updates']) await page.getByLabel(bound).selectOption('1');
        await page.getByRole('button', { name: 'Search' }).click();
        await page.getByText(/All [\d,]+ states in [\d.]+ s\.$/).waitFor();
        // The address names the reduction that was in force, which is no setting.
        const { reduce: _, ...given } = decodeToken(await tokenIn(page)).configuration;
        const { runs } = await check([name], { ...given, explained: [] });
        const words = { holds: '✓', fails: '✕', unknown: '?', 'not-applicable': '–' };
        const signs = await page.locator('.verdicts tbody td:nth-child(2)').allInnerTexts();
        expect(signs.map(([sign]) => sign)).toEqual(
          PROPERTY_NAMES.map(
            (property) => words[runs[0]?.properties[property].verdict ?? 'unknown'],
          ),
        );
        const states = runs[0]?.states.toLocaleString('en-US');
        expect(await page.locator('.answer').innerText()).toContain(`All ${states} states`);
        await page.context().close();
      },
    );
});
