// What comes of a call that may be refused: of a fault its code.

import { isFault } from '#index';

export function code(ask) {
  try {
    return ask() ?? 'nothing';
  } catch (error) {
    if (!isFault(error)) throw error;
    return error.code;
  }
}
