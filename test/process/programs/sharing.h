#define STATIC_CALL_EXPORTED_level 1
#define STATIC_CALL_EXPORTED_TRAMP_sealed 1
#include "static_call.h"

long level_proto(long x);
long sealed_proto(long x);
DECLARE_STATIC_CALL(level, level_proto);
DECLARE_STATIC_CALL(sealed, sealed_proto);
