/* Defines a key of a name that the program has, too. */
#include "static_call.h"
int twin(int x);
int twin(int x) { return 11 * x; }
int call_twin(int x);
DEFINE_STATIC_CALL(route, twin);
int call_twin(int x) { return static_call(route)(x); }
