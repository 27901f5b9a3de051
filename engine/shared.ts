// What the engine exports where several threads search.

export * from './index';
export { advanceTogether, areReady, begin, dismiss, fail, help, hire } from './together';
