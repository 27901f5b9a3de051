// The playground: one HTML file that is built with the package, and the server that hands it out
// on this machine alone.

import { readFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Fault } from '../base/fault.js';

const PATH = fileURLToPath(new URL('../view.html', import.meta.url));

/** Where the page shows what a replay token says: a file of the package, for any browser. */
export const pageAddress = (token: string): string => `${pathToFileURL(PATH).href}#${token}`;

/** @throws Fault `no-such-file` in a checkout whose page was not built */
export function page(): Buffer {
  try {
    return readFileSync(PATH);
  } catch (cause) {
    throw new Fault('no-such-file', 'the playground was not built', {
      at: PATH,
      hint: 'run npm start in the checkout once, or install the package',
      cause,
    });
  }
}

const LOOPBACK = '127.0.0.1';
const TEXT = { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' } as const;

/** Only the page has an address. A page elsewhere may ask for it, but not read it. */
function answer(html: Buffer, path: string | undefined, response: ServerResponse): void {
  const [plain] = (path ?? '').split('?');
  if (plain === '/') response.writeHead(200, TEXT).end(html);
  else response.writeHead(404).end();
}

/**
 * Serves the page on the loopback interface until the signal comes.
 * @param port 0 for any that is free
 * @throws Fault `bad-usage` where the port is taken
 */
export async function servePage(
  port: number,
  signal: AbortSignal,
  onReady: (url: string) => void,
): Promise<void> {
  const html = page();
  const server = createServer(({ url }, response) => answer(html, url, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        new Fault('bad-usage', `port ${port} cannot be served (${cause.code})`, {
          hint: 'leave out the number, and one that is free is taken',
          cause,
        }),
      ),
    );
    server.listen(port, LOOPBACK, resolve);
  });
  const address = server.address();
  const taken = address === null || typeof address === 'string' ? port : address.port;
  onReady(`http://${LOOPBACK}:${taken}/`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
