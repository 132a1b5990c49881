/*
 * What init and a service have to say to each other. Plain C types only.
 *
 * A service is started with numbers of handles in its environment; which ones, its head says:
 *     PENUMBRA_NAMES      to call the name server (user/names_abi.h)
 *     PENUMBRA_AUTHORITY  the authority, with the rights that the service needs
 *     PENUMBRA_STATE      a memory object that init holds, too: what must outlive the service's process
 *     PENUMBRA_KEEPER     to call init as the keeper of handles (enum keeper_label)
 *     PENUMBRA_ARCHIVE    the boot archive as a memory object, whose pages the service may take
 *     PENUMBRA_END        to receive on: a call there asks the service to end in an orderly way
 */
#ifndef USER_SERVICE_ABI_H
#define USER_SERVICE_ABI_H

/* Exit status of a service that need not be started again: there is nothing for it to serve. */
#define SERVICE_NOT_NEEDED 78

enum service_label {
    SERVICE_END = 0x3f0, /* finish, answer 0, and exit with status 0 */
};

/*
 * Handles that outlive a service: the name server's. A record is a key and what the service wants to find with it;
 * both are text or plain bytes, terminated by their length.
 */
enum keeper_label {
    KEEPER_PUT = 0x3e0, /* bytes: the record; a handle. word 0: its number, from 1; replaces one of that number */
    KEEPER_DROP,        /* word 0: number */
    KEEPER_GET,         /* word 0: number → bytes, the handle. ENOENT: none of this number */
};

enum { KEEPER_RECORDS = 64, KEEPER_RECORD_BYTES = 512 };

#endif
