/*
 * The disk behind a block driver's endpoint (drivers/block_abi.h).
 */
#ifndef USER_EXT4_DISK_DRIVER_H
#define USER_EXT4_DISK_DRIVER_H

#include "user/ext4/disk.h"

/* Connects to "block/WHICH", which is waited for. NULL and errno. Once in a process. */
struct disk *disk_driver_open(unsigned which);

#endif
