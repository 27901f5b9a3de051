/* Has a site of a key that the program defines. */
#include "static_call.h"
int like(int x);
DECLARE_STATIC_CALL(route, like);
int plugged(int x);
int plugged(int x) { return static_call(route)(x) + 0 * x; }
