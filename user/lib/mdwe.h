/* PR_SET_MDWE of Linux 6.3, which musl's headers do not have yet: nothing that the process could write becomes code. */
#ifndef USER_LIB_MDWE_H
#define USER_LIB_MDWE_H

#include <sys/prctl.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#define PR_GET_MDWE              66
#endif

#endif
