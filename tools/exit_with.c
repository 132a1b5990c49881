/*
 * A function for GNU make: $(exit-with N) ends make at once with exit status N.
 *
 * Make itself ends with 2 whatever a recipe's status was; `make run PROG=…` is to end with the program's own. Where make
 * cannot load this, the status is 2 and make's message has the number. Built for the machine that runs make.
 */
#include <gnumake.h>
#include <stdio.h>
#include <stdlib.h>

int plugin_is_GPL_compatible; /* what make asks for before it loads an object; MIT is */

int exit_with_gmk_setup(void);

static char *exit_with(const char *name, unsigned int count, char **arguments) {
    (void)name;
    (void)count;
    if (arguments[0][0] == '\0')
        return NULL;
    fflush(stdout);
    exit(atoi(arguments[0]));
}

int exit_with_gmk_setup(void) {
    gmk_add_function("exit-with", exit_with, 1, 1, GMK_FUNC_DEFAULT);
    return 1;
}
