// What the engine exports.

export { take } from './memory';
export {
  advance,
  ended,
  ends,
  firsts,
  graph,
  halt,
  idle,
  kinds,
  overs,
  start,
  targets,
  transitions,
} from './search';
export { bytes, find, found, next, parentOf, read } from './states';
