/*
 * Init as the keeper: handles that others hand in and find again when they were started anew (user/service_abi.h).
 */
#ifndef USER_INIT_KEEPER_H
#define USER_INIT_KEEPER_H

#include "user/lib/native.h"

/* Carries out a call that was received with `bytes` as the buffer; answers it. */
void keeper_serve(struct ipc *ipc, const char *bytes);

#endif
