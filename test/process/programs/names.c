/* Keys with names that JavaScript has for its own, and one that is not ASCII. */
#include <static_call.h>

int alt(int a) { return a; }
int neu(int a) { return a + 100; }

DEFINE_STATIC_CALL(__proto__, alt);
DEFINE_STATIC_CALL(constructor, alt);
DEFINE_STATIC_CALL(größe, alt);
DEFINE_STATIC_CALL(hasOwnProperty, alt);
DEFINE_STATIC_CALL(toString, alt);
STATIC_CALL_TARGET(__proto__, neu);
STATIC_CALL_TARGET(constructor, neu);
STATIC_CALL_TARGET(größe, neu);
STATIC_CALL_TARGET(hasOwnProperty, neu);
STATIC_CALL_TARGET(toString, neu);

int pick(int which)
{
	switch (which) {
	case 0: return static_call(__proto__)(0);
	case 1: return static_call(constructor)(1);
	case 2: return static_call(größe)(2);
	case 3: return static_call(hasOwnProperty)(3);
	default: return static_call(toString)(4);
	}
}
