// What the build of the page makes up (scripts/page.mjs).

/** A failure to show at the first visit, as a replay token: found while the page is built. */
declare module 'virtual:example' {
  export const EXAMPLE: string;
  export const VERSION: string;
}

/** Base64 of gzip: the scripts of the two workers, and the decoder's WebAssembly. */
declare module 'virtual:packed' {
  export const SEARCH_WORKER: string;
  export const FILE_WORKER: string;
  export const DECODER: string;
}

/** Base64: the search in WebAssembly. */
declare module 'virtual:engine' {
  export const ENGINE: string;
}
