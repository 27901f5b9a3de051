/* Tests a key that another object defines. */
#define STATIC_KEY_EXPORTED_shared 1
#include <static_key.h>

DECLARE_STATIC_KEY_FALSE(shared);

#ifdef OWNER
DEFINE_STATIC_KEY_FALSE(shared);
EXPORT_STATIC_KEY(shared);
int in_owner(void) { return static_branch_unlikely(&shared) ? 1 : 0; }
#else
int in_module(void) { return static_branch_likely(&shared) ? 1 : 0; }
#endif
