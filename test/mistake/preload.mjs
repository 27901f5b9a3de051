// By NODE_OPTIONS, so that workers and processes that a child starts have the mistake too.
import { register } from 'node:module';

register('./hook.mjs', import.meta.url);
