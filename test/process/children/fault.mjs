// What a child is refused, in the words that its test asks for.
import { isFault } from '#index';

/** Null where nothing is refused; what is no Fault is thrown on. */
export function faultOf(body, tell) {
  try {
    body();
    return null;
  } catch (error) {
    if (!isFault(error)) throw error;
    return tell(error);
  }
}
