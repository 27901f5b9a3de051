// The playground, as a file or on a port of this machine.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { EXIT, Fault } from '../../base/fault.js';
import { replaceFile } from '../../base/file.js';
import { decodeToken } from '../../check/explain/token.js';
import { page, pageAddress, servePage } from '../../host/page.js';
import type { Context } from '../context.js';

export interface Flags {
  readonly output?: string;
  readonly serve?: number;
  readonly path?: string;
  readonly json: boolean;
}

export async function run(context: Context, { output, serve, path, json }: Flags): Promise<number> {
  if (output !== undefined && serve !== undefined)
    throw new Fault('bad-usage', '--output and --serve are two ways to have the page', {
      hint: 'leave out one of the two',
    });
  // A damaged one is refused here, and not by a page that opens on it.
  if (path !== undefined) decodeToken(path);
  const fragment = path === undefined ? '' : `#${path}`;
  const tell = (url: string): void => {
    if (json) context.json('static-call/view@1', { url });
    else context.print(url);
  };
  if (serve !== undefined) {
    await servePage(serve, context.signal, (url) => tell(`${url}${fragment}`));
    return EXIT.good;
  }
  const html = page();
  if (output === undefined) tell(pageAddress('').replace(/#$/, fragment));
  else {
    replaceFile(output, html);
    tell(`${pathToFileURL(resolve(output)).href}${fragment}`);
  }
  return EXIT.good;
}
